"""GOAWAY frames, taken out of what an upstream sends before ``h2`` sees it.

After a GOAWAY ``h2`` takes no frame any more, not even of the streams that the upstream goes on
answering (RFC 9113 6.8): every rolling restart of an upstream would break its calls off. Only frame
boundaries are read here (RFC 9113 4.1). Pure.
"""

from __future__ import annotations

from dataclasses import dataclass

_HEAD = 9
_GOAWAY = 7
_GOAWAY_BYTES = 8
_MOST = 16384
"""Bytes of a frame's payload, for want of a larger SETTINGS_MAX_FRAME_SIZE (4.2). ``h2`` would wait
for a frame's last byte before it looks, for megabytes where an upstream speaks HTTP/1.1."""


@dataclass(frozen=True, slots=True)
class GoAway:
    """No stream above *last* was or will be worked on."""

    last: int
    code: int


class FrameGate:
    """Cuts GOAWAY frames out of the bytes of one connection."""

    __slots__ = ("_head", "_left", "_payload")

    def __init__(self) -> None:
        self._head = b""
        """Of a frame whose head is not all here."""
        self._left = 0
        """Bytes of the current frame's payload that are still to come."""
        self._payload: bytearray | None = None
        """Of a GOAWAY that is not all here."""

    def feed(self, data: bytes) -> tuple[bytes, list[GoAway]]:
        """*data* without GOAWAY frames, and those. Raises ``ValueError``: a frame of bad size."""
        if not self._head and self._payload is None and len(data) <= self._left:
            self._left -= len(data)
            return data, []
        passed: list[bytes] = []
        found: list[GoAway] = []
        data = self._head + data
        self._head = b""
        position = 0
        while position < len(data):
            if not self._left:
                head = data[position : position + _HEAD]
                if len(head) < _HEAD:
                    self._head = head
                    break
                self._begin(head, passed)
                position += _HEAD
            piece = data[position : position + self._left]
            position += len(piece)
            self._left -= len(piece)
            self._take(piece, passed, found)
        return b"".join(passed), found

    def _begin(self, head: bytes, passed: list[bytes]) -> None:
        self._left = int.from_bytes(head[:3])
        if self._left > _MOST:
            raise ValueError("not an HTTP/2 frame")
        if head[3] != _GOAWAY:
            passed.append(head)
        elif self._left < _GOAWAY_BYTES:
            raise ValueError("a GOAWAY of that size")
        else:
            self._payload = bytearray()

    def _take(self, piece: bytes, passed: list[bytes], found: list[GoAway]) -> None:
        payload = self._payload
        if payload is None:
            passed.append(piece)
            return
        payload += piece
        if not self._left:
            last = int.from_bytes(payload[:4]) & 0x7FFFFFFF
            found.append(GoAway(last, int.from_bytes(payload[4:8])))
            self._payload = None
