"""What configuration becomes when it is compiled: the facts a request reads.

Plans are frozen and complete; nothing in them is parsed again per request. Leans on the document
and the compiled forms of addresses, patterns and path changes.
"""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from typing import Literal

from routing.addresses import Address
from routing.document import LimitSpec, RouteSpec, ServiceSpec
from routing.paths import CanonicalPath
from routing.patterns import Pattern
from routing.rewriting import PathChange, changed_path


@dataclass(frozen=True, slots=True)
class Link:
    """How the instances of *service* are spoken to. ``tls`` is ``None`` where nothing but the
    transport's own context is asked for; ``server_name`` is empty where it is the host's.

    Only the gateway's own control plane is not ``guarded``: the rules for addresses are not asked.
    """

    service: str = ""
    transport: Literal["native", "h2", "httpx"] = "native"
    tls: ssl.SSLContext | None = None
    server_name: str = ""
    guarded: bool = True


@dataclass(frozen=True, slots=True)
class InstancePlan:
    """One address of a service, taken apart."""

    url: str
    address: Address
    weight: int
    healthy: bool
    link: Link = Link()


@dataclass(frozen=True, slots=True)
class ServicePlan:
    """A backend. ``fault`` says why it must not be used; empty when it may."""

    name: str
    spec: ServiceSpec
    instances: tuple[InstancePlan, ...] = ()
    fault: str = ""


@dataclass(frozen=True, slots=True, eq=False)
class RoutePlan:
    """A route as the journey reads it; compared and hashed by identity.

    ``methods`` are those listed (empty: any), ``allow`` those accepted, sorted. Empty
    ``auth_methods`` make the route public. ``timeout`` is in seconds. With a ``fault`` the route
    matches and answers 503 ``route_misconfigured``: none of its policies may be relied on.
    ``index`` is its place in the document.
    """

    name: str
    service: ServicePlan
    pattern: Pattern
    hosts: tuple[str, ...]
    methods: frozenset[str]
    allow: tuple[str, ...]
    priority: int
    auth_methods: frozenset[str]
    limits: tuple[LimitSpec, ...]
    timeout: float | None
    max_body_bytes: int | None
    preserve_host: bool
    forward_authorization: bool
    merge_slashes: bool
    change: PathChange | None
    fault: str
    index: int
    spec: RouteSpec

    @property
    def seconds(self) -> tuple[float, float, float, float]:
        """At most to connect, for the head of the answer, between two reads, and in all.

        The route's ``timeout`` is the total; no step may take longer than the whole. Where nothing
        is said of the head, a route with a total of its own means that for it.
        """
        spec = self.service.spec.timeout
        total = spec.total if self.timeout is None else self.timeout
        first_byte = spec.read if self.timeout is None else total
        if spec.first_byte is not None:
            first_byte = spec.first_byte
        return min(spec.connect, total), min(first_byte, total), spec.read, total

    def upstream_path(self, path: CanonicalPath) -> str:
        """The path to forward for a request of this route; raises ``BadPath``."""
        seen = path.variant(merge_slashes=self.merge_slashes)
        if seen is not path and not self.pattern.fits(seen.segments):
            seen = path  # It is ours only once its slashes are merged.
        if self.change is None:
            return seen.text
        return changed_path(self.change, seen, merge_slashes=self.merge_slashes)
