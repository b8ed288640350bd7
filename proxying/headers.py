"""Which headers travel: the rules of CONTRACT §4 and §5 as pure functions.

Names are lower-case bytes, values bytes as they came. What ``Connection`` names and the
hop-by-hop set leave first, then ours are added, so that a client cannot make the gateway delete
its own (RFC 9110 §7.6.1).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum
from functools import lru_cache

Headers = list[tuple[bytes, bytes]]

GATEWAY_NAME = b"gateway"
VIA = b"1.1 " + GATEWAY_NAME

IDENTITY = (
    b"x-user-id",
    b"x-roles",
    b"x-permissions",
    b"x-consumer",
    b"x-auth-method",
    b"x-gateway-identity",
)
_FORWARDED = (
    b"x-forwarded-for",
    b"x-forwarded-proto",
    b"x-forwarded-host",
    b"x-forwarded-port",
)
ORIGIN = (b"x-real-ip", b"forwarded")
ORIGIN_FAMILY = b"x-forwarded-"
HOP_BY_HOP = (
    b"connection",
    b"keep-alive",
    b"proxy-connection",
    b"proxy-authenticate",
    b"proxy-authorization",
    b"te",
    b"trailer",
    b"transfer-encoding",
    b"upgrade",
    b"http2-settings",
)
REWRITTEN = (
    b"host",
    b"content-length",
    b"expect",
    b"via",
    b"x-request-id",
    b"traceparent",
    b"x-api-key",
)


class _Fate(Enum):
    """What becomes of a client's header that the gateway has a say in."""

    REPLACED = 1
    """Dropped; where the upstream gets one, it is ours."""
    ORIGIN = 2
    """Says who the client is: believed from trusted proxies only."""
    AUTHORIZATION = 3
    TRACE = 4
    """Goes with a ``traceparent`` that is continued, not with a new one."""


_FATES = {
    **dict.fromkeys((*IDENTITY, *HOP_BY_HOP, *REWRITTEN), _Fate.REPLACED),
    **dict.fromkeys(ORIGIN, _Fate.ORIGIN),
    b"authorization": _Fate.AUTHORIZATION,
    b"tracestate": _Fate.TRACE,
}
_NORMALISE = bytes(
    byte if byte in b"abcdefghijklmnopqrstuvwxyz0123456789" else ord("-")
    for byte in bytes(range(256)).lower()
)
"""Every byte outside a-z 0-9 becomes ``-``: ``X_User.Id`` is ``x-user-id`` to many backends."""

_NOTHING: frozenset[bytes] = frozenset()
_COMMON_LENGTH = 64
"""Of names and values that are worth remembering."""

_NEVER_FROM_OURSELVES = frozenset((*HOP_BY_HOP, b"via", b"x-request-id"))
NEVER_FROM_UPSTREAM = _NEVER_FROM_OURSELVES | {b"x-gateway-error"}
RATE_LIMIT = (b"ratelimit-limit", b"ratelimit-remaining", b"ratelimit-reset")


def nominated(headers: Headers) -> frozenset[bytes]:
    """Names listed in ``Connection`` headers, lower-case (RFC 9110 §7.6.1)."""
    found = _NOTHING
    for name, value in headers:
        if name == b"connection":
            found |= _known_options(value) if len(value) <= _COMMON_LENGTH else _options(value)
    return found


def _options(value: bytes) -> frozenset[bytes]:
    return frozenset(token for part in value.split(b",") if (token := part.strip().lower()))


_known_options = lru_cache(maxsize=1024)(_options)


def _fate(name: bytes) -> _Fate | None:
    """What becomes of a header; an alias of a name the gateway owns never travels."""
    plain = name.translate(_NORMALISE)
    fate = _FATES.get(plain) or (_Fate.ORIGIN if plain.startswith(ORIGIN_FAMILY) else None)
    return fate if plain == name or fate is None else _Fate.REPLACED


_known_fate = lru_cache(maxsize=1024)(_fate)


def values_of(headers: Headers, name: bytes) -> list[bytes]:
    """All values of *name*, in order."""
    return [value for key, value in headers if key == name]


@dataclass(frozen=True, slots=True)
class Forwarding:
    """The gateway's own view of the connection a request came by."""

    peer: bytes
    scheme: bytes
    host: bytes
    port: bytes
    trusted: bool
    """Whether the peer may speak for the client (``TRUSTED_PROXIES``)."""


def request_headers(
    received: Headers,
    *,
    host: bytes,
    forwarding: Forwarding,
    request_id: bytes,
    traceparent: bytes,
    identity: Iterable[tuple[bytes, bytes]],
    keep_authorization: bool,
) -> Headers:
    """Headers for the upstream, without framing.

    Every alias of a name the gateway owns is dropped from what the client sent, on public
    routes too; identity comes from *identity* alone.
    """
    leaving = nominated(received)
    headers: Headers = [(b"host", host)]
    claims: Headers = []
    via = VIA
    for line in received:
        name = line[0]
        fate = _known_fate(name) if len(name) <= _COMMON_LENGTH else _fate(name)
        if fate is None:
            if name not in leaving:
                headers.append(line)
        elif fate is _Fate.REPLACED:
            if name == b"via":
                via = _via(received)
        elif fate is _Fate.ORIGIN:
            claims.append(line)
        elif fate is _Fate.TRACE:
            if name not in leaving and _continues(received, traceparent):
                headers.append(line)
        elif keep_authorization and name not in leaving:
            headers.append(line)
    headers += (
        _claimed(claims, forwarding)
        if claims and forwarding.trusted
        else (
            (b"x-forwarded-for", forwarding.peer),
            (b"x-forwarded-proto", forwarding.scheme),
            (b"x-forwarded-host", forwarding.host),
            (b"x-forwarded-port", forwarding.port),
        )
    )
    headers += ((b"x-request-id", request_id), (b"traceparent", traceparent), (b"via", via))
    headers += identity
    return headers


def _continues(received: Headers, traceparent: bytes) -> bool:
    """Whether *traceparent* is of the client's trace, not of a new one."""
    return any(value[3:35] == traceparent[3:35] for value in values_of(received, b"traceparent"))


def _claimed(claims: Headers, forwarding: Forwarding) -> Headers:
    """Who the client is by what a trusted proxy claims, and where it is silent by the socket."""
    claimed = dict(claims)
    hops = [*values_of(claims, b"x-forwarded-for"), forwarding.peer]
    own = (
        (b"x-forwarded-for", b", ".join(hops)),
        (b"x-forwarded-proto", claimed.get(b"x-forwarded-proto", forwarding.scheme)),
        (b"x-forwarded-host", claimed.get(b"x-forwarded-host", forwarding.host)),
        (b"x-forwarded-port", claimed.get(b"x-forwarded-port", forwarding.port)),
    )
    return [*own, *((name, value) for name, value in claims if name not in _FORWARDED)]


def _via(received: Headers) -> bytes:
    """The ``Via`` of a message that passed this gateway (RFC 9110 §7.6.3)."""
    return b", ".join([*values_of(received, b"via"), VIA])


def response_headers(
    received: Headers,
    *,
    request_id: bytes,
    limits: Headers,
    date: bytes,
    bodiless: bool,
    ours: bool = False,
) -> Headers:
    """Headers for the client. A missing ``Date`` is added (RFC 9110 §6.6.1).

    *bodiless* is a 101 or a 204: it may carry no ``Content-Length`` (RFC 9110 §8.6). *ours* is an
    answer of the control plane, whose error codes are the gateway's own.
    """
    leaving = nominated(received)
    dropped = _NEVER_FROM_OURSELVES if ours else NEVER_FROM_UPSTREAM
    if leaving or limits or bodiless:
        dropped = dropped.union(
            leaving, RATE_LIMIT if limits else (), (b"content-length",) if bodiless else ()
        )
    headers: Headers = []
    via, dated = VIA, False
    for line in received:
        name = line[0]
        if name not in dropped:
            headers.append(line)
            if name == b"date":
                dated = True
        elif name == b"via":
            via = _via(received)
    if not dated:
        headers.append((b"date", date))
    headers += ((b"via", via), (b"x-request-id", request_id))
    headers += limits
    return headers


def passed_through_us(headers: Headers) -> bool:
    """Whether a ``Via`` entry names this gateway (RFC 9110 §7.6.3)."""
    return any(
        GATEWAY_NAME in entry.split()[1:2]
        for value in values_of(headers, b"via")
        for entry in value.lower().split(b",")
    )


def is_visible_ascii(value: bytes, longest: int) -> bool:
    """1 to *longest* bytes, all between ``!`` and ``~``."""
    return (
        0 < len(value) <= longest
        and value.isascii()
        and value.decode().isprintable()
        and (b" " not in value)
    )


def understood_traceparent(value: bytes) -> bytes:
    """*value* as version 00; empty when nothing of it is understood.

    Later versions begin like it and may go on after another ``-``; of their flags only *sampled*
    is known (W3C Trace Context §3.2.2, §4.3).
    """
    if value[:2] != b"00" and _is_lower_hex(value[:2]) and value[:2] != b"ff":
        flags, rest = value[53:55], value[55:56]
        if len(flags) != 2 or not _is_lower_hex(flags) or rest not in (b"", b"-"):
            return b""
        value = b"00" + value[2:53] + (b"01" if flags[1] in b"13579bdf" else b"00")
    return value if is_traceparent(value) else b""


def is_traceparent(value: bytes) -> bool:
    """A version 00 ``traceparent`` with non-zero ids (W3C Trace Context §3.2)."""
    parts = value.split(b"-")
    if [len(part) for part in parts] != [2, 32, 16, 2] or parts[0] != b"00":
        return False
    if not all(_is_lower_hex(part) for part in parts):
        return False
    return parts[1].strip(b"0") != b"" and parts[2].strip(b"0") != b""


def _is_lower_hex(text: bytes) -> bool:
    return not text.strip(b"0123456789abcdef")
