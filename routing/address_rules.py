"""Where upstreams may be: one rule for what is saved and for what is connected to (SSRF).

:meth:`AddressRules.refusal` judges an instance that is written as an address when configuration is
compiled; :meth:`AddressRules.permits` judges what a name resolved to when a connection is made, so
a name that changes its mind (DNS rebinding) is held to the same. Leans on ``runtime.networks`` and
on the gateway's settings.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address

from django.conf import settings

from runtime.networks import Address, Network, parse_networks

_NAT64 = IPv6Network("64:ff9b::/96")
_METADATA = "169.254.169.254"
_METADATA_NAMES = frozenset({"metadata.google.internal", "metadata.goog", "instance-data"})


@dataclass(frozen=True, slots=True)
class AddressRules:
    """Upstreams are in no network of *denied*, and if *allowed* names any, in one of those.

    *own_ports* are the gateway's: on a loopback address they would make a loop, or a way past the
    policies to its control plane.
    """

    denied: tuple[Network, ...] = ()
    allowed: tuple[Network, ...] = ()
    own_ports: frozenset[int] = frozenset()

    def permits(self, address: str) -> bool:
        """Whether an IP address, as text, may be connected to, also when it is wrapped in an IPv6
        form of itself. Raises ``ValueError`` for anything else."""
        forms = tuple(_forms(address))
        if any(form.is_unspecified or _within(form, self.denied) for form in forms):
            return False
        return not self.allowed or any(_within(form, self.allowed) for form in forms)

    def refusal(self, host: str, port: int) -> str:
        """Why an instance at *host*, a name or an address, is refused; empty when it may be."""
        try:
            forms = tuple(_forms(host))
        except ValueError:
            return self._refusal_of_name(host, port)
        if port in self.own_ports and any(form.is_loopback for form in forms):
            return "is a port of this gateway itself"
        if any(form.is_unspecified for form in forms):
            return "the unspecified address is not allowed"
        if not self.permits(host):
            return (
                "the address is not allowed: see UPSTREAM_DENIED_NETWORKS (link-local and "
                "metadata addresses by default) and UPSTREAM_ALLOWED_NETWORKS"
            )
        return ""

    def _refusal_of_name(self, name: str, port: int) -> str:
        if name in _METADATA_NAMES and not self.permits(_METADATA):
            return "metadata services are not allowed as instances"
        if port in self.own_ports and name == "localhost":
            return "is a port of this gateway itself"
        return ""


ANYWHERE = AddressRules()
"""Refuses nothing but the unspecified address."""


def address_rules() -> AddressRules:
    """The rules of this gateway's settings."""
    gateway = settings.GATEWAY
    ports = (gateway.listen_port, gateway.admin_port, gateway.metrics_port)
    return _rules(
        gateway.upstream_denied_networks,
        gateway.upstream_allowed_networks,
        frozenset(port for port in ports if port),
    )


@lru_cache(maxsize=8)
def _rules(
    denied: tuple[str, ...], allowed: tuple[str, ...], own_ports: frozenset[int]
) -> AddressRules:
    return AddressRules(parse_networks(denied), parse_networks(allowed), own_ports)


def _within(address: Address, networks: tuple[Network, ...]) -> bool:
    return any(address in network for network in networks)


def _forms(text: str) -> Iterator[Address]:
    """The address without its zone, and the IPv4 address it leads to: mapped, 6to4 or NAT64
    (RFC 6052)."""
    address = ip_address(text)
    if isinstance(address, IPv4Address):
        yield address
        return
    plain = IPv6Address(int(address))
    yield plain
    if plain in _NAT64:
        yield IPv4Address(int(plain) & 0xFFFFFFFF)
    inner = plain.ipv4_mapped or plain.sixtofour
    if inner is not None:
        yield inner
