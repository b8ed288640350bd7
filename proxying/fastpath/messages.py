"""The messages between Python and the engine: ``native/src/codec.rs`` is the other side."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable, Iterator
from enum import IntEnum
from typing import TypeVar

ItemT = TypeVar("ItemT")


class Command(IntEnum):
    """What Python tells the engine; the first byte of the message."""

    LISTEN = 1
    REVISION = 2
    LESSON = 3
    SERVICE = 4
    CONNECTED = 5
    RETURN = 6
    FORGET_CALLERS = 7
    CONFIRMED = 8
    REDIS = 9
    RETIRE = 10


class Event(IntEnum):
    """What the engine tells Python; the first byte of the message."""

    ADOPT = 1
    RESUME = 2
    NEED = 3
    REDIS_LOST = 4
    LINES = 5
    ENDED = 6


class Writer:
    """Writes one message; each method returns the writer."""

    __slots__ = ("_parts",)

    def __init__(self, kind: Command | None = None) -> None:
        self._parts = [] if kind is None else [bytes([kind])]

    def u8(self, value: int) -> Writer:
        """A number below 256, or a truth value."""
        self._parts.append(bytes([value]))
        return self

    def u32(self, value: int) -> Writer:
        """A number of 32 bits."""
        self._parts.append(struct.pack("<I", value))
        return self

    def i32(self, value: int) -> Writer:
        """A number of 32 bits with a sign."""
        self._parts.append(struct.pack("<i", value))
        return self

    def i64(self, value: int) -> Writer:
        """A number of 64 bits with a sign."""
        self._parts.append(struct.pack("<q", value))
        return self

    def f64(self, value: float) -> Writer:
        """A double."""
        self._parts.append(struct.pack("<d", value))
        return self

    def blob(self, value: bytes) -> Writer:
        """Bytes with their length before."""
        self._parts += (struct.pack("<I", len(value)), value)
        return self

    def list(self, items: Iterable[ItemT], one: Callable[[Writer, ItemT], object]) -> Writer:
        """Items with their number before."""
        everything = list(items)
        self.u32(len(everything))
        for item in everything:
            one(self, item)
        return self

    def raw(self, parts: bytes) -> Writer:
        """Parts that were written before."""
        self._parts.append(parts)
        return self

    def message(self) -> bytes:
        """The whole."""
        return b"".join(self._parts)


def addresses(*rows: int) -> bytes:
    """Addresses of rows of metrics, as part of a message."""
    return struct.pack(f"<{len(rows)}q", *rows)


class Reader:
    """Reads one message, part by part. Raises ``struct.error`` when it is too short."""

    __slots__ = ("_message", "_place")

    def __init__(self, message: bytes) -> None:
        self._message = message
        self._place = 0

    def numbers(self, form: str) -> tuple[int, ...]:
        """Numbers by a format of :mod:`struct`, without its byte order."""
        found = struct.unpack_from("<" + form, self._message, self._place)
        self._place += struct.calcsize("<" + form)
        return found

    def number(self, form: str) -> int:
        """One of them."""
        return self.numbers(form)[0]

    def list(self, form: str) -> Iterator[tuple[int, ...]]:
        """Items of such numbers, with how many there are before."""
        length = self.number("I") * struct.calcsize("<" + form)
        start, self._place = self._place, self._place + length
        return struct.iter_unpack("<" + form, self._message[start : self._place])

    def seconds(self) -> float:
        """A double."""
        (found,) = struct.unpack_from("<d", self._message, self._place)
        self._place += 8
        return float(found)

    def blob(self) -> bytes:
        """Bytes with their length before."""
        length = self.number("I")
        start, self._place = self._place, self._place + length
        return self._message[start : self._place]
