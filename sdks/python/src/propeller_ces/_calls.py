"""What the library reads from and writes to while it runs."""

from __future__ import annotations

import ctypes
import io
from typing import Any, BinaryIO, Callable, Mapping, Sequence, Union

from ._errors import ArgumentError, CesError, Status
from ._library import READ, READ_AT, WRITE, WantedStruct, check, view

#: A shard: bytes, a file that can be read and sought, or ``None`` where it is missing.
Shard = Union[bytes, bytearray, memoryview, BinaryIO, None]


class Calls:
    """Callbacks for one call. What one of them raises is raised again when the call is over."""

    def __init__(self) -> None:
        self.failed: BaseException | None = None

    def _guarded(self, otherwise: int, run: Callable[[], int]) -> int:
        # Nothing that is raised may cross the library.
        try:
            return run()
        except BaseException as error:  # noqa: BLE001
            if self.failed is None:
                self.failed = error
            return otherwise

    def reader(self, plain: BinaryIO) -> Any:
        """Reads plaintext from a file."""

        def read(address: int, length: int) -> int:
            data = plain.read(length)
            if data is None:
                raise BlockingIOError("the plaintext is not there yet: give a file that waits")
            if len(data) > length:
                raise ValueError("the file gave more than it was asked for")
            view(address, length)[: len(data)] = data
            return len(data)

        return READ(lambda _, address, length: self._guarded(-1, lambda: read(address, length)))

    def writer(self, sinks: Mapping[int, BinaryIO] | Sequence[BinaryIO]) -> Any:
        """Writes to the file of each shard."""

        def write(shard: int, address: int, length: int) -> int:
            rest = view(address, length).toreadonly()
            while rest:
                # A file without a buffer may take a part; what is kept of it would be the library's.
                written = sinks[shard].write(bytes(rest))
                if written is None:
                    raise BlockingIOError("the file takes nothing now: give one that waits")
                rest = rest[written:]
            return 0

        return WRITE(lambda _, shard, address, length: self._guarded(1, lambda: write(shard, address, length)))

    def read_at(self, sources: Sequence[Source]) -> Any:
        """Reads shards at any place."""

        def read(place: int, offset: int, address: int, length: int) -> int:
            sources[place].read_at(offset, view(address, length))
            return 0

        return READ_AT(
            lambda _, place, offset, address, length: self._guarded(1, lambda: read(place, offset, address, length))
        )

    def check(self, status: int) -> None:
        """Raises what a callback raised, or else what a status stands for."""
        failed, self.failed = self.failed, None
        if status == 0 and (failed is None or isinstance(failed, Exception)):
            # A shard that could not be read is a missing one, and the others were enough.
            return
        if failed is not None and not isinstance(failed, Exception):
            # Such as the user's interruption.
            raise failed
        try:
            check(status)
        except CesError as error:
            if failed is not None and error.status == Status.CALLBACK:
                raise failed from error
            raise error from failed


class Source:
    """A shard that can be read at any place."""

    def __init__(self, shard: Shard) -> None:
        self._file: BinaryIO | None = None
        self._bytes = memoryview(b"")
        if shard is None:
            self.size = 0
        elif isinstance(shard, (bytes, bytearray, memoryview)):
            self._bytes = memoryview(shard).cast("B")
            self.size = len(self._bytes)
        else:
            self._file = shard
            self.size = shard.seek(0, io.SEEK_END)

    def read_at(self, offset: int, into: memoryview) -> None:
        """Fills ``into``."""
        if self._file is None:
            into[:] = self._bytes[offset : offset + len(into)]
            return
        self._file.seek(offset)
        done = 0
        while done < len(into):
            data = self._file.read(len(into) - done)
            if not data:
                raise EOFError("the shard became shorter while it was read")
            into[done : done + len(data)] = data
            done += len(data)


def sizes_of(sources: Sequence[Source]) -> Any:
    """The sizes of shards, as C has them."""
    return (ctypes.c_uint64 * max(len(sources), 1))(*(source.size for source in sources))


def wanted_of(object_id: str | None, digest: bytes | None, label: str | None) -> WantedStruct:
    """Which object is wanted, as C has it."""
    identity = bytes.fromhex(object_id) if object_id is not None else None
    for what, value, length in (("object's id", identity, 16), ("digest", digest, 32)):
        if value is not None and len(value) != length:
            message = f"the {what} has {length} bytes, not {len(value)}"
            raise ArgumentError(Status.ARGUMENT, message)
    # The structure keeps what it points to alive.
    return WantedStruct(identity, digest, label.encode() if label is not None else None)
