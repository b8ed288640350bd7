"""The request body on its way up."""

from __future__ import annotations

import pytest

from proxying.errors import BodyTooLarge
from proxying.exchange import Body, Bytes, Exchange
from proxying.upload import REPLAY_BYTES, Upload


class Pieces:
    """A body of unknown length in the given pieces."""

    def __init__(self, *pieces: bytes) -> None:
        self.size: int | None = None
        self._pieces = list(pieces)

    async def read(self) -> bytes:
        return self._pieces.pop(0) if self._pieces else b""


def upload(body: Body, limit: int = 10**9) -> Upload:
    return Upload(Exchange("PUT", b"/", None, [], body, ""), limit)


async def whole(body: Body) -> bytes:
    content = b""
    while piece := await body.read():
        content += piece
    return content


def test_a_declared_length_over_the_bound_is_refused_before_a_byte_is_read() -> None:
    with pytest.raises(BodyTooLarge):
        upload(Bytes(b"12345"), limit=4)


async def test_a_body_is_counted_whatever_it_declares() -> None:
    body = upload(Pieces(b"123", b"456"), limit=5)
    assert await body.read() == b"123"
    with pytest.raises(BodyTooLarge):
        await body.read()


async def test_a_small_body_can_be_sent_again() -> None:
    body = upload(Pieces(b"ab", b"cd"))
    assert await whole(body) == b"abcd"
    body.rewind()
    assert await whole(body) == b"abcd"


async def test_a_body_read_in_part_goes_on_after_its_first_pieces() -> None:
    body = upload(Pieces(b"ab", b"cd"))
    await body.read()
    body.rewind()
    assert await whole(body) == b"abcd"


async def test_a_large_body_is_not_kept() -> None:
    body = upload(Pieces(b"x" * REPLAY_BYTES, b"y"))
    await whole(body)
    assert not body.replayable
    with pytest.raises(ValueError):
        body.rewind()
