"""CES: any bytes into ``k + m`` encrypted shards, any ``k`` of which give them back.

:class:`Pipeline` holds whole objects in memory. :func:`encode`, :class:`Writer` and :class:`Reader` stream, and
take as much memory for a terabyte as for a megabyte. :func:`verify`, :func:`repair` and
:func:`rotate` keep shards in order.
"""

from ._calls import Shard
from ._errors import (
    ArgumentError,
    CesError,
    InvalidKeyError,
    KeyNotAtHandError,
    LostError,
    RangeError,
    RefusedError,
    Status,
)
from ._keys import Event, Keys, key_from_environment, key_id, random_key, tenant_key
from ._pipeline import Pipeline, reconstruct_v0
from ._shards import HEADER_LEN, Report, repair, rotate, verify
from ._stream import Cipher, Info, Options, Reader, Writer, encode

__all__ = [
    "HEADER_LEN",
    "ArgumentError",
    "CesError",
    "Cipher",
    "Event",
    "Info",
    "InvalidKeyError",
    "KeyNotAtHandError",
    "Keys",
    "LostError",
    "Options",
    "Pipeline",
    "RangeError",
    "Reader",
    "RefusedError",
    "Report",
    "Shard",
    "Status",
    "Writer",
    "encode",
    "key_from_environment",
    "key_id",
    "random_key",
    "reconstruct_v0",
    "repair",
    "rotate",
    "tenant_key",
    "verify",
]
