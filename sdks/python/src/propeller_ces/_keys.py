"""Keys: 32 bytes each."""

from __future__ import annotations

import contextlib
import ctypes
import dataclasses
import functools
from typing import Any, Callable, Iterator, Sequence

from ._errors import CesError, InvalidKeyError, Status
from ._library import AUDIT, check, lib, octets, text

KEY_LEN = 32


def checked(key: bytes) -> bytes:
    """A key that has 32 bytes, before C reads as many."""
    key = octets("a key", key)
    if len(key) != KEY_LEN:
        raise InvalidKeyError(Status.KEY, f"a key has 32 bytes, not {len(key)}")
    if not any(key):
        # One that nobody filled in.
        raise InvalidKeyError(Status.KEY, "a key must be random, this one is nothing but zeros")
    return key


@dataclasses.dataclass(frozen=True)
class Event:
    """One use of a key. No part of it is secret."""

    #: ``wrapped``, ``unwrapped``, ``refused`` or ``rotated``.
    action: str
    #: The id of the key with which it was done, or which was missing.
    key_id: str
    #: The label of the object.
    label: str
    #: The id of the object.
    object_id: str


class Ring(ctypes.c_void_p):
    """The library's ring of keys."""

    #: Who is told of their use, which has to stay as long as it may be called.
    hook: Any = None
    #: What that one raised.
    failed: BaseException | None = None
    #: Counts how often it was called, and ``left`` how often it came to its end.
    counted: Any = None
    left: int = 0

    def tell(self, audit: Callable[[Event], None]) -> None:
        """Has every use told to ``audit``."""

        def told(_: object, pointer: Any) -> None:
            try:
                event = pointer.contents
                audit(
                    Event(
                        action=event.action.decode(),
                        key_id=bytes(event.key_id).hex(),
                        label=event.label.decode(),
                        object_id=bytes(event.object).hex(),
                    )
                )
                self.left += 1
            except BaseException as error:  # noqa: BLE001
                self.failed = error
                self.left += 1

        # As in Calls: a signal may raise before there is a try.
        self.counted = functools.lru_cache(maxsize=0)(told)
        self.hook = AUDIT(self.counted)
        check(lib.ces2_keys_audit(self, self.hook, None))

    def check(self) -> None:
        """Raises what the hook raised."""
        failed, self.failed = self.failed, None
        entered = self.counted.cache_info().misses if self.counted is not None else 0
        is_lost, self.left = entered != self.left, entered
        if failed is not None:
            raise failed
        if is_lost:
            message = "an exception was lost while a key's use was told, such as that of a signal"
            raise CesError(Status.CALLBACK, message)


@dataclasses.dataclass(frozen=True, repr=False)
class Keys:
    """The keys at hand: one to write and to read with, and older ones to read with only."""

    #: What is written with: 32 bytes.
    key: bytes
    #: The environment that ``key`` is for, such as ``production``, or empty for every one.
    label: str = ""
    #: Keys that were written with before.
    older: Sequence[bytes] = ()
    #: Is told every use of these keys before anything is done with what came of it. What it raises is
    #: raised again when the call is over; a :class:`Writer` calls it while it is made, on another thread.
    audit: Callable[[Event], None] | None = None

    def __repr__(self) -> str:
        return f"Keys({key_id(self.key)})"


def _made(function: object, *arguments: object) -> bytes:
    key = ctypes.create_string_buffer(KEY_LEN)
    check(function(*arguments, key))  # type: ignore[operator]
    return key.raw


def key_from_environment() -> bytes:
    """The key in ``CES_ENCRYPTION_KEY``: 64 hexadecimal digits. A missing one is an error."""
    return _made(lib.ces2_key_from_environment)


def random_key() -> bytes:
    """A new key. What it seals is lost with it."""
    return _made(lib.ces2_key_random)


def tenant_key(master: bytes, tenant: str) -> bytes:
    """A tenant's key, derived from a master secret of at least 32 bytes.

    It is HKDF-SHA256 with the salt ``wgt-ces-v1`` and the info ``ces-pipeline-`` and the tenant's name.
    """
    secret, name = octets("a master secret", master), tenant.encode()
    return _made(lib.ces2_key_for_tenant, secret, len(secret), name, len(name))


def key_id(key: bytes) -> str:
    """Names a key without revealing it: 16 hexadecimal digits, which also stand in every shard."""
    out = ctypes.create_string_buffer(8)
    check(lib.ces2_key_id(checked(key), out))
    return out.raw.hex()


@contextlib.contextmanager
def ring(keys: Keys | bytes) -> Iterator[Ring]:
    """The library's ring of keys; a key alone is one as well."""
    if not isinstance(keys, Keys):
        keys = Keys(keys)
    handle = Ring()
    label = text("a label", keys.label) if keys.label else None
    try:
        check(lib.ces2_keys_new(checked(keys.key), label, ctypes.byref(handle)))
        for older in keys.older:
            check(lib.ces2_keys_add(handle, checked(older), None))
        if keys.audit is not None:
            handle.tell(keys.audit)
        yield handle
    finally:
        lib.ces2_keys_free(handle)
        handle.check()
