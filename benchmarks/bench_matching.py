"""What finding a route costs with 10 to 10,000 routes.

Run: ``pytest benchmarks/bench_matching.py --benchmark-columns=median,ops``. The numbers of
``docs/`` come from here. Every case checks its answer, so that nothing else is measured.
"""

from __future__ import annotations

import msgspec
import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from routing.document import Document, RouteSpec, ServiceSpec
from routing.matching import Result
from routing.paths import canonical
from routing.table import Table, build_table

SIZES = (10, 100, 1_000, 10_000)
CASES = {
    "literal": ("/api/v1/resource{last}/items", Result.FULL),
    "parameter": ("/api/v1/resource{last}/items/42", Result.FULL),
    "rest": ("/api/v1/resource{last}/files/a/b/c.txt", Result.FULL),
    "miss": ("/api/v1/nothing/here", Result.NONE),
}
_SHAPES = ("items", "items/{id}", "files/{rest:path}")


def document(size: int) -> Document:
    """*size* routes in threes: a literal, a parameter and a rest path under one resource."""
    routes = tuple(
        RouteSpec(
            name=f"r{number}",
            path=f"/api/v1/resource{number // 3}/{_SHAPES[number % 3]}",
            service="s",
            methods=("GET",),
        )
        for number in range(size)
    )
    return Document(services={"s": ServiceSpec()}, routes=routes)


@pytest.fixture(scope="module", params=SIZES, ids=lambda size: f"{size}-routes")
def table(request: pytest.FixtureRequest) -> Table:
    return build_table(document(request.param))


@pytest.mark.parametrize("case", CASES)
def test_match(benchmark: BenchmarkFixture, table: Table, case: str) -> None:
    template, result = CASES[case]
    path = canonical(template.format(last=len(table.routes) // 3 - 1).encode())
    if benchmark(table.match, "GET", "api.example.com", path).result is not result:
        pytest.fail("another route, or none, was found")


@pytest.mark.parametrize(
    "raw",
    [b"/api/v1/resource/items/42", b"/api//v1/%7Euser;v=1/../items/%c3%a9"],
    ids=["simple", "hostile"],
)
def test_canonical(benchmark: BenchmarkFixture, raw: bytes) -> None:
    if not benchmark(canonical, raw).text.startswith("/api/v1/"):
        pytest.fail("the path has another form")


@pytest.mark.parametrize("size", SIZES)
def test_build(benchmark: BenchmarkFixture, size: int) -> None:
    table = benchmark(build_table, document(size))
    if len(table.routes) != size:
        pytest.fail("routes were lost")


@pytest.mark.parametrize("change", ["a service more", "a route changed"])
@pytest.mark.parametrize("size", SIZES)
def test_rebuild(benchmark: BenchmarkFixture, size: int, change: str) -> None:
    before = document(size)
    services, routes = before.services, before.routes
    if change == "a service more":
        services = {**services, "t": ServiceSpec()}
    else:
        routes = (*routes[:-1], msgspec.structs.replace(routes[-1], timeout=3.0))
    after = Document(services=services, routes=routes)
    table = benchmark(build_table, after, build_table(before))
    if len(table.routes) != size:
        pytest.fail("routes were lost")
