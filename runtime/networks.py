"""Addresses and networks: the one rule for who the client is. Pure.

Peers, forwarded addresses and networks are compared in one form: IPv4-mapped IPv6 is IPv4 (RFC
4291 section 2.5.5.2) and zone identifiers are dropped. The key rules of limits, proxy trust and
API keys all lean on this module.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from ipaddress import (
    IPv4Address,
    IPv4Network,
    IPv6Address,
    IPv6Network,
    ip_address,
    ip_network,
)

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

_MAPPED = IPv6Network("::ffff:0:0/96")
_LIMITED_PREFIX = 64
_MOST_HOPS = 32
_LONGEST_ENTRY = 64


def parse_networks(texts: Iterable[str]) -> tuple[Network, ...]:
    """Networks in CIDR form (a lone address is a network of one).

    Raises ``ValueError`` naming the entry: bad syntax, or bits set behind the prefix length.
    """
    return tuple(_parse_network(text.strip()) for text in texts)


def _parse_network(text: str) -> Network:
    if "%" in text:
        raise ValueError(f"{text!r}: zone identifiers are not allowed in a network")
    try:
        network = ip_network(text)
    except ValueError as error:
        raise ValueError(f"{text!r} is not a network in CIDR form: {error}") from error
    if isinstance(network, IPv6Network) and network.subnet_of(_MAPPED):
        base = int(network.network_address) & 0xFFFF_FFFF
        return IPv4Network((base, network.prefixlen - _MAPPED.prefixlen))
    return network


@lru_cache(maxsize=4096)
def parse_address(text: str) -> Address | None:
    """The address in *text*, also as ``1.2.3.4:80``, ``[::1]`` or ``[::1]:80``; else ``None``."""
    if len(text) > _LONGEST_ENTRY:
        return None
    try:
        address = ip_address(_without_port(text))
    except ValueError:
        return None
    if isinstance(address, IPv4Address):
        return address
    return address.ipv4_mapped or IPv6Address(int(address))


def _without_port(text: str) -> str:
    if text.startswith("["):
        host, _, port = text[1:].partition("]")
        return host if _is_port(port) else ""
    host, colon, port = text.partition(":")
    return host if "." in host and _is_port(colon + port) else text


def _is_port(text: str) -> bool:
    return not text or (text[0] == ":" and text[1:].isascii() and text[1:].isdigit())


def contains(networks: Iterable[Network], address: str) -> bool:
    """Whether *address* lies in one of *networks*; text that is no address lies in none."""
    parsed = parse_address(address)
    return parsed is not None and any(parsed in network for network in networks)


def client_address(peer: str, forwarded_for: Sequence[bytes], trusted: Sequence[Network]) -> str:
    """The client's address: the rightmost that is not a trusted proxy.

    *forwarded_for* are the values of the ``X-Forwarded-For`` lines in order. They are believed
    only as far as trusted proxies wrote them: reading goes from the right and ends at the first
    address that is not trusted, at something that is no address, or after 32 hops. *peer* is
    returned as it is when it is no address (a UNIX socket).
    """
    address = parse_address(peer)
    if address is None:
        return peer
    if trusted and forwarded_for:
        for entry in _from_the_right(forwarded_for):
            if not any(address in network for network in trusted):
                break
            earlier = parse_address(entry)
            if earlier is None:
                break
            address = earlier
    return str(address)


def _from_the_right(values: Sequence[bytes]) -> Iterator[str]:
    hops = 0
    for value in reversed(values):
        for entry in reversed(value.rsplit(b",", _MOST_HOPS)):
            if hops == _MOST_HOPS:
                return
            hops += 1
            yield entry.decode("latin-1").strip(" \t")


def limit_key(address: str) -> str:
    """What a limit by address counts: an IPv4 address, the /64 network of an IPv6 one.

    One IPv6 customer owns a whole /64 at least, so single addresses would be no limit. Text that
    is no address is returned as it is.
    """
    parsed = parse_address(address)
    if parsed is None:
        return address
    if isinstance(parsed, IPv4Address):
        return str(parsed)
    return str(IPv6Network((parsed, _LIMITED_PREFIX), strict=False))
