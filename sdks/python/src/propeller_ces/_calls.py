"""What the library reads from and writes to while it runs."""

from __future__ import annotations

import ctypes
import functools
import io
from collections import Counter
from typing import Any, BinaryIO, Callable, Collection, Iterable, Mapping, Sequence, Union

from ._errors import ArgumentError, CesError, Status
from ._library import READ, READ_AT, WRITE, WantedStruct, check, octets, text, view

#: A shard: bytes, a file that can be read and sought, or ``None`` where it is missing.
Shard = Union[bytes, bytearray, memoryview, BinaryIO, None]


class Tally:
    """What callbacks found. It is not of :class:`Calls`, which keeps them: nothing goes round in a circle
    that would keep shards in memory."""

    def __init__(self) -> None:
        #: What ends the call.
        self.failed: BaseException | None = None
        #: Why a shard could not be read: it is a missing one, and the others may be enough.
        self.missing: Exception | None = None
        #: Whether the plaintext said that nothing comes any more.
        self.ended = False
        #: How many bytes of plaintext the library was given.
        self.given = 0
        #: How many bytes each sink took.
        self.taken: Counter[int] = Counter()
        #: How many callbacks came to their end.
        self.left = 0


class Calls:
    """Callbacks for one call. What one of them raises is raised again when the call is over.

    A signal's handler may raise in a callback where no ``try`` is around it yet. ctypes then gives C
    whatever is in the place of the result, such as a 0: the end of the input, or what is written or
    filled. So every callback is counted on both sides, and no call succeeds in which one of them never
    came to its end.
    """

    def __init__(self) -> None:
        self.tally = Tally()
        self._counted: list[Any] = []

    def _guarded(self, otherwise: int, run: Callable[..., int], may_miss: bool = False) -> Any:
        tally = self.tally

        def callback(*arguments: Any) -> int:
            # Nothing that is raised may cross the library.
            try:
                result = run(*arguments)
                tally.left += 1
                return result
            except BaseException as error:  # noqa: BLE001
                if may_miss and isinstance(error, Exception):
                    tally.missing = error
                elif tally.failed is None:
                    tally.failed = error
                tally.left += 1
                return otherwise

        # It keeps nothing, and counts in C: no signal is handled before it did.
        counted = functools.lru_cache(maxsize=0)(callback)
        self._counted.append(counted)
        return counted

    def reader(self, plain: BinaryIO) -> Any:
        """Reads plaintext from a file."""

        tally = self.tally

        def read(_: object, address: int, length: int) -> int:
            data = plain.read(length)
            if data is None:
                raise BlockingIOError("the plaintext is not there yet: give a file that waits")
            data = memoryview(data).cast("B")
            if len(data) > length:
                raise ValueError("the file gave more than it was asked for")
            if data:
                view(address, length)[: len(data)] = data
                tally.given += len(data)
            else:
                tally.ended = True
            return len(data)

        return READ(self._guarded(-1, read))

    def writer(self, sinks: Mapping[int, BinaryIO] | Sequence[BinaryIO]) -> Any:
        """Writes to the file of each shard."""

        tally = self.tally

        def write(_: object, shard: int, address: int, length: int) -> int:
            rest = view(address, length).toreadonly()
            while rest:
                # A file without a buffer may take a part; what is kept of it would be the library's.
                written = sinks[shard].write(bytes(rest))
                if written is None:
                    raise BlockingIOError("the file takes nothing now: give one that waits")
                if not isinstance(written, int) or not 1 <= written <= len(rest):
                    raise ValueError(f"the file was given {len(rest)} bytes, and says that it took {written!r}")
                tally.taken[shard] += written
                rest = rest[written:]
            return 0

        return WRITE(self._guarded(1, write))

    def read_at(self, sources: Sequence[Source]) -> Any:
        """Reads shards at any place."""

        def read(_: object, place: int, offset: int, address: int, length: int) -> int:
            sources[place].read_at(offset, view(address, length))
            return 0

        return READ_AT(self._guarded(1, read, may_miss=True))

    def check(self, status: int) -> None:
        """Raises what a callback raised, or else what a status stands for."""
        tally = self.tally
        failed, tally.failed = tally.failed, None
        missing, tally.missing = tally.missing, None
        entered = sum(counted.cache_info().misses for counted in self._counted)
        is_lost, tally.left = entered != tally.left, entered
        try:
            check(status)
        except CesError as error:
            if failed is not None and (error.status == Status.CALLBACK or not isinstance(failed, Exception)):
                # Such as the user's interruption.
                raise failed from error
            if not is_lost:
                raise error from (failed or missing)
        if failed is not None:
            raise failed
        if is_lost:
            raise incomplete("an exception was lost while the library called back, such as that of a signal")

    def check_shards(self, shards: Iterable[int], lengths: Collection[int] | None = None) -> None:
        """That the sinks took as much as each other, and one of ``lengths``."""
        taken = {self.tally.taken[shard] for shard in shards}
        if len(taken) > 1 or (lengths is not None and not taken.issubset(lengths)):
            raise incomplete(f"the shards have lengths that cannot be: {sorted(taken)}")

    def check_plain(self, length: int) -> None:
        """That the object has all the plaintext that was given, and no more."""
        if self.tally.given != length:
            raise incomplete(f"{self.tally.given} bytes of plaintext were given, and {length} taken")


def incomplete(why: str) -> CesError:
    """What was written is not all there is."""
    return CesError(Status.CALLBACK, f"{why}: what was written is of no use")


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
    digest = octets("the digest", digest) if digest is not None else None
    for what, value, length in (("object's id", identity, 16), ("digest", digest, 32)):
        if value is not None and len(value) != length:
            message = f"the {what} has {length} bytes, not {len(value)}"
            raise ArgumentError(Status.ARGUMENT, message)
    # The structure keeps what it points to alive.
    return WantedStruct(identity, digest, text("a label", label) if label is not None else None)
