"""The configuration document: the one schema of YAML files, revisions and exports.

A document is what passes from the control plane to the data plane (DESIGN decision 1). It is
plain data: these frozen structs know nothing of Django or of requests. The YAML of CONTRACT §3
decodes into them, ``export`` encodes them, and a revision is their canonical JSON.

What a value *means* (a path pattern, a URL, a placeholder) is checked where it is compiled,
``routing.table``; here stand only shapes, ranges and defaults.
"""

from __future__ import annotations

import hashlib
from functools import cache
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

BalancerName = Literal["round_robin", "least_connections", "weighted", "random", "consistent_hash"]
AuthMethod = Literal["jwt", "api_key"]
Period = Literal["second", "minute", "hour", "day"]
LimitMode = Literal["enforce", "shadow"]
StoreFailurePolicy = Literal["open", "closed"]
RetryCause = Literal["connect", "reset", "timeout", "500", "502", "503", "504"]

Seconds = Annotated[float, Meta(gt=0, le=86_400)]
PositiveInt = Annotated[int, Meta(ge=1, le=2**31 - 1)]
Ratio = Annotated[float, Meta(gt=0, le=1)]

AUTH_METHODS: tuple[AuthMethod, ...] = ("jwt", "api_key")
FORMAT = 1


class _Spec(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True,
            omit_defaults=True):
    """Frozen, closed to unknown keys, written without its defaults."""


class InstanceSpec(_Spec, frozen=True):
    """One address of a service. Weight 0 drains it; ``healthy: false`` takes it out."""

    url: str
    weight: Annotated[int, Meta(ge=0, le=1000)] = 1
    healthy: bool = True


class TimeoutSpec(_Spec, frozen=True):
    """Seconds: to connect, between two reads, and for the whole exchange."""

    connect: Seconds = 2.0
    read: Seconds = 30.0
    total: Seconds = 60.0


class RetrySpec(_Spec, frozen=True):
    """Attempts in all (1 = never again), backoff in seconds, and what is worth another try."""

    attempts: Annotated[int, Meta(ge=1, le=10)] = 3
    backoff: Annotated[float, Meta(ge=0, le=60)] = 0.05
    max_backoff: Annotated[float, Meta(ge=0, le=60)] = 1.0
    on: tuple[RetryCause, ...] = ("connect", "reset", "502", "503", "504")
    methods: tuple[str, ...] = ("GET", "HEAD", "OPTIONS", "PUT", "DELETE")
    budget: Annotated[float, Meta(ge=0, le=1)] = 0.2


class BreakerSpec(_Spec, frozen=True):
    """When an instance is left alone (``window`` and ``recovery`` in seconds)."""

    failure_threshold: PositiveInt = 5
    failure_ratio: Ratio = 0.5
    min_requests: PositiveInt = 20
    window: Seconds = 10.0
    recovery: Seconds = 30.0
    half_open_requests: PositiveInt = 1


class HealthCheckSpec(_Spec, frozen=True):
    """An active probe: GET *path* every *interval* seconds."""

    path: str = "/health"
    interval: Seconds = 5.0
    timeout: Seconds = 1.0
    unhealthy_after: PositiveInt = 3
    healthy_after: PositiveInt = 2


class ServiceSpec(_Spec, frozen=True):
    """A backend. ``breaker: null`` means no breaker, ``health_check: null`` no active probe."""

    balancer: BalancerName = "round_robin"
    instances: tuple[InstanceSpec, ...] = ()
    timeout: TimeoutSpec = TimeoutSpec()
    retry: RetrySpec = RetrySpec()
    breaker: BreakerSpec | None = BreakerSpec()
    health_check: HealthCheckSpec | None = None


class AuthSpec(_Spec, frozen=True):
    """Which kinds of credential are accepted."""

    methods: tuple[AuthMethod, ...] = AUTH_METHODS


class LimitSpec(_Spec, frozen=True):
    """A token bucket: *limit* tokens per period, at most *burst* (default: *limit*) at once."""

    limit: PositiveInt
    per: Period = "minute"
    burst: PositiveInt | None = None
    by: str = "caller"
    mode: LimitMode = "enforce"
    on_store_failure: StoreFailurePolicy = "open"

    @property
    def capacity(self) -> int:
        """Tokens in a full bucket."""
        return self.burst if self.burst is not None else self.limit


class RouteSpec(_Spec, kw_only=True, frozen=True):
    """Where requests of a path go and under which policies.

    ``auth_required: false`` is a public route; otherwise ``auth`` narrows the accepted kinds of
    credential. ``timeout`` (seconds, the whole exchange) and ``max_body_bytes`` override the
    service's and the node's.
    """

    name: str = ""
    path: str
    service: str
    hosts: tuple[str, ...] = ()
    methods: tuple[str, ...] = ()
    strip_prefix: str = ""
    rewrite: str = ""
    auth_required: bool = True
    auth: AuthSpec | None = None
    rate_limit: tuple[LimitSpec, ...] = ()
    timeout: Seconds | None = None
    priority: Annotated[int, Meta(ge=-(2**31), le=2**31 - 1)] = 0
    enabled: bool = True
    max_body_bytes: Annotated[int, Meta(ge=0, le=2**53)] | None = None
    merge_slashes: bool = True
    preserve_host: bool = False
    forward_authorization: bool = False

    @property
    def auth_methods(self) -> tuple[AuthMethod, ...]:
        """The accepted kinds of credential; empty on a public route."""
        if not self.auth_required:
            return ()
        return self.auth.methods if self.auth else AUTH_METHODS


class Document(msgspec.Struct, frozen=True, kw_only=True):
    """All configuration. Services by name, routes ordered by name: equal content, equal bytes."""

    format: int = FORMAT
    services: dict[str, ServiceSpec] = {}
    routes: tuple[RouteSpec, ...] = ()

    def canonical(self) -> Document:
        """The same content in the one order that is hashed and exported."""
        return Document(
            format=self.format,
            services=dict(sorted(self.services.items())),
            routes=tuple(sorted(self.routes, key=lambda route: route.name)),
        )

    def encode(self) -> bytes:
        """Canonical JSON, UTF-8."""
        ordered = self.canonical()
        return msgspec.json.encode(
            {
                "format": ordered.format,
                "services": {name: plain(spec) for name, spec in ordered.services.items()},
                "routes": plain(ordered.routes),
            }
        )


def plain(value: Any) -> Any:
    """*value* as dicts and lists, structs without the fields that hold their default.

    By value: ``omit_defaults`` of msgspec compares identities, so that equal documents could
    encode, and hash, differently.
    """
    if isinstance(value, msgspec.Struct):
        content = ((name, getattr(value, name), default) for name, default in _fields(type(value)))
        return {name: plain(held) for name, held, default in content if held != default}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    return value


@cache
def _fields(kind: type[msgspec.Struct]) -> tuple[tuple[str, Any], ...]:
    return tuple((field.name, field.default) for field in msgspec.structs.fields(kind))


def digest(encoded: bytes) -> str:
    """SHA-256 of an encoded document, as 64 hexadecimal digits."""
    return hashlib.sha256(encoded).hexdigest()
