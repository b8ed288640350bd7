"""The rules of RFC 9112 on where a message ends, and answers cut anywhere."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxying.wire.framing import (
    FramingError,
    UnknownCodingError,
    answer_size,
    chunk,
    content_length,
    keeps_alive,
    request_head,
    request_size,
    transfer_encoding,
)
from proxying.wire.parsing import AnswerParser


@pytest.mark.parametrize(
    "values",
    [
        [b"1", b"1"],
        [b"1", b"2"],
        [b""],
        [b"+1"],
        [b"-1"],
        [b"1, 1"],
        [b"1_0"],
        [b"0x1"],
        [b" 1"],
        ["\u0661".encode()],
        [b"1.0"],
        [b"9" * 19],
    ],
)
def test_a_length_that_is_not_one_plain_number_is_refused(values: list[bytes]) -> None:
    with pytest.raises(FramingError):
        content_length(values)


@given(st.integers(min_value=0, max_value=10**18 - 1))
def test_a_plain_number_is_the_length(length: int) -> None:
    assert content_length([b"%d" % length]) == length


@pytest.mark.parametrize(
    "values",
    [
        [b"gzip"],
        [b"gzip, chunked"],
        [b"chunked, chunked"],
        [b"chunked", b"chunked"],
        [b""],
        [b"identity"],
        [b"xchunked"],
        [b"chunked;q=1"],
    ],
)
def test_a_coding_that_is_not_one_chunked_is_refused(values: list[bytes]) -> None:
    with pytest.raises(UnknownCodingError):
        transfer_encoding(values)


def test_chunked_is_known_in_any_case() -> None:
    assert request_size([], [b"Chunked"], http11=True) is None


def test_both_headers_are_refused_even_where_there_is_no_body() -> None:
    with pytest.raises(FramingError):
        answer_size([b"1"], [b"chunked"], status=304, to_head=True, http11=True)


def test_a_coding_in_an_old_message_is_refused() -> None:
    with pytest.raises(FramingError):
        request_size([], [b"chunked"], http11=False)


@pytest.mark.parametrize(("status", "to_head"), [(204, False), (304, False), (200, True)])
def test_some_answers_have_no_body_whatever_they_declare(status: int, to_head: bool) -> None:
    assert answer_size([b"9"], [], status=status, to_head=to_head, http11=True) == 0


def test_without_a_length_an_answer_is_open_and_a_request_is_empty() -> None:
    assert answer_size([], [], status=200, to_head=False, http11=True) is None
    assert request_size([], [], http11=True) == 0


@pytest.mark.parametrize(
    ("values", "http11", "kept"),
    [
        ([], True, True),
        ([], False, False),
        ([b"keep-alive"], False, False),
        ([b"x, Close"], True, False),
        ([b"x", b"close"], True, False),
        ([b"closed"], True, True),
    ],
)
def test_who_keeps_a_connection(values: list[bytes], http11: bool, kept: bool) -> None:
    assert keeps_alive(values, http11=http11) is kept


@pytest.mark.parametrize(
    ("size", "force", "line"),
    [
        (None, False, b"Transfer-Encoding: chunked\r\n"),
        (3, False, b"Content-Length: 3\r\n"),
        (0, False, b""),
        (0, True, b"Content-Length: 0\r\n"),
    ],
)
def test_the_size_decides_the_framing_line(size: int | None, force: bool, line: bytes) -> None:
    head = request_head("PUT", b"/a?b", [(b"X-a", b" \xff ")], size, force_length=force)
    assert head == b"PUT /a?b HTTP/1.1\r\nX-a:  \xff \r\n" + line + b"\r\n"


@pytest.mark.parametrize("bad", [b"a\rb", b"a\nb", b"a\r\nb", b"a\0b", b"\r\nX: y"])
def test_no_line_break_is_written_from_outside(bad: bytes) -> None:
    for target, headers in (
        (bad, []),
        (b"/", [(bad, b"v")]),
        (b"/", [(b"n", bad)]),
    ):
        with pytest.raises(FramingError):
            request_head("GET", target, headers, 0)


@pytest.mark.parametrize("name", [b"Content-Length", b"transfer-encoding"])
def test_the_caller_does_not_write_framing(name: bytes) -> None:
    with pytest.raises(FramingError):
        request_head("GET", b"/", [(name, b"1")], 0)


def test_a_space_in_the_target_is_refused() -> None:
    with pytest.raises(FramingError):
        request_head("GET", b"/ HTTP/1.1", [], 0)


_FIELDS = (
    b"Content-Type: text/plain\r\n",
    b"Set-Cookie: a\r\n",
    b"set-cookie: \xe9\r\n",
    b"E:\r\n",
)


def _fed(pieces: list[bytes]) -> tuple[object, ...]:
    parser = AnswerParser(to_head=False, max_header_bytes=65536)
    body = b"".join([parser.feed(piece) for piece in pieces])
    return parser.status, parser.headers, parser.size, body, parser.complete, parser.excess


def _cut(data: bytes, places: list[int]) -> list[bytes]:
    bounds = [0, *sorted(place % len(data) for place in places), len(data)]
    return [data[start:end] for start, end in pairwise(bounds) if start < end]


@given(
    contents=st.lists(st.binary(min_size=1, max_size=40), max_size=4),
    chunked=st.booleans(),
    interim=st.integers(0, 3),
    extra=st.sampled_from([b"", b"\r", b"\n", b"\r\n", b"H", b"HTTP/1.1 200 OK\r\n\r\n"]),
    places=st.lists(st.integers(0, 10_000), max_size=12),
)
def test_an_answer_is_the_same_wherever_its_bytes_are_cut(
    contents: list[bytes], chunked: bool, interim: int, extra: bytes, places: list[int]
) -> None:
    body = b"".join(contents)
    framing = b"Transfer-Encoding: chunked" if chunked else b"Content-Length: %d" % len(body)
    sent = b"".join(map(chunk, contents)) + b"0\r\nTrailer: x\r\n\r\n" if chunked else body
    head = b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n" * interim + b"HTTP/1.1 200 OK\r\n"
    data = head + b"".join(_FIELDS) + framing + b"\r\n\r\n" + sent

    status, headers, size, got, complete, excess = _fed(_cut(data, places))

    assert (status, size, got, complete) == (200, None if chunked else len(body), body, True)
    assert isinstance(headers, list)
    assert headers[:4] == [
        (b"content-type", b"text/plain"),
        (b"set-cookie", b"a"),
        (b"set-cookie", b"\xe9"),
        (b"e", b""),
    ]
    assert not excess
    assert _fed([data + extra])[3:] == (body, True, bool(extra))


def test_a_byte_beyond_the_end_is_seen_when_the_end_is_cut() -> None:
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    assert _fed([head, b"0\r", b"\n\r\n"])[4:] == (True, False)
    assert _fed([head, b"0\r", b"\n\r\n\r\n"])[4:] == (True, True)
