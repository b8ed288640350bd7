"""Which routes are said to be without effect, and that no request reaches one that is."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from routing.document import Document, RouteSpec, ServiceSpec
from routing.overlaps import unreachable
from routing.paths import canonical
from routing.table import build_table


def found(*routes: RouteSpec) -> list[tuple[str, str, str]]:
    return [(one.route, one.winner, one.by) for one in unreachable(routes)]


def route(name: str, path: str = "/a/{x}", **fields: Any) -> RouteSpec:
    return RouteSpec(name=name, path=path, service="s", **fields)


def test_of_two_alike_the_second_by_name_is_never_reached() -> None:
    assert found(route("b"), route("a", "/a/{other}")) == [("b", "a", "name")]


def test_one_that_takes_more_at_a_higher_priority_hides_one_that_takes_less() -> None:
    wide = route("z", priority=1, hosts=("b.example", "A.example"))
    narrow = route("a", methods=("GET",), hosts=("a.example",))
    assert found(narrow, wide) == [("a", "z", "priority")]


@pytest.mark.parametrize(
    "other",
    [
        route("b", "/a/{x:path}"),
        route("b", "/a/x"),
        route("b", hosts=("a.example",)),
        route("b", methods=("GET", "POST")),
        route("b", merge_slashes=False),
        route("b", enabled=False),
        route("b"),
    ],
)
def test_what_has_requests_of_its_own_is_no_overlap(other: RouteSpec) -> None:
    assert found(route("a", methods=("GET",)), other) == []


routes = st.lists(
    st.builds(
        route,
        st.sampled_from("abcdef"),
        st.sampled_from(["/a", "/{x}", "/{y}", "/{x:path}"]),
        hosts=st.sampled_from([(), ("h",), ("h", "i"), ("*.h",)]),
        methods=st.sampled_from([(), ("GET",), ("HEAD",), ("GET", "PUT")]),
        priority=st.integers(0, 1),
    ),
    max_size=6,
    unique_by=lambda one: one.name,
)


@given(routes)
def test_no_request_reaches_a_route_that_is_said_to_be_unreachable(specs: list[RouteSpec]) -> None:
    table = build_table(Document(services={"s": ServiceSpec()}, routes=tuple(specs)))
    winners = {
        match.route.name
        for path in ("/a", "/b", "/a/b")
        for host in ("h", "i", "x.h", "z")
        for method in ("GET", "HEAD", "PUT", "POST")
        if (match := table.match(method, host, canonical(path.encode()))).route and not match.allow
    }
    assert winners.isdisjoint(one.route for one in unreachable(specs))
