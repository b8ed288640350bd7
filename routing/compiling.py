"""One object of the document into its plan, or every fault it has.

A form, ``apply`` and a worker all compile through here, so they refuse the same things. Leans on
the document's shapes (ranges are checked when it is decoded) and on the compilers of each field.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import lru_cache
from typing import TypeVar

import msgspec

from routing.address_rules import ANYWHERE, AddressRules, address_rules
from routing.addresses import (
    Address,
    AddressError,
    is_host_name,
    is_ip_literal,
    parse_instance_url,
)
from routing.document import HealthCheckSpec, InstanceSpec, LimitSpec, RouteSpec, ServiceSpec
from routing.errors import ConfigurationError, Fault
from routing.links import link_of
from routing.matching import accepted_methods, host_key
from routing.patterns import Pattern, PatternError, compile_pattern
from routing.plans import InstancePlan, Link, RoutePlan, ServicePlan
from routing.reserved import shadows
from routing.rewriting import PathChange, compile_rewrite, compile_strip_prefix

T = TypeVar("T")
Finding = tuple[str, str]
"""A field's path inside its object, and what is wrong with it."""

_NAME = re.compile(r"[A-Za-z0-9._-]{1,100}")
_METHOD = re.compile(r"(?=.*[A-Z])[A-Z0-9!#$%&'*+.^_`|~-]{1,64}")
_TOKEN = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,100}")
_PROBE_PATH = re.compile(r"/[!-\"$-~]*")
_NEVER_PROXIED = frozenset({"CONNECT", "TRACE"})
_LIMIT_SUBJECTS = frozenset({"caller", "user", "api_key", "ip", "route"})

_FEW = 256
"""Lists of methods that are compiled once: thousands of routes share a handful."""
_BAD_SUBJECT = "must be caller, user, api_key, ip, route or header:Name"
_BAD_NAME = "must be 1 to 100 letters, digits, '.', '_' or '-'"


def compile_service(name: str, spec: ServiceSpec, *, own: bool = False) -> ServicePlan:
    """The plan of one service; raises ``ConfigurationError`` with all its faults.

    *own* is the gateway's control plane, which may be where no other service may.
    """
    findings = list(_service_findings(name, spec))
    link = Link(name, guarded=False) if own else link_of(name, spec, findings)
    rules = ANYWHERE if own else address_rules()
    instances = tuple(_instances(spec.instances, link, rules, findings))
    if findings:
        raise ConfigurationError([Fault(f"services.{name}", *finding) for finding in findings])
    return ServicePlan(name, spec, instances)


def compile_route(
    spec: RouteSpec,
    services: Mapping[str, ServicePlan] | None = None,
    *,
    index: int | None = None,
) -> RoutePlan:
    """The plan of one route; raises ``ConfigurationError`` with all its faults.

    Without *services* the name of its service is not looked up: a form knows it exists. *index*
    is the route's place in the document, if it comes from one. A service that has a fault of its
    own closes the route without being a fault of the route.
    """
    findings = list(_route_findings(spec))
    service = ServicePlan(spec.service, ServiceSpec())
    if services is not None:
        service = services.get(spec.service, service)
        if spec.service not in services:
            findings.append(("service", "there is no service of this name"))
    pattern = _attempt(findings, "path", lambda: _pattern(spec))
    change = _path_change(spec, pattern, findings)
    if findings or pattern is None:
        where = f"routes.{spec.name}" if index is None else f"routes[{index}] ({spec.name})"
        raise ConfigurationError([Fault(where, *finding) for finding in findings])
    fault = f"service {service.name}: {service.fault}" if service.fault else ""
    return _plan(spec, service, pattern, change, fault=fault, index=index or 0)


def closed_route(spec: RouteSpec, reason: str, *, index: int) -> RoutePlan | None:
    """A plan that matches what *spec* was meant to match and lets nothing through.

    ``None`` when the path does not compile, so that nothing can be matched. Methods and hosts
    are read as leniently as they can be: a request must not fall through to a wider route
    because this one is misspelt.
    """
    try:
        pattern = compile_pattern(spec.path, merge_slashes=spec.merge_slashes)
    except PatternError:
        return None
    methods = tuple(method.strip().upper() for method in spec.methods)
    lenient = msgspec.structs.replace(spec, methods=methods)
    service = ServicePlan(spec.service, ServiceSpec(), fault=reason)
    return _plan(lenient, service, pattern, None, fault=reason, index=index)


def _plan(
    spec: RouteSpec,
    service: ServicePlan,
    pattern: Pattern,
    change: PathChange | None,
    *,
    fault: str,
    index: int,
) -> RoutePlan:
    return RoutePlan(
        name=spec.name,
        service=service,
        pattern=pattern,
        hosts=tuple(dict.fromkeys(host_key(host.strip()) for host in spec.hosts)),
        methods=_set_of(spec.methods),
        allow=_accepted(spec.methods),
        priority=spec.priority,
        auth_methods=_set_of(spec.auth_methods),
        limits=spec.rate_limit,
        timeout=spec.timeout,
        max_body_bytes=spec.max_body_bytes,
        preserve_host=spec.preserve_host,
        forward_authorization=spec.forward_authorization,
        merge_slashes=spec.merge_slashes,
        change=change,
        fault=fault,
        index=index,
        spec=spec,
    )


@lru_cache(maxsize=_FEW)
def _set_of(names: tuple[str, ...]) -> frozenset[str]:
    return frozenset(names)


@lru_cache(maxsize=_FEW)
def _accepted(methods: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(sorted(accepted_methods(methods)))


def _attempt(findings: list[Finding], field: str, compiled: Callable[[], T]) -> T | None:
    try:
        return compiled()
    except PatternError as error:
        findings.append((field, str(error)))
        return None


def _pattern(spec: RouteSpec) -> Pattern:
    pattern = compile_pattern(spec.path, merge_slashes=spec.merge_slashes)
    if shadows(spec.path):
        raise PatternError("is reserved for the gateway itself")
    return pattern


def _path_change(
    spec: RouteSpec, pattern: Pattern | None, findings: list[Finding]
) -> PathChange | None:
    merge = spec.merge_slashes
    strip: PathChange | None = None
    rewrite: PathChange | None = None
    if spec.strip_prefix:
        strip = _attempt(
            findings,
            "strip_prefix",
            lambda: compile_strip_prefix(spec.strip_prefix, merge_slashes=merge),
        )
    if spec.rewrite and pattern is not None:
        rewrite = _attempt(
            findings,
            "rewrite",
            lambda: compile_rewrite(spec.rewrite, pattern, merge_slashes=merge),
        )
    if spec.strip_prefix and spec.rewrite:
        findings.append(("rewrite", "cannot be combined with strip_prefix"))
    return strip or rewrite


def _service_findings(name: str, spec: ServiceSpec) -> Iterator[Finding]:
    if not _NAME.fullmatch(name):
        yield "name", _BAD_NAME
    yield from _method_findings("retry.methods", spec.retry.methods)
    if spec.health_check is not None:
        yield from _probe_findings(spec.health_check)
    if not _is_hash_subject(spec.hash_by):
        yield "hash_by", "must be caller, ip, header:Name or cookie:Name"
    if spec.sticky_cookie and not _TOKEN.fullmatch(spec.sticky_cookie):
        yield "sticky_cookie", "must be the name of a cookie"


def _probe_findings(probe: HealthCheckSpec) -> Iterator[Finding]:
    if not _PROBE_PATH.fullmatch(probe.path):
        yield "health_check.path", "must begin with '/' and hold visible ASCII only, no '#'"
    if probe.type == "http" and not probe.expect:
        yield "health_check.expect", "must name a status, or no instance would ever be well"


def _instances(
    specs: Iterable[InstanceSpec], link: Link, rules: AddressRules, findings: list[Finding]
) -> Iterator[InstancePlan]:
    seen: set[Address] = set()
    for place, spec in enumerate(specs):
        try:
            address = parse_instance_url(spec.url)
        except AddressError as error:
            findings.append((f"instances[{place}].url", str(error)))
            continue
        if address in seen:
            findings.append((f"instances[{place}].url", "is listed twice in this service"))
        seen.add(address)
        if refusal := rules.refusal(address.host, address.port):
            findings.append((f"instances[{place}].url", refusal))
        yield InstancePlan(spec.url, address, spec.weight, spec.healthy, link)


def _route_findings(spec: RouteSpec) -> Iterator[Finding]:
    if not _NAME.fullmatch(spec.name):
        yield "name", _BAD_NAME
    yield from _method_findings("methods", spec.methods)
    for host in spec.hosts:
        if not _is_route_host(host):
            yield "hosts", f"{host!r} must be a host name or *.name, in ASCII and without a port"
    if spec.auth is not None and not spec.auth.methods:
        yield "auth.methods", "must name jwt, api_key or both; auth_required: false needs none"
    for place, limit in enumerate(spec.rate_limit):
        for field, reason in limit_findings(limit):
            yield f"rate_limit[{place}].{field}", reason


def limit_findings(limit: LimitSpec) -> Iterator[Finding]:
    """What is wrong with a limit, wherever it stands."""
    if not _is_limit_subject(limit.by):
        yield "by", _BAD_SUBJECT
    if limit.cost > limit.capacity:
        yield "cost", "must not be more than burst, or no request would ever pass"


def _method_findings(field: str, methods: Iterable[str]) -> Iterator[Finding]:
    for method in methods:
        if not _METHOD.fullmatch(method):
            yield field, f"{method!r} must be an HTTP method in upper case"
        elif method in _NEVER_PROXIED:
            yield field, f"{method} is never proxied"


def _is_route_host(host: str) -> bool:
    name = host.removesuffix(".").removeprefix("*.")
    return is_host_name(name) or is_ip_literal(host)


def _is_hash_subject(by: str) -> bool:
    kind, separator, name = by.partition(":")
    if separator:
        return kind in ("header", "cookie") and _TOKEN.fullmatch(name) is not None
    return kind in ("caller", "ip")


def _is_limit_subject(by: str) -> bool:
    kind, separator, name = by.partition(":")
    if separator:
        return kind == "header" and _TOKEN.fullmatch(name) is not None
    return kind in _LIMIT_SUBJECTS
