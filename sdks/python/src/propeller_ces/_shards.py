"""What is done to shards without reading what they hold."""

from __future__ import annotations

import ctypes
import dataclasses
from typing import BinaryIO, Mapping, Sequence

from ._calls import Calls, Shard, Source, sizes_of, wanted_of
from ._errors import ArgumentError, Status
from ._keys import Keys, ring
from ._library import ReportStruct, check, lib, octets

#: How many bytes of a shard :func:`rotate` changes: the first ones.
HEADER_LEN = 120


@dataclasses.dataclass(frozen=True)
class Report:
    """What the shards of an object are like."""

    object_id: str
    digest: bytes
    plain_len: int
    segments: int
    #: How many segments have too few good pieces.
    lost: int
    #: 0 if the digest was given, which proves what is said here; else how many shards agree.
    agreeing: int
    #: Whether nothing is wrong and nothing missing.
    whole: bool
    #: Whether all segments can be read.
    readable: bool
    #: What is wrong, in words, or empty.
    damage: str


def verify(shards: Sequence[Shard], *, object_id: str | None = None, digest: bytes | None = None) -> Report:
    """Reads every byte of shards without a key, and says what is wrong with which.

    Whoever gives the digest learns whether these are the shards of that object; else only whether they
    agree.
    """
    sources = [Source(shard) for shard in shards]
    calls, wanted, report, damage = Calls(), wanted_of(object_id, digest, None), ReportStruct(), ctypes.c_void_p()
    read_at = calls.read_at(sources)
    try:
        calls.check(
            lib.ces2_verify(
                sizes_of(sources),
                len(sources),
                read_at,
                None,
                ctypes.byref(wanted),
                ctypes.byref(report),
                ctypes.byref(damage),
            )
        )
        words = ctypes.string_at(damage.value).decode() if damage.value else ""
    finally:
        lib.ces2_free_text(damage)
    return Report(
        object_id=bytes(report.object).hex(),
        digest=bytes(report.digest),
        plain_len=report.plain_len,
        segments=report.segments,
        lost=report.lost,
        agreeing=report.agreeing,
        whole=report.whole == 1,
        readable=report.readable == 1,
        damage=words,
    )


def repair(
    shards: Sequence[Shard],
    rebuilt: Mapping[int, BinaryIO],
    *,
    object_id: str | None = None,
    digest: bytes | None = None,
) -> None:
    """Rebuilds the shards that ``rebuilt`` names by their index, bit for bit, without a key.

    Give the digest. Without it, shards are built of what the others agree on, and nobody votes: if there
    are enough of two objects, or one that is whole by itself contradicts others, it is refused, and asks
    for the digest. If it fails, what was written is of no use.
    """
    indices = list(rebuilt)
    if any(not 0 <= index <= 255 for index in indices):
        raise ArgumentError(Status.ARGUMENT, f"shards have numbers from 0 to 255: {indices}")
    sources = [Source(shard) for shard in shards]
    calls, wanted = Calls(), wanted_of(object_id, digest, None)
    read_at, write = calls.read_at(sources), calls.writer(rebuilt)
    named = (ctypes.c_uint32 * max(len(indices), 1))(*indices)
    calls.check(
        lib.ces2_repair(
            sizes_of(sources), len(sources), read_at, None, ctypes.byref(wanted), named, len(indices), write, None
        )
    )
    # The good ones are as long as those that are rebuilt.
    calls.check_shards(indices, {source.size for source in sources})


def rotate(header: bytes, old: Keys | bytes, new: Keys | bytes) -> bytes:
    """The header, the first :data:`HEADER_LEN` bytes of a shard, with its data key under ``new``.

    Write it over the old one, in each shard of the object; what they seal stays as it is. A shard that is
    under ``new`` already keeps its header, so that it may be done again after an interruption.
    """
    header = octets("a header", header)
    if len(header) != HEADER_LEN:
        raise ArgumentError(Status.ARGUMENT, f"a header has {HEADER_LEN} bytes, not {len(header)}")
    changed = ctypes.create_string_buffer(header, HEADER_LEN)
    with ring(old) as before, ring(new) as after:
        check(lib.ces2_rotate(changed, before, after, None))
    return changed.raw
