"""What ties a request to an instance: the key that is hashed, and the sticky cookie.

Both are compiled at publish into a function of the exchange. The cookie names an instance by a
digest: a client learns no address, and cannot make one up. Pure.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from hashlib import blake2b

from proxying.exchange import Exchange, Headers

HashKey = Callable[[Exchange], bytes]
_MARK_BYTES = 9


def hash_key(hash_by: str) -> HashKey:
    """Reads what *hash_by* names off an exchange; an empty key ties to nothing.

    *hash_by* is ``caller`` (without one the address), ``ip``, ``header:Name`` or ``cookie:Name``.
    """
    kind, _, name = hash_by.partition(":")
    wanted = name.encode("ascii")
    if kind == "header":
        return lambda exchange: _header(exchange.headers, wanted.lower())
    if kind == "cookie":
        return lambda exchange: cookie(exchange.headers, wanted)
    if kind == "ip":
        return lambda exchange: exchange.client.encode()
    return _caller


def cookie(headers: Headers, name: bytes) -> bytes:
    """The value of the first cookie called *name* (RFC 6265 section 4.2.1); empty without one."""
    for header, value in headers:
        if header != b"cookie" or name not in value:
            continue
        for pair in value.split(b";"):
            key, _, content = pair.strip().partition(b"=")
            if key == name:
                return content
    return b""


def mark(service: str, url: str) -> bytes:
    """What a sticky cookie holds for an instance."""
    content = f"{service} {url}".encode()
    return blake2b(content, digest_size=_MARK_BYTES).hexdigest().encode("ascii")


def set_cookie(name: str, value: bytes, scheme: str) -> tuple[bytes, bytes]:
    """The header that makes a client stay, for as long as its browser runs."""
    secure = b"; Secure" if scheme == "https" else b""
    return b"set-cookie", name.encode(
        "ascii"
    ) + b"=" + value + b"; Path=/; HttpOnly; SameSite=Lax" + secure


def _header(headers: Iterable[tuple[bytes, bytes]], name: bytes) -> bytes:
    return next((value for header, value in headers if header == name), b"")


def _caller(exchange: Exchange) -> bytes:
    return (exchange.caller.identity if exchange.caller else exchange.client).encode()
