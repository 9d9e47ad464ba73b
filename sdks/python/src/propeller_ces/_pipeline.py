"""Whole objects in memory."""

from __future__ import annotations

import ctypes
import threading
from types import TracebackType
from typing import Sequence

from ._errors import ArgumentError, Status
from ._keys import checked, key_from_environment, key_id, random_key
from ._library import check, copied, last_failure, lib, octets, present

#: How much plaintext of the older implementation is taken unless it is told otherwise, in bytes: 1 GiB.
PLAIN_MAX_V0 = 1024 * 1024 * 1024


class Pipeline:
    """Makes 8 + 4 shards of bytes, and bytes of shards, under one key.

    Threads may share one; close it when they are done. It is a context manager.
    """

    def __init__(self, key: bytes, level: int = 3) -> None:
        """Takes a key of 32 random bytes, and a level: 0 (not compressed) or 1 (fast) to 22 (small)."""
        if not 0 <= level <= 22:
            message = f"a compression level is 0 (not compressed) or 1 to 22, got {level}"
            raise ArgumentError(Status.ARGUMENT, message)
        self._id = key_id(key)
        self._lock = threading.Condition()
        self._users = 0
        self._handle: int | None = lib.ces_new_with_key(level, checked(key))
        if not self._handle:
            raise last_failure()

    @classmethod
    def from_environment(cls, level: int = 3) -> Pipeline:
        """With the key in ``CES_ENCRYPTION_KEY``; a missing or malformed one is an error."""
        return cls(key_from_environment(), level)

    @classmethod
    def ephemeral(cls, level: int = 3) -> Pipeline:
        """With a random key that is lost with the pipeline. It is for tests."""
        return cls(random_key(), level)

    def process(self, data: bytes | bytearray | memoryview) -> list[bytes]:
        """The 12 shards of a new object, any 8 of which give ``data`` back."""
        data = octets("what is sharded", data)
        with self._used() as handle:
            made = lib.ces_process(handle, data, len(data))
            if not made.shards:
                raise last_failure()
            try:
                return [copied(made.shards[i].data, made.shards[i].len) for i in range(made.count)]
            finally:
                lib.ces_free_shards(made)

    def reconstruct(self, shards: Sequence[bytes | bytearray | memoryview | None]) -> bytes:
        """The bytes of an object, of any of its shards, at least 8 of which are good.

        ``None`` stands for a missing one. They may stand in any order and be of any number; damaged
        ones and those of other objects count as missing. Where none begins like one, or those that do give
        nothing back, the others are taken for shards of the older implementation, which stand at their
        index.
        """
        kept = [None if shard is None else octets("a shard", shard) for shard in shards]
        array, flags = present(kept)
        with self._used() as handle:
            result = lib.ces_reconstruct(handle, array, len(kept), flags)
            try:
                if result.success != 1:
                    raise last_failure()
                return copied(result.data, result.data_len)
            finally:
                lib.ces_free_result(result)

    def close(self) -> None:
        """Frees the pipeline when nobody uses it any more, and overwrites its key."""
        with self._lock:
            self._lock.wait_for(lambda: self._users == 0)
            # Nothing that a signal raises in between frees it twice.
            handle, self._handle = self._handle, None
            lib.ces_free(handle)

    def _used(self) -> _Use:
        return _Use(self)

    def __enter__(self) -> Pipeline:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def __del__(self) -> None:
        if getattr(self, "_handle", None):
            lib.ces_free(self._handle)

    def __repr__(self) -> str:
        return f"Pipeline({self._id})"


class _Use:
    """Somebody uses a pipeline: it is not freed."""

    def __init__(self, pipeline: Pipeline) -> None:
        self._pipeline = pipeline

    def __enter__(self) -> int:
        with self._pipeline._lock:
            if self._pipeline._handle is None:
                raise ValueError("the pipeline is closed")
            self._pipeline._users += 1
            return self._pipeline._handle

    def __exit__(self, *_: object) -> None:
        with self._pipeline._lock:
            self._pipeline._users -= 1
            self._pipeline._lock.notify_all()


def reconstruct_v0(
    key: bytes,
    shards: Sequence[bytes | None],
    data: int = 8,
    parity: int = 4,
    plain_max: int = PLAIN_MAX_V0,
) -> bytes:
    """The bytes of shards of the older implementation, of any geometry, each at its index."""
    if not (1 <= data <= 128 and 0 <= parity <= 128):
        message = f"there are 1 to 128 data and 0 to 128 parity shards, not {data} and {parity}"
        raise ArgumentError(Status.ARGUMENT, message)
    kept = [None if shard is None else octets("a shard", shard) for shard in shards]
    array, flags = present(kept)
    plain, length = ctypes.c_void_p(), ctypes.c_size_t()
    try:
        check(
            lib.ces2_reconstruct_v0(
                checked(key),
                data,
                parity,
                plain_max,
                array,
                len(kept),
                flags,
                ctypes.byref(plain),
                ctypes.byref(length),
            )
        )
        return copied(plain.value, length.value)
    finally:
        lib.ces2_free_plain(plain, length)
