"""The first step of the journey: what a request must be before anything looks at its path.

Sizes, Host, expectations and the canonical path (CONTRACT §3, HAZARDS "framing" and "paths").
Message framing itself is the server's or the edge's. Pure but for the request id and the clock.
"""

from __future__ import annotations

import itertools
import re
import secrets
from dataclasses import dataclass
from functools import lru_cache
from random import Random

from proxying.errors import BadRequest, LoopDetected, MethodNotAllowed
from proxying.exchange import Exchange
from proxying.handshake import requested_key
from proxying.headers import is_visible_ascii, passed_through_us, understood_traceparent, values_of
from routing.paths import canonical
from runtime.networks import Network, client_address, contains

LONGEST_REQUEST_ID = 128
MOST_HEADER_LINES = 100
FORWARDABLE = ("DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT")
_MAX_FORWARDS = b"max-forwards"
_MOST_HOP_DIGITS = 9
_NEVER_FORWARDED = frozenset(("CONNECT", "TRACE"))
_HOST = re.compile(
    rb"(?P<name>[A-Za-z0-9_](?:[A-Za-z0-9_.-]{0,252}[A-Za-z0-9_.])?|\[[0-9A-Fa-f:.]{2,45}\])"
    rb"(?::(?P<port>[0-9]{1,5}))?"
)
_OF_INTEREST = frozenset(
    (b"host", b"expect", b"upgrade", b"via", b"x-request-id", b"traceparent", b"x-forwarded-for")
)
_PROCESS = secrets.token_hex(8)
_sequence = itertools.count(1)
_chance = Random(secrets.randbits(256))


@dataclass(frozen=True, slots=True)
class Patience:
    """What a client is allowed, in seconds where nothing else is said."""

    header: float = 10.0
    """For a head, from its first byte or the connection's start."""
    idle: float = 75.0
    """Between an answer and the next request."""
    body_stall: float = 10.0
    """Without a byte of the body while it is waited for."""
    body_grace: float = 10.0
    """Of waiting that every body is allowed before its rate counts."""
    body_rate: float = 256.0
    """Bytes a second."""
    write: float = 30.0
    """Without taking a byte of what waits for it."""
    drain: float = 5.0
    """To end a request that was answered early."""
    drain_bytes: int = 256 * 1024
    """What is passed over of such a request."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """What a node accepts. Sizes in bytes."""

    target: int
    header_block: int
    trusted_proxies: tuple[Network, ...]
    patience: Patience = Patience()


def admit(exchange: Exchange, bounds: Bounds) -> None:
    """Fill in who asks for what; raises what the request is refused with.

    Raises ``BadRequest`` (400, 414, 417, 431, 501), ``BadPath``, ``MethodNotAllowed``,
    ``UpgradeRequired``, ``LoopDetected``.
    """
    found = _collect(exchange, bounds.header_block)
    exchange.request_id = _request_id(found.get(b"x-request-id"))
    exchange.client = exchange.peer
    if len(exchange.target) + len(exchange.query or b"") > bounds.target:
        raise BadRequest(f"the target is longer than {bounds.target} bytes", 414, "uri_too_long")
    if found is _TOO_LARGE:
        raise BadRequest(
            f"more than {bounds.header_block} bytes or {MOST_HEADER_LINES} lines of headers",
            431,
            "headers_too_large",
        )
    exchange.canonical = canonical(exchange.target)
    exchange.path = exchange.canonical.text
    _read_host(exchange, found.get(b"host", []))
    if bounds.trusted_proxies and _is_trusted(exchange.peer, bounds.trusted_proxies):
        exchange.trusted = True
        forwarded_for = found.get(b"x-forwarded-for", [])
        exchange.client = client_address(exchange.peer, forwarded_for, bounds.trusted_proxies)
    exchange.traceparent = _traceparent(found.get(b"traceparent"))
    if exchange.method in _NEVER_FORWARDED:
        raise MethodNotAllowed(exchange.method, FORWARDABLE)
    if b"upgrade" in found:
        exchange.websocket_key = requested_key(exchange)
    for expectation in found.get(b"expect", ()):
        if expectation.lower() != b"100-continue":
            raise BadRequest("only 100-continue can be expected", 417, "expectation_failed")
    if b"via" in found and passed_through_us(exchange.headers):
        raise LoopDetected("the request passed this gateway before")


def takes_another_hop(exchange: Exchange) -> bool:
    """Take this hop off ``Max-Forwards``; ``False`` when none is left (RFC 9110 §7.6.2).

    It binds OPTIONS alone: TRACE is never forwarded. Raises ``BadRequest``.
    """
    if exchange.method != "OPTIONS":
        return True
    given = values_of(exchange.headers, _MAX_FORWARDS)
    if not given:
        return True
    if len(given) != 1 or not given[0].isdigit() or len(given[0]) > _MOST_HOP_DIGITS:
        raise BadRequest("Max-Forwards is not one number")
    left = int(given[0]) - 1
    exchange.headers = [
        (name, b"%d" % left if name == _MAX_FORWARDS else value) for name, value in exchange.headers
    ]
    return left >= 0


_Found = dict[bytes, list[bytes]]
_TOO_LARGE: _Found = {}
"""Stands for a header block over the bound; nothing of it is looked at."""


def _collect(exchange: Exchange, most_bytes: int) -> _Found:
    found: _Found = {}
    size = 0
    for name, value in exchange.headers:
        size += len(name) + len(value) + 4
        if name in _OF_INTEREST:
            found.setdefault(name, []).append(value)
    if size > most_bytes or len(exchange.headers) > MOST_HEADER_LINES:
        return _TOO_LARGE
    return found


def _request_id(values: list[bytes] | None) -> bytes:
    """The client's id where it is one (CONTRACT §4), else a new one, unique over processes."""
    if values and len(values) == 1 and is_visible_ascii(values[0], LONGEST_REQUEST_ID):
        return values[0]
    return f"{_PROCESS}{next(_sequence):016x}".encode()


def _traceparent(values: list[bytes] | None) -> bytes:
    if values and len(values) == 1 and (continued := understood_traceparent(values[0])):
        return continued
    # Ids are unique, not secret: no system call for each request.
    return b"00-%032x-%016x-00" % (_chance.getrandbits(128) or 1, _chance.getrandbits(64) or 1)


def _read_host(exchange: Exchange, values: list[bytes]) -> None:
    """RFC 9112 §3.2: exactly one, valid; HTTP/1.0 may go without."""
    if not values and exchange.version == b"1.0":
        return
    if len(values) != 1:
        raise BadRequest("exactly one Host header is needed")
    host = _host_name(values[0])
    if host is None:
        raise BadRequest("the Host header is not a host name with an optional port")
    exchange.authority = values[0]
    exchange.host = host


@lru_cache(maxsize=1024)
def _host_name(value: bytes) -> str | None:
    parts = _HOST.fullmatch(value)
    if parts is None or int(parts["port"] or 0) > 65_535:
        return None
    return parts["name"].decode().lower().removesuffix(".")


@lru_cache(maxsize=4096)
def _is_trusted(peer: str, networks: tuple[Network, ...]) -> bool:
    return contains(networks, peer)
