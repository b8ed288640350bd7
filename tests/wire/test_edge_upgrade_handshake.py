"""What asks for a WebSocket, and what answers it (RFC 6455 4)."""

from __future__ import annotations

import pytest

from proxying.errors import BadRequest, UpgradeRequired
from proxying.exchange import EMPTY, Exchange, Headers
from proxying.handshake import accepts, requested_key

KEY = b"dGhlIHNhbXBsZSBub25jZQ=="
ACCEPT = b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
UPGRADE = (b"upgrade", b"websocket")
CONNECTION = (b"connection", b"Upgrade")


def exchange(*headers: tuple[bytes, bytes], upgradable: bool = True) -> Exchange:
    given: Headers = [*headers, (b"sec-websocket-version", b"13"), (b"sec-websocket-key", KEY)]
    return Exchange("GET", b"/", None, given, EMPTY, "192.0.2.1", upgradable=upgradable)


@pytest.mark.parametrize(
    "headers",
    [
        [UPGRADE, CONNECTION],
        [(b"upgrade", b"h2c , WebSocket"), (b"connection", b"keep-alive, upgrade")],
        [(b"upgrade", b"h2c"), UPGRADE, (b"connection", b"close"), CONNECTION],
    ],
)
def test_a_websocket_is_asked_for_by_a_token_in_both_headers(headers: Headers) -> None:
    assert requested_key(exchange(*headers)) == KEY


@pytest.mark.parametrize(
    "headers",
    [[UPGRADE], [(b"upgrade", b"h2c"), CONNECTION], [(b"upgrade", b"websockets"), CONNECTION]],
    ids=["no Connection", "h2c", "another token"],
)
def test_anything_else_is_an_ordinary_request(headers: Headers) -> None:
    assert requested_key(exchange(*headers)) == b""


def test_http_1_0_cannot_ask_for_it() -> None:
    old = exchange(UPGRADE, CONNECTION)
    old.version = b"1.0"
    assert requested_key(old) == b""


def test_a_binding_without_tunnels_says_so() -> None:
    with pytest.raises(BadRequest) as caught:
        requested_key(exchange(UPGRADE, CONNECTION, upgradable=False))
    assert (caught.value.status, caught.value.code) == (501, "not_implemented")


def test_two_versions_are_not_version_13() -> None:
    with pytest.raises(UpgradeRequired):
        requested_key(exchange(UPGRADE, CONNECTION, (b"sec-websocket-version", b"13")))


@pytest.mark.parametrize(
    ("headers", "good"),
    [
        ([UPGRADE, CONNECTION, (b"sec-websocket-accept", ACCEPT)], True),
        ([UPGRADE, CONNECTION, (b"sec-websocket-accept", ACCEPT.lower())], False),
        ([UPGRADE, CONNECTION, *[(b"sec-websocket-accept", ACCEPT)] * 2], False),
        ([UPGRADE, (b"sec-websocket-accept", ACCEPT)], False),
        ([CONNECTION, (b"sec-websocket-accept", ACCEPT)], False),
    ],
)
def test_a_101_answers_the_key_it_was_asked_with(headers: Headers, good: bool) -> None:
    assert accepts(headers, KEY) is good
