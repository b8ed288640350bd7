"""A table built on the last one is the table that is built from nothing, and shares what stayed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from routing.document import Document, InstanceSpec, LimitSpec, RouteSpec, ServiceSpec, TlsSpec
from routing.paths import canonical
from routing.table import RoutePlan, Table, build_table
from tests.upstream.certificates import Authority

PATHS = ("/a", "/a/{id}", "/{rest:path}", "/b", "bad")
ASKED = ("/a", "/a/1", "/b", "/c/d")
SERVICES = st.dictionaries(
    st.sampled_from("st"),
    st.builds(
        lambda port, retries: ServiceSpec(
            instances=(InstanceSpec(url=f"http://10.0.0.1{port}"),), hash_by=retries
        ),
        st.sampled_from(("", ":81", "/no")),
        st.sampled_from(("caller", "ip", "nobody")),
    ),
)
ROUTES = st.lists(
    st.builds(
        RouteSpec,
        name=st.sampled_from(("r", "q", "p")),
        path=st.sampled_from(PATHS),
        service=st.sampled_from("st"),
        methods=st.sampled_from(((), ("GET",), ("get",))),
        enabled=st.booleans(),
        priority=st.sampled_from((0, 1)),
    ),
    max_size=4,
)
LIMITS = st.sampled_from(((), (LimitSpec(limit=1),), (LimitSpec(limit=1, by="x"),)))
DOCUMENTS = st.builds(
    lambda services, routes, limits: Document(
        services=services, routes=tuple(routes), limits=limits
    ),
    SERVICES,
    ROUTES,
    LIMITS,
)


def facts(plan: RoutePlan | None) -> Any:
    """Everything a request reads of a route."""
    if plan is None:
        return None
    names = (name for name in RoutePlan.__slots__ if name not in ("pattern", "change"))
    return {name: getattr(plan, name) for name in names}


def answers(table: Table) -> list[Any]:
    found: list[Any] = [table.limits, dict(table.services), list(table.routes)]
    found += [facts(plan) for plan in table.get_all_routes()]
    for path in ASKED:
        match = table.match("GET", "h", canonical(path.encode()))
        found.append((match.result, match.allow, facts(match.route)))
    return found


@given(st.lists(DOCUMENTS, min_size=1, max_size=5))
def test_it_is_the_same_as_one_that_is_built_from_nothing(documents: list[Document]) -> None:
    table = None
    for document in documents:
        table = build_table(document, table)
        assert answers(table) == answers(build_table(document))


def spec(url: str = "http://10.0.0.1", **policy: Any) -> ServiceSpec:
    return ServiceSpec(instances=(InstanceSpec(url=url),), **policy)


def document(*names: str, **services: ServiceSpec) -> Document:
    """A route of each of *names* to the service of its first letter."""
    routes = tuple(RouteSpec(name=name, path=f"/{name}", service=name[0]) for name in names)
    return Document(services=services, routes=routes)


def test_what_stayed_is_the_same_object() -> None:
    before = build_table(document("s1", "s2", "t1", s=spec(), t=spec()))
    after = build_table(document("s1", "s2", "t1", s=spec(), t=spec(), u=spec()), before)
    assert after.router is before.router
    assert all(after.routes[name] is plan for name, plan in before.routes.items())


def test_a_service_that_changed_takes_its_own_routes_along() -> None:
    before = build_table(document("s1", "t1", s=spec(), t=spec()))
    after = build_table(document("s1", "t1", s=spec(hash_by="ip"), t=spec()), before)
    assert after.routes["s1"].service.spec.hash_by == "ip"
    assert after.routes["t1"] is before.routes["t1"]
    assert after.find_route("/s1", "GET") is after.routes["s1"]


def test_a_route_that_is_gone_is_gone_from_the_router_too() -> None:
    before = build_table(document("s1", "s1", s=spec()))
    after = build_table(document("s1", s=spec()), before)
    assert after.find_route("/s1", "GET") is after.routes["s1"]
    assert build_table(document(s=spec()), after).find_route("/s1", "GET") is None


def test_files_of_a_service_are_read_again(tmp_path: Path) -> None:
    file = Path(Authority(tmp_path).file)
    wanted = document("s1", s=spec("https://10.0.0.1", tls=TlsSpec(ca_file=str(file))))
    before = build_table(wanted)
    assert not before.routes["s1"].fault
    file.unlink()
    assert build_table(wanted, before).routes["s1"].fault
