"""What the ASGI binding refuses because no HTTP/1.1 message could hold it."""

from __future__ import annotations

import pytest

from proxying.bindings.asgi_strict import fault_of
from proxying.exchange import Headers


@pytest.mark.parametrize(
    ("method", "query", "headers"),
    [
        ("GET", None, []),
        ("M-SEARCH", b"a=1&b=%zz?/'\"<>|{}", [(b"x-!#$%&'*+.^_`|~9", b"a\tb \xe9\xff")]),
        ("get", b"", [(b"x", b"")]),
    ],
)
def test_what_http_allows_passes(method: str, query: bytes | None, headers: Headers) -> None:
    assert fault_of(method, query, headers) is None


@pytest.mark.parametrize("method", ["", "G T", "GET\t/a", "G(T", "GET,PUT", "G\xcbT", "GET\n"])
def test_a_method_is_a_token(method: str) -> None:
    assert fault_of(method, None, []) is not None


@pytest.mark.parametrize("query", [b"a b", b"a\tb", b"a#b", b"\x00", b"\x7f", b"\xe9", b"a\n"])
def test_a_query_is_printable_and_holds_no_fragment(query: bytes) -> None:
    assert fault_of("GET", query, []) is not None


@pytest.mark.parametrize(
    "line", [(b"", b""), (b"x y", b""), (b"x:", b""), (b"x\xe9", b""), (b"x", b"\x01"),
             (b"x", b"a\r\nb"), (b"x", b"\x7f"), (b"x\n", b"")],
)  # fmt: skip
def test_a_header_line_is_a_token_and_no_controls(line: tuple[bytes, bytes]) -> None:
    assert fault_of("GET", None, [line]) is not None
