"""Files into shards, and back."""

from __future__ import annotations

import ctypes
import dataclasses
import enum
import io
import threading
from typing import Any, BinaryIO, Sequence

from ._calls import Calls, Shard, Source, incomplete, sizes_of, wanted_of
from ._errors import ArgumentError, RangeError, Status
from ._keys import Keys, ring
from ._library import InfoStruct, check, lib, octets, text, text_of


class Cipher(enum.IntEnum):
    """What an object is sealed with."""

    #: The default, the same on every machine.
    XCHACHA20_POLY1305 = 1
    #: Faster where the processor has instructions for it.
    AES_256_GCM = 2


@dataclasses.dataclass(frozen=True)
class Options:
    """How an object is written."""

    #: How many shards give an object back, 1 to 128.
    data: int = 8
    #: How many shards may be lost, 0 to 128.
    parity: int = 4
    cipher: Cipher = Cipher.XCHACHA20_POLY1305
    #: 0 (not compressed), or 1 (fast) to 22 (small).
    level: int = 3
    #: A power of two from 65,536 to 8,388,608 bytes.
    segment_size: int = 1 << 20
    #: The environment that the object belongs to; empty for that of the key.
    label: str = ""
    #: How many work at once, 1 to 256; each holds two to three segments.
    threads: int = 1


@dataclasses.dataclass(frozen=True)
class Info:
    """What an object is."""

    #: Its id, 32 hexadecimal digits.
    object_id: str
    #: Whoever knows the digest can verify and repair the object without a key.
    digest: bytes
    #: The id of the key that it is under.
    key_id: str
    #: The environment that it belongs to, or empty.
    label: str
    cipher: Cipher
    data: int
    parity: int
    segment_size: int
    #: Length of the plaintext, in bytes.
    plain_len: int
    segments: int


def _info(info: InfoStruct) -> Info:
    return Info(
        object_id=bytes(info.object).hex(),
        digest=bytes(info.digest),
        key_id=bytes(info.key_id).hex(),
        label=info.label.decode(),
        cipher=Cipher(info.cipher),
        data=info.data,
        parity=info.parity,
        segment_size=info.segment_size,
        plain_len=info.plain_len,
        segments=info.segments,
    )


class _OptionsHandle:
    """The library's options."""

    def __init__(self, options: Options) -> None:
        numbers = (options.data, options.parity, options.level, options.segment_size, options.threads)
        if any(not 0 <= number <= 1 << 30 for number in numbers):
            # Everything that is good is far from here; C's numbers would wrap.
            raise ArgumentError(Status.ARGUMENT, f"the options have a number that cannot be: {options}")
        self._options = options
        self._handle = ctypes.c_void_p()

    def __enter__(self) -> ctypes.c_void_p:
        options, handle = self._options, self._handle
        try:
            check(lib.ces2_options_new(ctypes.byref(handle)))
            check(lib.ces2_options_geometry(handle, options.data, options.parity))
            check(lib.ces2_options_cipher(handle, int(options.cipher)))
            check(lib.ces2_options_level(handle, options.level))
            check(lib.ces2_options_segment_size(handle, options.segment_size))
            check(lib.ces2_options_label(handle, text("a label", options.label) if options.label else None))
            check(lib.ces2_options_threads(handle, options.threads))
        except BaseException:
            self.__exit__()
            raise
        return handle

    def __exit__(self, *_: object) -> None:
        handle, self._handle = self._handle, ctypes.c_void_p()
        lib.ces2_options_free(handle)


def encode(
    plain: BinaryIO | bytes,
    shards: Sequence[BinaryIO],
    keys: Keys | bytes,
    options: Options = Options(),
) -> Info:
    """Reads ``plain`` to its end, and writes shard ``i`` of a new object to ``shards[i]``.

    If it fails, what was written is of no use. What a file raises is raised again.
    """
    _one_for_each(shards, options)
    file = io.BytesIO(plain) if isinstance(plain, (bytes, bytearray, memoryview)) else plain
    calls = Calls()
    read, write = calls.reader(file), calls.writer(shards)
    info = InfoStruct()
    with _OptionsHandle(options) as chosen, ring(keys) as handle:
        calls.check(lib.ces2_encode(chosen, handle, read, None, write, None, ctypes.byref(info)))
    if not calls.tally.ended:
        raise incomplete("the plaintext was not read to its end")
    calls.check_plain(info.plain_len)
    calls.check_shards(range(len(shards)))
    return _info(info)


def _one_for_each(shards: Sequence[BinaryIO], options: Options) -> None:
    if len(shards) != options.data + options.parity:
        message = f"an object of {options.data} + {options.parity} shards cannot go to {len(shards)} files"
        raise ArgumentError(Status.ARGUMENT, message)


class Writer(io.RawIOBase):
    """A new object of plaintext that is written to it, for whoever has no file to give to :func:`encode`.

    The object is there when :meth:`close` raised nothing; it is a context manager that closes it, or gives
    it up where an exception leaves it. What a shard's file raises is raised again.
    """

    def __init__(self, shards: Sequence[BinaryIO], keys: Keys | bytes, options: Options = Options()) -> None:
        """Begins an object whose shard ``i`` goes to ``shards[i]``."""
        super().__init__()
        # The library fills it: there is no moment at which only it knows what is to be freed.
        self._handle = ctypes.c_void_p()
        self._lock = threading.Lock()
        #: What the object is, when the writer is closed.
        self.info: Info | None = None
        try:
            _one_for_each(shards, options)
            self._shards = len(shards)
            self._calls = Calls()
            self._write = self._calls.writer(list(shards))
            with _OptionsHandle(options) as chosen, ring(keys) as held:
                self._ring = held
                check(lib.ces2_writer_new(chosen, held, self._write, None, ctypes.byref(self._handle)))
        except BaseException:
            self.abort()
            raise

    def write(self, data: Any) -> int:
        """Takes all of ``data``."""
        kept = octets("plaintext", data)
        with self._lock:
            if not self._handle:
                raise ValueError("the writer is closed")
            address = ctypes.cast(ctypes.c_char_p(kept), ctypes.c_void_p)
            try:
                self._calls.tally.given += len(kept)
                self._calls.check(lib.ces2_writer_push(self._handle, address, len(kept)))
                self._ring.check()
            except BaseException:
                # The library may not know of it, and would make an object without what was lost.
                self._free()
                raise
        return len(kept)

    def writable(self) -> bool:
        """True."""
        return True

    def abort(self) -> None:
        """Ends the writer without an object. What was written to the shards is of no use."""
        with self._lock:
            self._free()
        super().close()

    def _free(self) -> None:
        handle, self._handle = self._handle, ctypes.c_void_p()
        lib.ces2_writer_free(handle)

    def close(self) -> None:
        """Writes what is left, and raises what keeps the object from being whole."""
        if self.closed:
            return
        if not self._handle:
            super().close()
            raise incomplete("the writer failed before")
        try:
            with self._lock:
                info = InfoStruct()
                self._calls.check(lib.ces2_writer_finish(self._handle, ctypes.byref(info)))
                self._ring.check()
                self._calls.check_plain(info.plain_len)
                self._calls.check_shards(range(self._shards))
                self.info = _info(info)
        finally:
            self.abort()

    def __exit__(self, kind: Any, error: Any, trace: Any) -> None:
        if kind is None:
            self.close()
        else:
            self.abort()

    def __del__(self) -> None:
        # A writer that nobody closed has no object.
        if getattr(self, "_handle", None):
            self.abort()


class Reader(io.RawIOBase):
    """An object's plaintext: a file that can be read and sought.

    ``shards`` are bytes and files in any order; ``None`` stands for a missing one, and damaged ones
    and those of other objects may be among them. They stay open.
    Threads take turns.
    """

    def __init__(
        self,
        shards: Sequence[Shard],
        keys: Keys | bytes,
        *,
        object_id: str | None = None,
        digest: bytes | None = None,
        label: str | None = None,
        threads: int = 1,
    ) -> None:
        """Opens the object: any, or the one that is named by its id, its digest or its label."""
        super().__init__()
        # The library fills it: there is no moment at which only it knows what is to be freed.
        self._handle = ctypes.c_void_p()
        self._lock = threading.Lock()
        self._at = 0
        try:
            if not 1 <= threads <= 256:
                raise ArgumentError(Status.ARGUMENT, f"there are 1 to 256 threads, not {threads}")
            self._calls = Calls()
            self._sources = [Source(shard) for shard in shards]
            self._read_at = self._calls.read_at(self._sources)
            self._out: dict[int, BinaryIO] = {}
            self._write = self._calls.writer(self._out)
            wanted = wanted_of(object_id, digest, label)
            sizes, count = sizes_of(self._sources), len(self._sources)
            opened = ctypes.byref(self._handle)
            with ring(keys) as held:
                self._calls.check(
                    lib.ces2_reader_open(
                        held, sizes, count, self._read_at, None, ctypes.byref(wanted), threads, opened
                    )
                )
            info = InfoStruct()
            check(lib.ces2_reader_info(self._handle, ctypes.byref(info)))
            #: What the object is.
            self.info = _info(info)
        except BaseException:
            self.close()
            raise

    @property
    def damage(self) -> str:
        """What is wrong with the shards as far as they had to be read; empty if nothing is."""
        with self._lock:
            out = ctypes.c_void_p()
            check(lib.ces2_reader_damage(self._open(), ctypes.byref(out)))
            return text_of(out.value)

    def read_at(self, offset: int, length: int) -> bytes:
        """``length`` bytes from ``offset`` on: all of them, or :class:`RangeError`.

        Only the segments that they are in are read.
        """
        if offset < 0 or length < 0:
            raise ArgumentError(Status.ARGUMENT, f"there are no {length} bytes at {offset}")
        if length > max(self.info.plain_len - offset, 0):
            # Before any memory is taken.
            message = f"bytes {offset} to {offset + length} were asked for, and there are {self.info.plain_len}"
            raise RangeError(Status.RANGE, message)
        buffer = bytearray(length)
        if length:
            self._fill(offset, (ctypes.c_uint8 * length).from_buffer(buffer), length)
        return bytes(buffer)

    def copy_to(self, file: BinaryIO) -> int:
        """Writes the whole plaintext, and gives its length.

        Each segment is authenticated before it is written; that the object is whole is known at the end
        only. After an exception, what was written is not to be used.
        """
        with self._lock:
            self._out[0], self._calls.tally.taken[0] = file, 0
            try:
                self._calls.check(lib.ces2_reader_copy(self._open(), self._write, None))
            finally:
                self._out.clear()
            if self._calls.tally.taken[0] != self.info.plain_len:
                raise incomplete(f"{self._calls.tally.taken[0]} of {self.info.plain_len} bytes were written")
        return self.info.plain_len

    def readinto(self, buffer: Any) -> int:
        """Fills a buffer with what comes next, and gives how much that is."""
        into = memoryview(buffer).cast("B")
        length = min(len(into), max(self.info.plain_len - self._at, 0))
        if length:
            self._fill(self._at, (ctypes.c_uint8 * length).from_buffer(into), length)
            self._at += length
        return length

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Sets where reading goes on."""
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self.info.plain_len}
        if whence not in base:
            raise ValueError(f"whence is 0, 1 or 2, not {whence}")
        if base[whence] + offset < 0:
            raise ValueError("nothing is before the beginning")
        self._at = base[whence] + offset
        return self._at

    def tell(self) -> int:
        """Where reading goes on."""
        return self._at

    def readable(self) -> bool:
        """True."""
        return True

    def seekable(self) -> bool:
        """True."""
        return True

    def close(self) -> None:
        """Frees the reader, and overwrites its keys."""
        if not self.closed:
            with self._lock:
                handle, self._handle = self._handle, ctypes.c_void_p()
                lib.ces2_reader_free(handle)
        super().close()

    def _open(self) -> ctypes.c_void_p:
        if not self._handle:
            raise ValueError("the reader is closed")
        return self._handle

    def _fill(self, offset: int, address: Any, length: int) -> None:
        with self._lock:
            self._calls.check(lib.ces2_reader_read_at(self._open(), offset, address, length))
