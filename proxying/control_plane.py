"""The control plane as an upstream: the plan by which reserved paths are forwarded to Django."""

from __future__ import annotations

from proxying.services import Upstreams
from proxying.snapshot import Plan
from proxying.upstream.base import Timeouts
from quotas.rules import RouteLimits
from routing.document import InstanceSpec, RetrySpec, RouteSpec, ServiceSpec
from routing.table import compile_route, compile_service

NAME = "control-plane"
"""Its name as route and service in logs and metrics."""

_CONNECT_SECONDS = 2.0
_ANSWER_SECONDS = 300.0
_LARGEST_BODY = 64 * 1024 * 1024


def control_plane_plan(port: int) -> Plan:
    """Everything under a reserved path goes to ``127.0.0.1:port``, untouched and never twice."""
    service = compile_service(
        NAME,
        ServiceSpec(
            instances=(InstanceSpec(url=f"http://127.0.0.1:{port}"),),
            retry=RetrySpec(attempts=1),
            breaker=None,
        ),
        own=True,
    )
    route = compile_route(
        RouteSpec(
            name=NAME,
            path="/{rest:path}",
            service=NAME,
            auth_required=False,
            preserve_host=True,
            max_body_bytes=_LARGEST_BODY,
        ),
        {NAME: service},
    )
    upstream = Upstreams(None).adopt({NAME: service})[NAME]
    timeouts = Timeouts(_CONNECT_SECONDS, _ANSWER_SECONDS, _ANSWER_SECONDS, _ANSWER_SECONDS)
    return Plan(route, RouteLimits(NAME), upstream, timeouts, ours=True)
