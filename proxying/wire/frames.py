"""Where WebSocket frames begin in a stream that is carried unread (RFC 6455 5.2). No I/O.

Only lengths are looked at, so that the gateway knows whether a Close frame of its own would be read
as one. A stream that is not made of frames gives nonsense and does no harm.
"""

from __future__ import annotations

import secrets
import struct

GOING_AWAY = 1001
"""Status of a Close frame: the endpoint, here the gateway, goes away (7.4.1)."""

_CLOSE = 0x8
_FINAL = 0x80
_MASKED = 0x80
_EXTENDED = {126: 2, 127: 8}
"""Bytes of length that follow the first two bytes, by what those say."""


class Frames:
    """Follows one direction of a connection."""

    __slots__ = ("_head", "_left", "closing")

    def __init__(self) -> None:
        self.closing = False
        """A Close frame passed: nothing may follow it (5.5.1)."""
        self._left = 0
        self._head = b""
        """The beginning of a frame whose length is not known yet."""

    @property
    def between(self) -> bool:
        """Whether the next byte begins a frame."""
        return not self._left and not self._head

    def feed(self, data: bytes) -> None:
        """Take note of what passes."""
        position, end = self._left, len(data)
        if position >= end:
            self._left = position - end
            return
        if self._head:
            data, self._head = self._head + data, b""
            end = len(data)
        while position < end:
            size = _frame_size(data, position, end)
            if not size:
                self._head = data[position:]
                break
            self.closing |= data[position] & 0x0F == _CLOSE
            position += size
        self._left = max(0, position - end)


def _frame_size(data: bytes, position: int, end: int) -> int:
    """Bytes of the whole frame at *position*; 0 when they do not say yet."""
    if end - position < 2:
        return 0
    second = data[position + 1]
    size = second & 0x7F
    head = 2
    extended = _EXTENDED.get(size)
    if extended is not None:
        head += extended
        if end - position < head:
            return 0
        size = int.from_bytes(data[position + 2 : position + head], "big")
    return head + size + (4 if second & _MASKED else 0)


def close_frame(status: int, reason: bytes, *, masked: bool) -> bytes:
    """A Close frame (5.5.1), masked as clients must (5.3); *reason* has at most 123 bytes."""
    content = struct.pack(">H", status) + reason
    head = bytes((_FINAL | _CLOSE, (_MASKED if masked else 0) | len(content)))
    if not masked:
        return head + content
    mask = secrets.token_bytes(4)
    return head + mask + bytes(byte ^ mask[i % 4] for i, byte in enumerate(content))
