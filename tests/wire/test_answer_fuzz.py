"""Random answers, cut anywhere: what is taken of them does not depend on the cuts, and aiohttp, the
oracle, takes the same. What aiohttp takes and we refuse is refused by rule (docs of ``framing``).
"""

from __future__ import annotations

import asyncio
from itertools import pairwise

from aiohttp.base_protocol import BaseProtocol
from aiohttp.http_exceptions import HttpProcessingError
from aiohttp.http_parser import HttpResponseParser
from hypothesis import given, settings
from hypothesis import strategies as st

from proxying.http2.frames import FrameGate
from proxying.wire.framing import FramingError
from proxying.wire.parsing import AnswerParser

Outcome = tuple[int, bytes] | None
"""Status and body of a whole answer; ``None``: refused, or not whole."""

_HEADS = st.sampled_from(
    [*[b"HTTP/1.1 200 OK"] * 8, b"HTTP/1.1 200", b"HTTP/1.0 200 OK", b"HTTP/1.1 204 No Content",
     b"HTTP/1.1 304 Not Modified", b"HTTP/1.1 103 Early\r\n\r\nHTTP/1.1 200 OK", b"HTTP/2 200 OK",
     b"HTTP/1.1  200 OK", b"http/1.1 200 OK", b"HTTP/1.1 20 OK", b""]
)  # fmt: skip
_LINES = st.sampled_from(
    [b"Content-Length: 5", b"Content-Length: 0", b"Content-Length: +5", b"Content-Length: 5, 5",
     b"Transfer-Encoding: chunked", b"Transfer-Encoding: gzip, chunked", b"X-A: b", b"X-A : b",
     b" folded", b"Connection: close", b"nonsense", b"X: \x00", b"X: \xff"]
)  # fmt: skip
_BODIES = st.sampled_from(
    [b"hello", b"", b"5\r\nhello\r\n0\r\n\r\n", b"5;a=b\r\nhello\r\n0\r\nX: y\r\n\r\n",
     b"5\nhello\n0\n\n", b"05\r\nhello\r\n00\r\n\r\n", b"g\r\n", b"5\r\nhelloX\r\n0\r\n\r\n",
     b"0\r\n\r\n", b"hello, and more", b"5\r\nhello\r\n"]
)  # fmt: skip
_ENDS = st.sampled_from([*[b"\r\n"] * 8, b"\n", b"\r"])


@st.composite
def answers(draw: st.DrawFn) -> bytes:
    """An answer that is nearly right."""
    end = draw(_ENDS)
    lines = [draw(_HEADS), *draw(st.lists(_LINES, max_size=2)), b"", draw(_BODIES)]
    sent = end.join(lines)
    if draw(st.integers(0, 3)) == 0 and sent:
        place = draw(st.integers(min_value=0, max_value=len(sent) - 1))
        sent = sent[:place] + draw(st.binary(max_size=2)) + sent[place + 1 :]
    return sent


def cut(data: bytes, places: list[int]) -> list[bytes]:
    """*data* in pieces."""
    marks = sorted({0, len(data), *(place % (len(data) or 1) for place in places)})
    return [data[start:end] for start, end in pairwise(marks)]


def ours(pieces: list[bytes]) -> Outcome:
    """What the native transport makes of *pieces* and the end of the connection."""
    parser = AnswerParser(to_head=False, max_header_bytes=65536)
    body = b""
    try:
        for piece in pieces:
            if not parser.complete:
                body += parser.feed(piece)
    except FramingError:
        return None
    return (parser.status, body) if parser.end() else None


def exceeds(data: bytes) -> bool:
    """Whether more comes than the answer: we drop it with the connection, aiohttp the answer."""
    parser = AnswerParser(to_head=False, max_header_bytes=65536)
    parser.feed(data)
    return parser.excess


def theirs(data: bytes) -> Outcome:
    """What aiohttp makes of *data* and the end of the connection."""

    async def read() -> Outcome:
        loop = asyncio.get_running_loop()
        parser = HttpResponseParser(BaseProtocol(loop), loop, 2**16, read_until_eof=True)
        try:
            messages, _, _ = parser.feed_data(data)
            while messages and messages[0][0].code < 200:
                messages = messages[1:]
            if not messages:
                return None
            parser.feed_eof()
            message, payload = messages[0]
            return (message.code, bytes(await asyncio.wait_for(payload.read(), 1)))
        except (HttpProcessingError, TimeoutError, OSError):
            return None

    return asyncio.run(read())


@settings(max_examples=300, deadline=None)
@given(answers(), st.lists(st.integers(min_value=0), max_size=12))
def test_where_an_answer_is_cut_changes_nothing(sent: bytes, places: list[int]) -> None:
    whole = ours([sent])
    assert ours(cut(sent, places)) == whole
    assert ours([bytes((byte,)) for byte in sent]) == whole


@settings(max_examples=300, deadline=None)
@given(answers())
def test_what_is_taken_is_what_aiohttp_takes(sent: bytes) -> None:
    found = ours([sent])
    if found is not None and found[1] and not exceeds(sent):
        assert theirs(sent) == found


@settings(max_examples=100, deadline=None)
@given(
    st.lists(st.tuples(st.sampled_from([0, 1, 4, 7, 8]), st.binary(min_size=8, max_size=40))),
    st.lists(st.integers(min_value=0), max_size=12),
)
def test_farewells_are_found_wherever_the_frames_are_cut(
    frames: list[tuple[int, bytes]], places: list[int]
) -> None:
    def framed(kind: int, payload: bytes) -> bytes:
        return len(payload).to_bytes(3) + bytes((kind, 0, 0, 0, 0, 1)) + payload

    gate = FrameGate()
    fed = [gate.feed(piece) for piece in cut(b"".join(framed(*one) for one in frames), places)]
    assert b"".join(passed for passed, _ in fed) == b"".join(
        framed(*one) for one in frames if one[0] != 7
    )
    assert sum(len(found) for _, found in fed) == sum(kind == 7 for kind, _ in frames)
