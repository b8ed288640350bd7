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
StoreFailurePolicy = Literal["open", "closed", "local"]
RetryCause = Literal["connect", "reset", "timeout", "500", "502", "503", "504"]
BreakerScope = Literal["instance", "service", "both"]
ProbeKind = Literal["http", "tcp"]
TransportName = Literal["default", "native", "h2", "httpx"]
WhenAllOut = Literal["refuse", "use_all"]

Seconds = Annotated[float, Meta(gt=0, le=86_400)]
PositiveInt = Annotated[int, Meta(ge=1, le=2**31 - 1)]
Ratio = Annotated[float, Meta(gt=0, le=1)]
StatusPattern = Annotated[str, Meta(pattern=r"^([1-5]xx|[1-5][0-9][0-9])$")]
FailureCause = Annotated[str, Meta(pattern=r"^(connect|reset|timeout|protocol|5xx|5[0-9][0-9])$")]

AUTH_METHODS: tuple[AuthMethod, ...] = ("jwt", "api_key")
FORMAT = 1


class _Spec(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True
):
    """Frozen, closed to unknown keys, written without its defaults."""


class InstanceSpec(_Spec, frozen=True):
    """One address of a service. Weight 0 drains it; ``healthy: false`` takes it out."""

    url: str
    weight: Annotated[int, Meta(ge=0, le=1000)] = 1
    healthy: bool = True


class TimeoutSpec(_Spec, frozen=True):
    """Seconds: to connect, between two reads, and for the whole exchange.

    ``first_byte`` is for the head of the answer once the request is sent, by default as *read*.
    """

    connect: Seconds = 2.0
    first_byte: Seconds | None = None
    read: Seconds = 30.0
    total: Seconds = 60.0


class RetrySpec(_Spec, frozen=True):
    """Attempts in all (1 = never again), backoff in seconds, and what is worth another try.

    With ``idempotency_key`` a request that carries an ``Idempotency-Key`` is repeated whatever its
    method is. After ``hedge_after`` seconds without an answer a GET is also sent elsewhere.
    """

    attempts: Annotated[int, Meta(ge=1, le=10)] = 3
    backoff: Annotated[float, Meta(ge=0, le=60)] = 0.05
    max_backoff: Annotated[float, Meta(ge=0, le=60)] = 1.0
    on: tuple[RetryCause, ...] = ("connect", "reset", "502", "503", "504")
    methods: tuple[str, ...] = ("GET", "HEAD", "OPTIONS", "PUT", "DELETE")
    budget: Annotated[float, Meta(ge=0, le=1)] = 0.2
    idempotency_key: bool = False
    hedge_after: Seconds | None = None


class BreakerSpec(_Spec, frozen=True):
    """When an instance, the whole service, or either is left alone.

    ``window``, ``recovery`` and ``slow_seconds`` in seconds. ``failures`` is what counts as one.
    Where ``slow_seconds`` is set, a share ``slow_ratio`` of answers that took longer opens it too.
    """

    failure_threshold: PositiveInt = 5
    failure_ratio: Ratio = 0.5
    min_requests: PositiveInt = 20
    window: Seconds = 10.0
    recovery: Seconds = 30.0
    half_open_requests: PositiveInt = 1
    scope: BreakerScope = "instance"
    failures: tuple[FailureCause, ...] = ("connect", "reset", "timeout", "protocol", "5xx")
    slow_seconds: Seconds | None = None
    slow_ratio: Ratio = 0.5


class HealthCheckSpec(_Spec, frozen=True):
    """An active probe every *interval* seconds: GET *path*, or only a TCP connection."""

    path: str = "/health"
    interval: Seconds = 5.0
    timeout: Seconds = 1.0
    unhealthy_after: PositiveInt = 3
    healthy_after: PositiveInt = 2
    type: ProbeKind = "http"
    expect: tuple[StatusPattern, ...] = ("2xx", "3xx")


class EjectionSpec(_Spec, frozen=True):
    """How far breakers and health checks may go.

    Breakers leave at most ``max_share`` of the instances out. When health checks say that none is
    well, ``refuse`` answers 503 and ``use_all`` asks them all the same.
    """

    max_share: Ratio = 1.0
    when_all: WhenAllOut = "refuse"


class OverloadSpec(_Spec, frozen=True):
    """How many requests run at once in each worker, and how many wait for their turn how long.

    ``max_requests`` is for the service as a whole (``null``: no bound of its own). With
    ``adaptive`` an instance gets fewer than ``max_requests_per_instance`` while its answers take
    more than ``tolerance`` times what they take when it is idle.
    """

    max_requests: PositiveInt | None = None
    max_requests_per_instance: PositiveInt = 256
    max_queued: Annotated[int, Meta(ge=0, le=1_000_000)] = 1024
    queue_timeout: Seconds = 1.0
    adaptive: bool = False
    tolerance: Annotated[float, Meta(ge=1, le=100)] = 2.0


class TlsSpec(_Spec, frozen=True):
    """TLS to instances with https URLs. Files are PEM, on every node, by absolute path.

    ``ca_file`` replaces the system's authorities. ``server_name`` is what is asked for (SNI) and
    verified instead of the instance's host. ``client_key`` may be part of ``client_cert``.
    """

    ca_file: str = ""
    client_cert: str = ""
    client_key: str = ""
    server_name: str = ""
    verify: bool = True


class ServiceSpec(_Spec, frozen=True):
    """A backend. ``breaker: null`` means no breaker, ``health_check: null`` no active probe.

    ``hash_by`` is what ``consistent_hash`` keeps together. With a ``sticky_cookie`` a client stays
    with its instance. Over ``slow_start`` seconds a new or revived instance gets its full share.
    With ``signed_identity`` it gets the verified caller as a signed token too. ``transport`` is
    what speaks to it, by default what UPSTREAM_TRANSPORT says.
    """

    balancer: BalancerName = "round_robin"
    instances: tuple[InstanceSpec, ...] = ()
    timeout: TimeoutSpec = TimeoutSpec()
    retry: RetrySpec = RetrySpec()
    breaker: BreakerSpec | None = BreakerSpec()
    health_check: HealthCheckSpec | None = None
    hash_by: str = "caller"
    sticky_cookie: str = ""
    slow_start: Annotated[float, Meta(ge=0, le=86_400)] = 0.0
    signed_identity: bool = False
    ejection: EjectionSpec = EjectionSpec()
    overload: OverloadSpec = OverloadSpec()
    transport: TransportName = "default"
    tls: TlsSpec = TlsSpec()


class AuthSpec(_Spec, frozen=True):
    """Which kinds of credential are accepted."""

    methods: tuple[AuthMethod, ...] = AUTH_METHODS


class LimitSpec(_Spec, frozen=True):
    """A token bucket: *limit* tokens per period, at most *burst* (default: *limit*) at once.

    A request takes *cost* tokens.
    """

    limit: PositiveInt
    per: Period = "minute"
    burst: PositiveInt | None = None
    by: str = "caller"
    mode: LimitMode = "enforce"
    on_store_failure: StoreFailurePolicy = "open"
    cost: PositiveInt = 1

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
    """All configuration. Services by name, routes ordered by name: equal content, equal bytes.

    ``limits`` apply over all routes, besides those of the routes.
    """

    format: int = FORMAT
    services: dict[str, ServiceSpec] = {}
    routes: tuple[RouteSpec, ...] = ()
    limits: tuple[LimitSpec, ...] = ()

    def canonical(self) -> Document:
        """The same content in the one order that is hashed and exported."""
        return Document(
            format=self.format,
            services=dict(sorted(self.services.items())),
            routes=tuple(sorted(self.routes, key=lambda route: route.name)),
            limits=self.limits,
        )

    def encode(self) -> bytes:
        """Canonical JSON, UTF-8."""
        ordered = self.canonical()
        return msgspec.json.encode(
            {
                "format": ordered.format,
                "services": {name: plain(spec) for name, spec in ordered.services.items()},
                "routes": plain(ordered.routes),
                **({"limits": plain(ordered.limits)} if ordered.limits else {}),
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
