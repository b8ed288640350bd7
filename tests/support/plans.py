"""Plans of routes for tests of what reads them."""

from __future__ import annotations

from routing.compiling import compile_route
from routing.document import LimitSpec, RouteSpec
from routing.plans import RoutePlan


def plan_of(name: str, *limits: LimitSpec) -> RoutePlan:
    """Of a route with these limits."""
    return compile_route(RouteSpec(name=name, path="/x", service="s", rate_limit=limits))
