"""What a publish leaves as it was is shared with the snapshot before; what it changes is not."""

from __future__ import annotations

from typing import Any

import pytest

from proxying.breakers import Breakers
from proxying.services import Upstreams
from proxying.snapshot import Plan, Snapshots
from routing.document import Document, InstanceSpec, LimitSpec, RouteSpec, ServiceSpec
from routing.table import build_table

ONE = LimitSpec(limit=1)
TWO = LimitSpec(limit=2)


class Worker:
    """Takes over one document after the other, as a worker does."""

    def __init__(self) -> None:
        self.snapshots = Snapshots(Upstreams(Breakers()))

    def publish(self, hash_by: str = "ip", everywhere: Any = (), **route: Any) -> dict[str, Plan]:
        """Routes ``same`` and ``edited``, each to a service of its own."""
        spec = ServiceSpec(instances=(InstanceSpec(url="http://10.0.0.1"),))
        services = {"s": spec, "t": ServiceSpec(instances=spec.instances, hash_by=hash_by)}
        routes = (
            RouteSpec(name="same", path="/same", service="s", rate_limit=(ONE,)),
            RouteSpec(**{"name": "edited", "path": "/edited", "service": "t", **route}),
        )
        document = Document(services=services, routes=routes, limits=everywhere)
        last = self.snapshots.current
        self.snapshots.install(1, "", build_table(document, last.table if last else None))
        assert self.snapshots.current is not None
        return dict(self.snapshots.current.plans)


@pytest.mark.parametrize(
    "change", [{"path": "/new"}, {"rate_limit": (TWO,)}, {"timeout": 3}, {"hash_by": "caller"}]
)
def test_the_plan_of_a_route_is_made_anew_when_it_or_its_service_changed(
    change: dict[str, Any],
) -> None:
    worker = Worker()
    before, after = worker.publish(), worker.publish(**change)
    assert after["same"] is before["same"]
    assert after["edited"] is not before["edited"]
    assert (after["edited"].upstream is before["edited"].upstream) is ("hash_by" not in change)


def numbers(plan: Plan) -> list[int]:
    return [rule.limit for rule in plan.limits.own + plan.limits.everywhere]


def test_limits_over_all_routes_reach_those_that_did_not_change() -> None:
    worker = Worker()
    before, after = worker.publish(), worker.publish(everywhere=(TWO,))
    assert numbers(before["same"]) == [1]
    assert numbers(after["same"]) == [1, 2]
    assert numbers(worker.publish()["same"]) == [1]
