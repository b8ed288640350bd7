"""Connect, first byte, idle and total are separate, and none is longer than the whole."""

from __future__ import annotations

from typing import Any

import pytest

from proxying.services import Upstreams
from proxying.snapshot import Snapshots
from proxying.upstream.base import Timeouts
from routing.document import Document, InstanceSpec, RouteSpec, ServiceSpec, TimeoutSpec
from routing.table import build_table


@pytest.mark.parametrize(
    ("service", "route", "first_byte", "total"),
    [
        ({}, None, 30, 60),
        ({"read": 5}, None, 5, 60),
        ({"first_byte": 2}, None, 2, 60),
        ({"first_byte": 90, "read": 5}, None, 60, 60),
        ({}, 45, 45, 45),
        ({"first_byte": 2}, 45, 2, 45),
        ({"first_byte": 90}, 45, 45, 45),
    ],
)
def test_the_first_byte_has_a_time_of_its_own(
    service: dict[str, Any], route: float | None, first_byte: float, total: float
) -> None:
    spec = ServiceSpec(
        instances=(InstanceSpec(url="http://10.0.0.1:80"),), timeout=TimeoutSpec(**service)
    )
    routes = (RouteSpec(name="r", path="/", service="s", timeout=route),)
    snapshots = Snapshots(Upstreams(None))
    snapshots.install(1, "", build_table(Document(services={"s": spec}, routes=routes)))
    assert snapshots.current is not None
    read = spec.timeout.read
    assert snapshots.current.plans["r"].timeouts == Timeouts(2, first_byte, read, total)
