"""The document into the frozen table that requests are matched against.

Building never fails for one bad object: a route that does not compile answers 503 by itself, one
of a bad service likewise (DESIGN decision 1). :func:`check` is the strict reading of the same
document, for whoever is about to publish it. Leans on ``routing.compiling`` and
``routing.matching``.
"""

from __future__ import annotations

import hashlib
import logging
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from operator import is_
from types import MappingProxyType

from routing.compiling import closed_route, compile_route, compile_service, limit_findings
from routing.document import FORMAT, Document, LimitSpec, RouteSpec, ServiceSpec, TlsSpec
from routing.errors import ConfigurationError, Fault
from routing.matching import Entry, Match, Result, Router
from routing.paths import CanonicalPath, canonical
from routing.plans import InstancePlan, RoutePlan, ServicePlan

__all__ = [
    "InstancePlan",
    "RoutePlan",
    "ServicePlan",
    "Table",
    "build_table",
    "check",
    "compile_route",
    "compile_service",
    "default_name",
]

logger = logging.getLogger(__name__)

_LONGEST_NAME = 100
_NOT_IN_NAMES = re.compile(r"[^A-Za-z0-9._]+")
_DUPLICATE = "another route has this name"


@dataclass(frozen=True, slots=True)
class Table:
    """Every enabled route and every service of one document, ready to be read by requests."""

    routes: Mapping[str, RoutePlan]
    services: Mapping[str, ServicePlan]
    router: Router[RoutePlan]
    limits: tuple[LimitSpec, ...] = ()
    """Limits over all routes."""
    listed: tuple[RoutePlan, ...] = ()
    """What the router knows, in the order of the document: routes of one name too."""

    def match(self, method: str, host: str, path: CanonicalPath) -> Match[RoutePlan]:
        """The route of a request, or why there is none."""
        return self.router.match(method, host, path)

    def find_route(self, path: str, method: str, host: str = "") -> RoutePlan | None:
        """The route for a path as a client would write it; raises ``BadPath``."""
        match = self.match(method, host, canonical(path.encode()))
        return match.route if match.result is Result.FULL else None

    def get_all_routes(self) -> tuple[RoutePlan, ...]:
        """All routes in the order of the document."""
        return tuple(self.routes.values())

    def get_instances(self, service_name: str) -> tuple[InstancePlan, ...]:
        """The instances of a service; none of one that is not there or does not compile."""
        service = self.services.get(service_name)
        return service.instances if service is not None else ()


def build_table(document: Document, last: Table | None = None) -> Table:
    """Compile *document*; what does not compile is closed, logged, and harms nothing else.

    Services and routes that are as they were in *last* are taken from it: a publish costs what it
    changes.
    """
    known = last or _NOTHING
    services = {
        name: _known_service(name, spec, known) or _service_or_fault(name, spec)
        for name, spec in document.services.items()
    }
    faults = [str(fault) for fault in _limit_faults(document)]
    routes: dict[str, RoutePlan] = {}
    listed: list[RoutePlan] = []
    for index, spec in enumerate(document.routes):
        plan = _plan(index, spec, services, known) if spec.enabled else None
        if plan is None:
            continue
        if plan.name in routes:
            plan = replace(plan, fault=_DUPLICATE)
        if faults:
            # A limit that cannot be applied must not be left out: nothing passes without it.
            plan = replace(plan, fault="; ".join(faults))
        routes.setdefault(plan.name, plan)
        listed.append(plan)
    return Table(
        MappingProxyType(routes),
        MappingProxyType(services),
        known.router if _same(listed, known.listed) else Router.build(map(_entry, listed)),
        () if faults else document.limits,
        tuple(listed),
    )


_NOTHING = Table(MappingProxyType({}), MappingProxyType({}), Router.build(()))


def check(document: Document) -> list[Fault]:
    """Every fault of *document*, disabled routes included; empty when it may be published."""
    faults: list[Fault] = []
    if document.format != FORMAT:
        faults.append(Fault("", "format", f"must be {FORMAT}"))
    services: dict[str, ServicePlan] = {}
    for name, spec in document.services.items():
        try:
            services[name] = compile_service(name, spec)
        except ConfigurationError as error:
            faults.extend(error.faults)
            services[name] = ServicePlan(name, spec, fault="does not compile")
    names: set[str] = set()
    for index, route in enumerate(document.routes):
        try:
            compile_route(route, services, index=index)
        except ConfigurationError as error:
            faults.extend(error.faults)
        if route.name in names:
            faults.append(Fault(f"routes[{index}] ({route.name})", "name", _DUPLICATE))
        names.add(route.name)
    faults.extend(_limit_faults(document))
    return faults


def default_name(methods: Iterable[str], path: str) -> str:
    """A name for a route that has none: ``get-post-projects-project_id``.

    The same for the same methods in any order. At most 100 characters; a longer one is cut and
    ends in a digest of the whole. A path without a letter or digit is named by its digest.
    """
    parts = sorted({method.lower() for method in methods})
    parts += path.replace(":path}", "}").strip("/").split("/") if path != "/" else ["root"]
    if path.endswith("/") and path != "/":
        parts.append("slash")
    name = _NOT_IN_NAMES.sub("-", "-".join(parts)).strip("-")
    if 0 < len(name) <= _LONGEST_NAME:
        return name
    mark = hashlib.sha256((name or path).encode(errors="surrogatepass")).hexdigest()[:8]
    return f"{name[: _LONGEST_NAME - 9] or 'route'}-{mark}"


def _limit_faults(document: Document) -> Iterator[Fault]:
    for place, limit in enumerate(document.limits):
        for field, reason in limit_findings(limit):
            yield Fault(f"limits[{place}]", field, reason)


def _known_service(name: str, spec: ServiceSpec, known: Table) -> ServicePlan | None:
    """The plan that is known already. What files say (``tls``) is looked at anew every time."""
    plan = known.services.get(name)
    same = plan is not None and not plan.fault and plan.spec == spec and spec.tls == TlsSpec()
    return plan if same else None


def _plan(
    index: int, spec: RouteSpec, services: Mapping[str, ServicePlan], known: Table
) -> RoutePlan | None:
    plan = known.routes.get(spec.name)
    if (
        plan is None
        or plan.fault
        or plan.spec != spec
        or plan.service is not services.get(spec.service)
    ):
        return _route_or_fault(index, spec, services)
    return plan if plan.index == index else replace(plan, index=index)


def _same(some: Sequence[RoutePlan], others: Sequence[RoutePlan]) -> bool:
    return len(some) == len(others) and all(map(is_, some, others))


def _service_or_fault(name: str, spec: ServiceSpec) -> ServicePlan:
    try:
        return compile_service(name, spec)
    except ConfigurationError as error:
        reason = _reason(error)
    logger.error("service %s is closed: %s", name, reason)
    return ServicePlan(name, spec, fault=reason)


def _route_or_fault(
    index: int, spec: RouteSpec, services: Mapping[str, ServicePlan]
) -> RoutePlan | None:
    try:
        return compile_route(spec, services, index=index)
    except ConfigurationError as error:
        reason = _reason(error)
    plan = closed_route(spec, reason, index=index)
    logger.error("route %s is %s: %s", spec.name, "closed" if plan else "dropped", reason)
    return plan


def _reason(error: ConfigurationError) -> str:
    return "; ".join(f"{fault.field}: {fault.reason}" for fault in error.faults)


def _entry(plan: RoutePlan) -> Entry[RoutePlan]:
    return Entry(
        route=plan,
        name=plan.name,
        pattern=plan.pattern,
        hosts=plan.hosts,
        methods=plan.methods,
        priority=plan.priority,
        merge_slashes=plan.merge_slashes,
    )
