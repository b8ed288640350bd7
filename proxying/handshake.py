"""The opening handshake of a WebSocket, by the rules of RFC 6455. Pure.

The gateway checks what it would otherwise pass on half understood: the client's request before
anything is done for it, the upstream's 101 before its connection becomes a tunnel. Subprotocols and
extensions are for the two ends to agree on.
"""

from __future__ import annotations

import base64
import binascii
import hashlib

from proxying.errors import BadRequest, UpgradeRequired
from proxying.exchange import Exchange, Headers
from proxying.headers import nominated, values_of

VERSION = b"13"
_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_KEY_BYTES = 16


def requested_key(exchange: Exchange) -> bytes:
    """The key of a WebSocket handshake (RFC 6455 4.2.1); empty where none is asked for.

    ``Upgrade`` asks for nothing unless ``Connection`` names it, nor in HTTP/1.0 (RFC 9110 7.8).
    Raises ``BadRequest`` (400; 501 where the binding has no tunnels) and ``UpgradeRequired``.
    """
    headers = exchange.headers
    if exchange.version != b"1.1" or not _asks_for_websocket(headers):
        return b""
    if not exchange.upgradable:
        raise BadRequest("WebSocket is not proxied by this server", 501, "not_implemented")
    if exchange.method != "GET" or exchange.body.size != 0:
        raise BadRequest("a WebSocket handshake is a GET without a body")
    if values_of(headers, b"sec-websocket-version") != [VERSION]:
        raise UpgradeRequired("only version 13 of the WebSocket protocol")
    keys = values_of(headers, b"sec-websocket-key")
    if len(keys) != 1 or not _is_key(keys[0]):
        raise BadRequest("a WebSocket handshake has one Sec-WebSocket-Key of 16 bytes in base64")
    return keys[0]


def accepts(headers: Headers, key: bytes) -> bool:
    """Whether a 101 with these headers answers the handshake of *key* (RFC 6455 4.1)."""
    digest = hashlib.sha1(key + _GUID, usedforsecurity=False).digest()
    accept = base64.b64encode(digest)
    return _asks_for_websocket(headers) and values_of(headers, b"sec-websocket-accept") == [accept]


def _asks_for_websocket(headers: Headers) -> bool:
    tokens = (
        token.strip(b" \t").lower()
        for value in values_of(headers, b"upgrade")
        for token in value.split(b",")
    )
    return b"websocket" in tokens and b"upgrade" in nominated(headers)


def _is_key(value: bytes) -> bool:
    try:
        return len(base64.b64decode(value, validate=True)) == _KEY_BYTES
    except binascii.Error:
        return False
