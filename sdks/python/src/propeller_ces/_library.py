"""The C library: where it is, and what its functions take."""

from __future__ import annotations

import ctypes
import ctypes.util
import os
import pathlib
import sys
from ctypes import POINTER, c_char, c_char_p, c_int, c_int64, c_size_t, c_uint8, c_uint32, c_uint64, c_void_p
from typing import Any

from ._errors import ArgumentError, CesError, Status, error_of

#: Names the library in the place of the one in the package.
VARIABLE = "PROPELLER_CES_LIBRARY"


def _find() -> str:
    named = os.environ.get(VARIABLE)
    if named:
        return named
    suffix = "dylib" if sys.platform == "darwin" else "so"
    beside = pathlib.Path(__file__).with_name(f"libpropeller_ces.{suffix}")
    if beside.is_file():
        return str(beside)
    installed = ctypes.util.find_library("propeller_ces")
    if installed:
        return installed
    raise ImportError(
        "the C library of CES is not in this package, not installed, and not named in "
        f"{VARIABLE}: install the package with `pip install ./sdks/python`"
    )


class FFIShard(ctypes.Structure):
    _fields_ = [("data", c_void_p), ("len", c_size_t)]


class FFIShards(ctypes.Structure):
    _fields_ = [("shards", POINTER(FFIShard)), ("count", c_size_t)]


class FFIResult(ctypes.Structure):
    _fields_ = [("success", c_uint8), ("error_msg", c_void_p), ("data", c_void_p), ("data_len", c_size_t)]


class WantedStruct(ctypes.Structure):
    _fields_ = [("object", c_char_p), ("digest", c_char_p), ("label", c_char_p)]


class InfoStruct(ctypes.Structure):
    _fields_ = [
        ("object", c_uint8 * 16),
        ("digest", c_uint8 * 32),
        ("key_id", c_uint8 * 8),
        ("label", c_char * 25),
        ("cipher", c_uint8),
        ("data", c_uint8),
        ("parity", c_uint8),
        ("segment_size", c_uint32),
        ("plain_len", c_uint64),
        ("segments", c_uint64),
    ]


class ReportStruct(ctypes.Structure):
    _fields_ = [
        ("object", c_uint8 * 16),
        ("digest", c_uint8 * 32),
        ("plain_len", c_uint64),
        ("segments", c_uint64),
        ("lost", c_uint64),
        ("agreeing", c_uint32),
        ("damaged", c_uint32),
        ("missing", c_uint32),
        ("whole", c_uint8),
        ("readable", c_uint8),
    ]


class EventStruct(ctypes.Structure):
    _fields_ = [("action", c_char_p), ("key_id", c_uint8 * 8), ("label", c_char * 25), ("object", c_uint8 * 16)]


AUDIT = ctypes.CFUNCTYPE(None, c_void_p, POINTER(EventStruct))
READ = ctypes.CFUNCTYPE(c_int64, c_void_p, c_void_p, c_size_t)
READ_AT = ctypes.CFUNCTYPE(c_int, c_void_p, c_uint32, c_uint64, c_void_p, c_size_t)
WRITE = ctypes.CFUNCTYPE(c_int, c_void_p, c_uint32, c_void_p, c_size_t)

_SHARDS = [POINTER(c_uint64), c_size_t, READ_AT, c_void_p]
_PRESENT = [POINTER(FFIShard), c_size_t, POINTER(c_int)]

_FUNCTIONS: dict[str, tuple[Any, list[Any]]] = {
    "ces_last_error": (c_char_p, []),
    "ces_last_status": (c_int, []),
    "ces_new_with_key": (c_void_p, [c_int, c_char_p]),
    "ces_free": (None, [c_void_p]),
    "ces_process": (FFIShards, [c_void_p, c_char_p, c_size_t]),
    "ces_reconstruct": (FFIResult, [c_void_p, *_PRESENT]),
    "ces_free_result": (None, [FFIResult]),
    "ces_free_shards": (None, [FFIShards]),
    "ces2_key_from_environment": (c_int, [c_void_p]),
    "ces2_key_random": (c_int, [c_void_p]),
    "ces2_key_for_tenant": (c_int, [c_char_p, c_size_t, c_char_p, c_size_t, c_void_p]),
    "ces2_key_id": (c_int, [c_char_p, c_void_p]),
    "ces2_keys_new": (c_int, [c_char_p, c_char_p, POINTER(c_void_p)]),
    "ces2_keys_add": (c_int, [c_void_p, c_char_p, c_char_p]),
    "ces2_keys_audit": (c_int, [c_void_p, AUDIT, c_void_p]),
    "ces2_keys_free": (None, [c_void_p]),
    "ces2_options_new": (c_int, [POINTER(c_void_p)]),
    "ces2_options_geometry": (c_int, [c_void_p, c_uint32, c_uint32]),
    "ces2_options_cipher": (c_int, [c_void_p, c_uint32]),
    "ces2_options_level": (c_int, [c_void_p, c_int]),
    "ces2_options_segment_size": (c_int, [c_void_p, c_uint32]),
    "ces2_options_label": (c_int, [c_void_p, c_char_p]),
    "ces2_options_threads": (c_int, [c_void_p, c_uint32]),
    "ces2_options_free": (None, [c_void_p]),
    "ces2_encode": (c_int, [c_void_p, c_void_p, READ, c_void_p, WRITE, c_void_p, POINTER(InfoStruct)]),
    "ces2_writer_new": (c_int, [c_void_p, c_void_p, WRITE, c_void_p, POINTER(c_void_p)]),
    "ces2_writer_push": (c_int, [c_void_p, c_void_p, c_size_t]),
    "ces2_writer_finish": (c_int, [c_void_p, POINTER(InfoStruct)]),
    "ces2_writer_free": (None, [c_void_p]),
    "ces2_reader_open": (
        c_int,
        [c_void_p, *_SHARDS, POINTER(WantedStruct), c_uint32, POINTER(c_void_p)],
    ),
    "ces2_reader_info": (c_int, [c_void_p, POINTER(InfoStruct)]),
    "ces2_reader_copy": (c_int, [c_void_p, WRITE, c_void_p]),
    "ces2_reader_read_at": (c_int, [c_void_p, c_uint64, c_void_p, c_size_t]),
    "ces2_reader_damage": (c_int, [c_void_p, POINTER(c_void_p)]),
    "ces2_reader_free": (None, [c_void_p]),
    "ces2_verify": (
        c_int,
        [*_SHARDS, POINTER(WantedStruct), POINTER(ReportStruct), POINTER(c_void_p)],
    ),
    "ces2_repair": (
        c_int,
        [*_SHARDS, POINTER(WantedStruct), POINTER(c_uint32), c_size_t, WRITE, c_void_p],
    ),
    "ces2_rotate": (c_int, [c_void_p, c_void_p, c_void_p, POINTER(c_int)]),
    "ces2_reconstruct_v0": (
        c_int,
        [c_char_p, c_uint32, c_uint32, c_size_t, *_PRESENT, POINTER(c_void_p), POINTER(c_size_t)],
    ),
    "ces2_free_plain": (None, [c_void_p, c_size_t]),
    "ces2_free_text": (None, [c_void_p]),
}


def _load() -> ctypes.CDLL:
    # CDLL lets other threads run while the library works.
    library = ctypes.CDLL(_find())
    for name, (result, arguments) in _FUNCTIONS.items():
        function = getattr(library, name)
        function.restype, function.argtypes = result, arguments
    return library


lib = _load()


def last_failure() -> CesError:
    """Why this thread's last call failed."""
    text = lib.ces_last_error()
    return error_of(lib.ces_last_status(), text.decode() if text else "it failed")


def check(status: int) -> None:
    """Raises what a status stands for."""
    if status != 0:
        raise last_failure()


def octets(what: str, data: Any) -> bytes:
    """The bytes of something bytes-like. A number is none: ``bytes`` would make as many zeros of it."""
    if isinstance(data, bytes):
        return data
    try:
        return bytes(memoryview(data))
    except TypeError:
        raise TypeError(f"{what} is bytes, not {type(data).__name__}") from None


def text(what: str, value: str) -> bytes:
    """A text for C, which would end at a NUL."""
    if "\0" in value:
        raise ArgumentError(Status.ARGUMENT, f"{what} has no NUL in it: {value!r}")
    return value.encode()


def copied(address: int | None, length: int) -> bytes:
    """Memory of the library's, however much: ``ctypes.string_at`` counts in 32 bits."""
    if not address or not length:
        return b""
    return bytes((c_uint8 * length).from_address(address))


def view(address: int, length: int) -> memoryview:
    """Memory of the library's, to be read or written while a callback runs."""
    return memoryview((c_uint8 * length).from_address(address)).cast("B")


def text_of(address: int | None) -> str:
    """A text that the library gave, which is freed."""
    if not address:
        return ""
    try:
        return ctypes.cast(address, c_char_p).value.decode()  # type: ignore[union-attr]
    finally:
        lib.ces2_free_text(address)


def present(shards: list[bytes | None]) -> tuple[Any, Any]:
    """Shards as C has them. They point into the bytes, which have to stay."""
    array = (FFIShard * max(len(shards), 1))()
    flags = (c_int * max(len(shards), 1))()
    for place, shard in enumerate(shards):
        if shard is not None:
            array[place].data = ctypes.cast(c_char_p(shard), c_void_p)
            array[place].len = len(shard)
            flags[place] = 1
    return array, flags
