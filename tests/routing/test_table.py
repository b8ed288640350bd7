"""The document compiled: plans, faults by field, and a table that one bad object cannot break."""

from __future__ import annotations

import logging
from typing import Any

import pytest

from routing.document import (
    AuthSpec,
    Document,
    HealthCheckSpec,
    InstanceSpec,
    LimitSpec,
    RetrySpec,
    RouteSpec,
    ServiceSpec,
)
from routing.errors import BadPath, ConfigurationError
from routing.matching import Result
from routing.paths import canonical
from routing.table import (
    RoutePlan,
    Table,
    build_table,
    check,
    compile_route,
    compile_service,
    default_name,
)

URL = "http://127.0.0.1:9001"
SERVICES = {"s": compile_service("s", ServiceSpec(instances=(InstanceSpec(url=URL),)))}


def route(path: str = "/a", **fields: Any) -> RouteSpec:
    return RouteSpec(**{"name": "r", "service": "s", "path": path, **fields})


def document(*routes: RouteSpec, **services: ServiceSpec) -> Document:
    return Document(services={"s": ServiceSpec(), **services}, routes=routes)


def route_faults(spec: RouteSpec) -> list[tuple[str, str]]:
    with pytest.raises(ConfigurationError) as refusal:
        compile_route(spec, SERVICES, index=3)
    return [(fault.field, fault.reason) for fault in refusal.value.faults]


def service_fields(name: str, spec: ServiceSpec) -> list[str]:
    with pytest.raises(ConfigurationError) as refusal:
        compile_service(name, spec)
    return [fault.field for fault in refusal.value.faults]


def forwarded(plan: RoutePlan, path: str) -> str:
    return plan.upstream_path(canonical(path.encode()))


def matched(table: Table, path: str, method: str = "GET", host: str = "") -> RoutePlan | None:
    found = table.match(method, host, canonical(path.encode()))
    return found.route if found.result is Result.FULL else None


def test_a_service_plan_holds_its_instances_taken_apart() -> None:
    spec = ServiceSpec(instances=(InstanceSpec(url=URL, weight=3, healthy=False),))
    (instance,) = compile_service("billing", spec).instances
    assert (instance.url, instance.weight, instance.healthy) == (URL, 3, False)
    assert instance.address.authority == b"127.0.0.1:9001"


def test_every_fault_of_a_service_is_named_by_its_field() -> None:
    urls = (URL, "ftp://x", "http://127.0.0.1:9001/")
    spec = ServiceSpec(
        instances=tuple(InstanceSpec(url=url) for url in urls),
        retry=RetrySpec(methods=("GET", "get", "TRACE")),
        health_check=HealthCheckSpec(path="health"),
    )
    assert service_fields("no spaces", spec) == [
        "name",
        "retry.methods",
        "retry.methods",
        "health_check.path",
        "instances[1].url",
        "instances[2].url",
    ]


@pytest.mark.parametrize("path", ["", "x", "/a b", "/a#b", "/é", "/a\r\nX: 1"])
def test_a_health_check_asks_for_a_plain_path(path: str) -> None:
    spec = ServiceSpec(health_check=HealthCheckSpec(path=path))
    assert service_fields("s", spec) == ["health_check.path"]


def test_a_health_check_must_be_able_to_pass() -> None:
    probe = HealthCheckSpec(expect=())
    assert service_fields("s", ServiceSpec(health_check=probe)) == ["health_check.expect"]
    compile_service("s", ServiceSpec(health_check=HealthCheckSpec(expect=(), type="tcp")))


def test_a_route_plan_holds_what_a_request_needs() -> None:
    limit = LimitSpec(limit=5, by="header:X-Tenant")
    spec = route(
        hosts=("API.example.com.", "*.example.org"),
        methods=("POST", "GET"),
        rate_limit=(limit,),
        timeout=3.0,
    )
    plan = compile_route(spec, SERVICES, index=7)
    assert plan.service is SERVICES["s"]
    assert plan.hosts == ("api.example.com", "*.example.org")
    assert plan.methods == {"GET", "POST"}
    assert plan.allow == ("GET", "HEAD", "POST")
    assert (plan.limits, plan.timeout, plan.index, plan.fault) == ((limit,), 3.0, 7, "")
    assert plan.auth_methods == {"jwt", "api_key"}


def test_a_public_route_accepts_no_credentials() -> None:
    assert compile_route(route(auth_required=False), SERVICES).auth_methods == frozenset()
    only = route(auth=AuthSpec(methods=("jwt",)))
    assert compile_route(only, SERVICES).auth_methods == {"jwt"}


@pytest.mark.parametrize(
    ("fields", "field", "reason"),
    [
        ({"name": ""}, "name", "1 to 100"),
        ({"name": "a/b"}, "name", "1 to 100"),
        ({"name": "a" * 101}, "name", "1 to 100"),
        ({"name": "a\n"}, "name", "1 to 100"),
        ({"service": "other"}, "service", "no service"),
        ({"path": "a"}, "path", "begin with '/'"),
        ({"path": "/a//b"}, "path", "canonical"),
        ({"path": "/admin/x"}, "path", "reserved"),
        ({"path": "/health"}, "path", "reserved"),
        ({"hosts": ("a:80",)}, "hosts", "without a port"),
        ({"hosts": ("*",)}, "hosts", "host name"),
        ({"hosts": ("a.*.com",)}, "hosts", "host name"),
        ({"hosts": ("http://a",)}, "hosts", "host name"),
        ({"hosts": ("",)}, "hosts", "host name"),
        ({"hosts": ("bücher.example",)}, "hosts", "ASCII"),
        ({"hosts": ("*.[::1]",)}, "hosts", "host name"),
        ({"methods": ("get",)}, "methods", "upper case"),
        ({"methods": ("*",)}, "methods", "upper case"),
        ({"methods": ("G T",)}, "methods", "upper case"),
        ({"methods": ("",)}, "methods", "upper case"),
        ({"methods": ("CONNECT",)}, "methods", "never proxied"),
        ({"auth": AuthSpec(methods=())}, "auth.methods", "jwt"),
        ({"rate_limit": (LimitSpec(limit=1, by="x"),)}, "rate_limit[0].by", "caller"),
        ({"rate_limit": (LimitSpec(limit=1, by="ip:x"),)}, "rate_limit[0].by", "caller"),
        ({"rate_limit": (LimitSpec(limit=1, by="header:"),)}, "rate_limit[0].by", "caller"),
        ({"rate_limit": (LimitSpec(limit=1, by="header:a b"),)}, "rate_limit[0].by", "caller"),
        ({"strip_prefix": "api"}, "strip_prefix", "begin with '/'"),
        ({"strip_prefix": "/a/../b"}, "strip_prefix", "canonical"),
        ({"strip_prefix": "/{a}"}, "strip_prefix", "whole segment"),
        ({"rewrite": "v2"}, "rewrite", "begin with '/'"),
        ({"rewrite": "/v2/{id}"}, "rewrite", "not a parameter"),
        ({"rewrite": "/v2/{"}, "rewrite", "whole segment"),
        ({"rewrite": "/v2?x=1"}, "rewrite", r"\?"),
        ({"rewrite": "/v2/../x"}, "rewrite", "canonical"),
        ({"rewrite": "/v2", "strip_prefix": "/a"}, "rewrite", "combined"),
    ],
)
def test_a_fault_of_a_route_is_named_by_its_field(
    fields: dict[str, Any], field: str, reason: str
) -> None:
    (found,) = route_faults(route(**fields))
    assert found[0] == field
    assert reason.strip("\\") in found[1]


@pytest.mark.parametrize("host", ["a", "a_b.c", "*.com", "127.0.0.1", "[::1]", "A.example."])
def test_hosts_may_be_names_wildcards_and_addresses(host: str) -> None:
    assert compile_route(route(hosts=(host,)), SERVICES).hosts


def test_all_faults_of_a_route_are_reported_at_once_with_its_place() -> None:
    spec = route("a", service="gone", methods=("get",), strip_prefix="x")
    with pytest.raises(ConfigurationError) as refusal:
        compile_route(spec, SERVICES, index=3)
    assert {fault.field for fault in refusal.value.faults} == {
        "path", "service", "methods", "strip_prefix",
    }  # fmt: skip
    assert {fault.where for fault in refusal.value.faults} == {"routes[3] (r)"}


def test_a_form_compiles_a_route_without_knowing_the_services() -> None:
    assert compile_route(route(service="anything")).service.name == "anything"


@pytest.mark.parametrize(
    ("prefix", "path", "upstream"),
    [
        ("/api", "/api/a", "/a"),
        ("/api/", "/api/a", "/a"),
        ("/api", "/api", "/"),
        ("/api", "/api/", "/"),
        ("/api", "/apis/a", "/apis/a"),
        ("/api", "/API/a", "/API/a"),
        ("/api/v1", "/api/v1/a/b/", "/a/b/"),
        ("/api/v1", "/api/a", "/api/a"),
        ("/api", "/api;v=1/a;w", "/a;w"),
        ("/api", "//api//a%2fb", "/a%2Fb"),
        ("/", "/a", "/a"),
        ("/api", "/x/api/a", "/x/api/a"),
    ],
)
def test_a_prefix_is_stripped_by_whole_segments(prefix: str, path: str, upstream: str) -> None:
    plan = compile_route(route("/{rest:path}", strip_prefix=prefix), SERVICES)
    assert forwarded(plan, path) == upstream


@pytest.mark.parametrize(
    ("rewrite", "path", "upstream"),
    [
        ("/v2/{id}", "/p/7/x", "/v2/7"),
        ("/v2/{rest}/{id}", "/p/7/x/y/", "/v2/x/y/7"),
        ("/v2/item-{id}.json", "/p/7/x", "/v2/item-7.json"),
        ("/{id}/{id}", "/p/a%2fb;v=1/x", "/a%2Fb;v=1/a%2Fb;v=1"),
        ("/v2/{rest}", "/p/7/", "/v2/"),
        ("/v2/{rest}/end", "/p/7/", "/v2/end"),
        ("/fixed", "/p/7/x", "/fixed"),
        ("/v2/{id}", "/p/{rest}/x", "/v2/{rest}"),
        ("/v2/{id}", "/p/%252e/x", "/v2/%252e"),
    ],
)
def test_a_template_is_filled_with_segments_as_they_are_forwarded(
    rewrite: str, path: str, upstream: str
) -> None:
    plan = compile_route(route("/p/{id}/{rest:path}", rewrite=rewrite), SERVICES)
    assert forwarded(plan, path) == upstream


@pytest.mark.parametrize("rewrite", ["/v2/..{rest}", "/v2/.{rest}", "/v2/..{rest}/x"])
def test_a_template_never_leaves_a_dot_segment_behind(rewrite: str) -> None:
    plan = compile_route(route("/p/{rest:path}", rewrite=rewrite), SERVICES)
    assert forwarded(plan, "/p/a").startswith("/v2/.")
    with pytest.raises(BadPath):
        forwarded(plan, "/p/")


def test_an_unchanged_path_is_forwarded_in_its_canonical_form() -> None:
    assert forwarded(compile_route(route("/{x:path}"), SERVICES), "/a//b/../%7e") == "/a/~"


def test_a_route_that_keeps_slashes_forwards_them() -> None:
    plain = compile_route(route("/{x:path}", merge_slashes=False), SERVICES)
    spec = route("/{x:path}", merge_slashes=False, strip_prefix="/api")
    strip = compile_route(spec, SERVICES)
    assert forwarded(plain, "/a//b/../c") == "/a//c"
    assert forwarded(strip, "/api//a//b") == "//a//b"


def test_a_route_that_keeps_slashes_forwards_what_it_matches_once_they_are_merged() -> None:
    spec = route("/keep/{x}", merge_slashes=False, rewrite="/v2/{x}")
    assert forwarded(compile_route(spec, SERVICES), "//keep/a") == "/v2/a"


@pytest.mark.parametrize("path", ["/a", "/a/b", "/a/", "/a//", "/b", "/b/c/d", "/", "/a/b/c"])
@pytest.mark.parametrize("pattern", ["/a", "/a/{x}", "/a/{x:path}", "/{x}", "/", "/b/c/{x:path}"])
def test_a_pattern_fits_what_its_table_matches(pattern: str, path: str) -> None:
    plan = compile_route(route(pattern), SERVICES)
    table = build_table(document(route(pattern)))
    fits = plan.pattern.fits(canonical(path.encode()).segments)
    assert fits == (matched(table, path) is not None)


def test_a_table_finds_routes_by_request_and_by_name() -> None:
    table = build_table(document(route("/a/{id}", name="one"), route("/b", name="two")))
    assert matched(table, "/a/1") is table.routes["one"]
    assert table.find_route("/a//1", "GET") is table.routes["one"]
    assert table.find_route("/c", "GET") is None
    assert [plan.name for plan in table.get_all_routes()] == ["one", "two"]
    assert list(table.services) == ["s"]
    assert (table.get_instances("s"), table.get_instances("x")) == ((), ())


def test_a_table_cannot_be_changed() -> None:
    routes: Any = build_table(document(route())).routes
    with pytest.raises(TypeError):
        routes["x"] = routes["r"]


def test_a_disabled_route_is_not_in_the_table() -> None:
    table = build_table(document(route(enabled=False)))
    assert not table.routes
    assert matched(table, "/a") is None


def test_a_route_that_does_not_compile_closes_only_itself() -> None:
    bad = route("/a", name="bad", strip_prefix="x", auth_required=False)
    table = build_table(document(bad, route("/{rest:path}", name="wide")))
    closed = matched(table, "/a")
    assert closed is table.routes["bad"]
    assert closed.fault == "strip_prefix: the path must begin with '/'"
    assert matched(table, "/b") is table.routes["wide"]
    assert table.routes["wide"].fault == ""


@pytest.mark.parametrize(
    "fields", [{"methods": ("get",)}, {"hosts": ("h:80",)}, {"service": "gone"}]
)
def test_a_misspelt_route_does_not_leave_its_requests_to_a_wider_one(
    fields: dict[str, Any],
) -> None:
    table = build_table(document(route(name="bad", **fields), route("/{x:path}", name="wide")))
    closed = matched(table, "/a", host="h")
    assert closed is table.routes["bad"]
    assert closed.fault


def test_a_route_whose_path_does_not_compile_is_dropped_and_logged(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with caplog.at_level(logging.ERROR, logger="routing.table"):
        table = build_table(document(route("/a/../b", name="bad"), route("/b", name="good")))
    assert list(table.routes) == ["good"]
    assert "route bad is dropped: path: " in caplog.text


def test_a_bad_service_closes_its_routes_and_no_others(caplog: pytest.LogCaptureFixture) -> None:
    broken = ServiceSpec(instances=(InstanceSpec(url="http://u:hunter2@x"),))
    table = build_table(document(route("/b", name="b", service="broken"), route(), broken=broken))
    assert table.routes["b"].fault.startswith("service broken: instances[0].url: ")
    assert table.services["broken"].instances == ()
    assert table.routes["r"].fault == ""
    assert "hunter2" not in caplog.text + table.routes["b"].fault


def test_the_second_route_of_a_name_is_closed() -> None:
    table = build_table(document(route("/a"), route("/b")))
    assert table.routes["r"].fault == ""
    second = matched(table, "/b")
    assert second is not None
    assert second.fault == "another route has this name"


def test_a_sound_document_has_no_faults() -> None:
    assert check(document(route(), route("/b", name="b", enabled=False))) == []


def test_a_strict_reading_names_every_fault_of_a_document() -> None:
    broken = ServiceSpec(instances=(InstanceSpec(url="x"),))
    faults = check(
        document(
            route(),
            route("/b", service="broken"),
            route("b", name="c", service="gone", enabled=False),
            broken=broken,
        )
    )
    assert [(fault.where, fault.field) for fault in faults] == [
        ("services.broken", "instances[0].url"),
        ("routes[1] (r)", "name"),
        ("routes[2] (c)", "service"),
        ("routes[2] (c)", "path"),
    ]


def test_an_unknown_format_is_a_fault() -> None:
    (fault,) = check(Document(format=2))
    assert str(fault) == "format: must be 1"


@pytest.mark.parametrize(
    ("methods", "path", "name"),
    [
        (("GET", "POST"), "/projects/{project_id}", "get-post-projects-project_id"),
        (("POST", "GET"), "/projects/{project_id}", "get-post-projects-project_id"),
        ((), "/projects", "projects"),
        ((), "/projects/", "projects-slash"),
        (("GET",), "/", "get-root"),
        ((), "/files/{rest:path}", "files-rest"),
        ((), "/v1/jobs:run", "v1-jobs-run"),
        ((), "/caf%C3%A9", "caf-C3-A9"),
        (("GET", "GET"), "/a", "get-a"),
        ((), "/-", "route-53ffa564"),
    ],
)
def test_a_route_without_a_name_gets_a_readable_one(
    methods: tuple[str, ...], path: str, name: str
) -> None:
    assert default_name(methods, path) == name


def test_long_default_names_are_cut_and_stay_distinct() -> None:
    names = {default_name((), "/" + "a" * 120 + end) for end in "bc"}
    assert len(names) == 2
    assert {len(name) for name in names} == {100}


def test_ten_thousand_routes_are_told_apart() -> None:
    routes = (route(f"/r{n}/{{id}}", name=f"r{n}") for n in range(10_000))
    table = build_table(document(*routes))
    assert table.find_route("/r9999/1", "GET") is table.routes["r9999"]
