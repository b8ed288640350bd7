"""Services as they come out of compiling, for tests of what is built on them."""

from __future__ import annotations

from typing import Any

from proxying.exchange import EMPTY, Exchange, Headers
from routing.document import InstanceSpec, ServiceSpec
from routing.plans import ServicePlan
from routing.table import compile_service

URLS = tuple(f"http://10.0.0.{number}:80" for number in range(1, 11))


class Clock:
    """A clock that a test sets."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def service(count: int = 3, **policy: Any) -> dict[str, ServicePlan]:
    """A service called ``s`` with *count* instances."""
    instances = tuple(InstanceSpec(url=url) for url in URLS[:count])
    return {"s": compile_service("s", ServiceSpec(instances=instances, **policy))}


def exchange(*headers: tuple[bytes, bytes], client: str = "192.0.2.1") -> Exchange:
    """A GET of *client*."""
    found: Headers = list(headers)
    return Exchange("GET", b"/", None, found, EMPTY, client, client=client)
