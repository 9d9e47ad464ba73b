"""Why a call failed."""

from __future__ import annotations

import enum


class Status(enum.IntEnum):
    """What came of a call; the numbers are those of the C library."""

    OK = 0
    NULL = 1
    ARGUMENT = 2
    KEY = 3
    KEY_NOT_AT_HAND = 4
    REFUSED = 5
    LOST = 6
    RANGE = 7
    CALLBACK = 8
    SYSTEM = 9
    SPENT = 10
    PANIC = 11


class CesError(Exception):
    """A call failed. ``status`` says how; the text never holds a key."""

    def __init__(self, status: Status, message: str) -> None:
        super().__init__(message)
        self.status = status


class ArgumentError(CesError, ValueError):
    """An argument is outside what it may be."""


class InvalidKeyError(CesError, ValueError):
    """There is no key where one is looked for, or what is there is none."""


class KeyNotAtHandError(CesError, LookupError):
    """The object's key is not among those at hand."""


class RefusedError(CesError):
    """The object is another environment's, another version, or forged. Nothing of it is to be used."""


class LostError(CesError):
    """Too many shards are bad or missing. The text lists them."""


class RangeError(CesError, IndexError):
    """The object ends before the range that was asked for does."""


_CLASSES = {
    Status.ARGUMENT: ArgumentError,
    Status.KEY: InvalidKeyError,
    Status.KEY_NOT_AT_HAND: KeyNotAtHandError,
    Status.REFUSED: RefusedError,
    Status.LOST: LostError,
    Status.RANGE: RangeError,
}


def error_of(status: int, message: str) -> CesError:
    """The exception for a status."""
    known = Status(status)
    return _CLASSES.get(known, CesError)(known, message)
