"""Addresses of instances, taken apart when configuration is saved.

Only a plain origin is accepted, in one spelling: what a reader sees is what is connected to. Where
it may lie is the business of ``routing.address_rules``. Leans on ``ipaddress`` alone.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address

_DEFAULT_PORTS = {"http": 80, "https": 443}
_LONGEST_HOST = 253

_AUTHORITY = re.compile(r"(?P<host>\[[^\[\]]*\]|[^:\[\]]*)(?::(?P<port>.*))?", re.DOTALL)
_PORT = re.compile(r"[1-9][0-9]{0,4}")
_LABEL = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?")
_NUMBER = re.compile(r"[0-9]+|0[xX][0-9A-Fa-f]*")


class AddressError(ValueError):
    """An instance URL that is refused; the message says what is allowed, never what was given."""


@dataclass(frozen=True, slots=True)
class Address:
    """Where an instance listens. ``authority`` is its Host header: no default port, IPv6 in
    brackets; ``host`` is lower-case and without brackets."""

    scheme: str
    host: str
    port: int
    authority: bytes


def parse_instance_url(url: str) -> Address:
    """Take ``scheme://host[:port][/]`` apart; raises ``AddressError``."""
    scheme, authority = _split(url)
    parts = _AUTHORITY.fullmatch(authority)
    if parts is None or not parts["host"]:
        raise AddressError("a host is required, an IPv6 address in brackets")
    host = _host(parts["host"])
    port = _DEFAULT_PORTS[scheme] if parts["port"] is None else _port(parts["port"])
    shown = f"[{host}]" if ":" in host else host
    if port != _DEFAULT_PORTS[scheme]:
        shown = f"{shown}:{port}"
    return Address(scheme, host, port, shown.encode("ascii"))


def is_host_name(text: str) -> bool:
    """Whether *text* is a DNS name as containers use them: letters, digits, ``-`` and ``_``."""
    return len(text) <= _LONGEST_HOST and all(map(_LABEL.fullmatch, text.split(".")))


def is_ip_literal(text: str) -> bool:
    """Whether *text* is an address as a Host header has it: IPv4, or IPv6 in brackets."""
    try:
        ip = ip_address(text.strip("[]"))
    except ValueError:
        return False
    return text == (f"[{ip}]" if ip.version == 6 else str(ip))


def _split(url: str) -> tuple[str, str]:
    if not url.isascii():
        raise AddressError("must be ASCII: write an international name in punycode (xn--…)")
    if not url.isprintable() or " " in url:
        raise AddressError("must not hold spaces or control characters")
    scheme, separator, rest = url.partition("://")
    if not separator or scheme.lower() not in _DEFAULT_PORTS:
        raise AddressError("must begin with http:// or https://")
    if "@" in rest:
        raise AddressError("must not hold a user name or password")
    authority = rest.removesuffix("/")
    if any(mark in authority for mark in "/?#\\"):
        raise AddressError("must end after host and port: no path, query or fragment")
    return scheme.lower(), authority


def _port(text: str) -> int:
    if not _PORT.fullmatch(text) or int(text) > 65535:
        raise AddressError("the port must be a number from 1 to 65535")
    return int(text)


def _host(text: str) -> str:
    if text.startswith("["):
        return _ipv6(text[1:-1])
    if _NUMBER.fullmatch(text.rpartition(".")[2]):
        return _ipv4(text)
    name = text.lower()
    if not is_host_name(name):
        raise AddressError(
            "the host must be an address or a name of letters, digits, '-' and '_' between dots"
        )
    return name


def _ipv4(text: str) -> str:
    """A host whose last label is a number is an IPv4 address to every resolver (WHATWG URL)."""
    try:
        return str(IPv4Address(text))
    except ValueError as error:
        raise AddressError(
            "an IPv4 address must be four decimal numbers without leading zeros"
        ) from error


def _ipv6(text: str) -> str:
    try:
        address = IPv6Address(text)
    except ValueError as error:
        raise AddressError("the IPv6 address in brackets is not valid") from error
    if address.scope_id is not None:
        raise AddressError("an IPv6 address with a zone is not allowed")
    if address.ipv4_mapped is not None:
        raise AddressError("an IPv4 address must be written as such, not mapped into IPv6")
    return str(address)
