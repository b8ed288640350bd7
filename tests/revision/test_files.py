"""Files become a document, or every fault with its file, its place and what is allowed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from routing.document import Document, LimitSpec, RouteSpec, ServiceSpec
from routing.errors import ConfigurationError
from routing.files import MAX_BYTES, dump_json, dump_yaml, parse, read_files

ROUTES = """
routes:
  - path: /projects
    service: project-service
    methods: [GET, POST]
    auth_required: true
    rate_limit: 100
    timeout: 30
"""
SERVICES = """
services:
  project-service:
    instances:
      - url: http://project-service-1:8000
        weight: 1
        healthy: true
"""


def faults_of(*texts: str) -> list[str]:
    with pytest.raises(ConfigurationError) as caught:
        parse([(f"{number}.yaml", text) for number, text in enumerate(texts, 1)])
    return [str(fault) for fault in caught.value.faults]


@pytest.mark.parametrize(
    "texts", [(ROUTES, SERVICES), (SERVICES, ROUTES), (SERVICES + ROUTES,)], ids=str
)
def test_the_specifications_files_load_in_any_order(texts: tuple[str, ...]) -> None:
    document = parse([(f"{number}.yaml", text) for number, text in enumerate(texts)]).document
    (route,) = document.routes
    assert route.name == "get-post-projects"
    assert route.rate_limit == (LimitSpec(limit=100),)
    assert route.timeout == 30
    assert document.services["project-service"].instances[0].url == "http://project-service-1:8000"


@pytest.mark.parametrize(
    ("written", "limits"),
    [
        ("100", (LimitSpec(limit=100),)),
        ("{limit: 5, per: hour}", (LimitSpec(limit=5, per="hour"),)),
        ("[7, {limit: 5, by: ip}]", (LimitSpec(limit=7), LimitSpec(limit=5, by="ip"))),
        ("[]", ()),
        ("null", ()),
    ],
)
def test_limits_have_a_short_and_a_long_form(written: str, limits: tuple[LimitSpec, ...]) -> None:
    text = f"routes: [{{path: /a, service: s, rate_limit: {written}}}]"
    assert parse([("f", text)]).document.routes[0].rate_limit == limits


def test_status_codes_to_retry_on_are_written_as_numbers() -> None:
    text = "services: {s: {retry: {on: [connect, 502]}}}"
    assert parse([("f", text)]).document.services["s"].retry.on == ("connect", "502")


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("", "1.yaml: expected a mapping with services and routes, got nothing"),
        ("[1]", "1.yaml: expected a mapping with services and routes, got list"),
        ("a: [1,\n b: }", "1.yaml: line 2, column 5: "),
        ("route: []", "1.yaml: route: unknown key; known are services, routes and limits"),
        ("routes:", "1.yaml: routes: expected a list of routes"),
        ("services: []", "1.yaml: services: expected a mapping"),
        ("routes: [{path: /a}]", "1.yaml: routes[0] (/a).service: required"),
        (
            "routes: [{path: /a, service: s, metods: [GET]}]",
            "1.yaml: routes[0] (/a).metods: unknown key; known are name, path,",
        ),
        (
            "services: {s: {instances: [{url: http://h, weight: -1}]}}",
            "1.yaml: services.s.instances[0].weight: expected int >= 0",
        ),
        (
            "services: {s: {balancer: fastest}}",
            "1.yaml: services.s.balancer: 'fastest' is not one of consistent_hash, least_conn",
        ),
        (
            "services: {s: {timeout: {conect: 1}}}",
            "1.yaml: services.s.timeout.conect: unknown key; "
            "known are connect, first_byte, read, total",
        ),
        (
            "services: {s: {instances: [{url: http://h, healthy: yes}]}}",
            "1.yaml: services.s.instances[0].healthy: expected bool, got str",
        ),
        ("routes: [{path: /a, service: s, rate_limit: 0}]", "routes[0] (/a).rate_limit: expected"),
        (
            "routes: [{path: /a, service: s, rate_limit: true}]",
            "(/a).rate_limit: expected int, mapping or list of them, got bool",
        ),
        (
            "routes: [{path: /a, service: s, rate_limit: {limit: 1, per: week}}]",
            "routes[0] (/a).rate_limit.per: 'week' is not one of",
        ),
        (
            "routes: [{path: /a, service: s, rate_limit: [1, {limit: 2, by: 3}]}]",
            "routes[0] (/a).rate_limit[1].by: expected str, got int",
        ),
        (
            "services: {s: {balancer: null}}",
            "services.s.balancer: null is not one of consistent_hash",
        ),
        ("routes: [7]", "1.yaml: routes[0]: expected mapping, got int"),
        ("services: {s: {timeout: {read: .nan}}}", "services.s.timeout.read: expected float"),
    ],
)
def test_a_fault_names_file_place_and_reason(text: str, fault: str) -> None:
    (found,) = faults_of(text)
    assert fault in found


def test_every_faulty_object_is_reported() -> None:
    text = "services: {a: {x: 1}, b: {y: 1}}\nroutes: [{path: 1, service: s}, {service: s}]"
    assert len(faults_of(text)) == 4


def test_a_route_name_taken_by_another_file_names_both() -> None:
    text = "routes: [{name: n, path: /a, service: s}]"
    (fault,) = faults_of(text, text)
    assert fault == "2.yaml: routes[0] (n).name: the name 'n' is taken by routes[0] (n) of 1.yaml"


def test_two_routes_without_a_name_whose_made_names_are_one_are_told_to_get_one() -> None:
    (fault,) = faults_of("routes: [{path: /a/b, service: s}, {path: '/a/{b}', service: s}]")
    assert fault.startswith("1.yaml: routes[1] (a-b).name: the name 'a-b' is taken by routes[0]")
    assert fault.endswith("give this route a name")


def test_a_fault_is_one_line_whatever_a_name_holds() -> None:
    (fault,) = faults_of('services: {"a\\n\\e[31m": {x: 1}}')
    assert fault.startswith(r"1.yaml: services.a\n\x1b[31m.x: unknown key")


def test_a_service_in_two_files_names_both() -> None:
    (fault,) = faults_of("services: {s: {}}", "services: {s: {}}")
    assert "2.yaml: services.s" in fault
    assert "services.s of 1.yaml" in fault


def test_files_that_cannot_be_read_are_faults_of_their_own(tmp_path: Path) -> None:
    latin = tmp_path / "latin.yaml"
    latin.write_bytes(b"services: {}\n# caf\xe9\n")
    with pytest.raises(ConfigurationError) as caught:
        read_files([tmp_path / "none.yaml", latin, tmp_path])
    reasons = [fault.reason for fault in caught.value.faults]
    assert reasons == ["No such file or directory", "line 2: not UTF-8", "Is a directory"]


def test_a_file_over_the_limit_is_refused(tmp_path: Path) -> None:
    large = tmp_path / "large.yaml"
    large.write_bytes(b"#" * (MAX_BYTES + 1))
    with pytest.raises(ConfigurationError, match="larger than"):
        read_files([large])


RICH = """\
services:
  s:
    balancer: weighted
    instances:
    - url: http://a:1
      weight: 5
    timeout:
      connect: 1.5
    retry:
      'on': [connect, 502]
    breaker: null
    health_check: {}
routes:
- name: n
  path: /a/{x}
  hosts: ['*.example.com']
  methods: [GET]
  service: s
  rewrite: /b/{x}
  auth: {}
  rate_limit: 100
  timeout: 30
  max_body_bytes: 0
- name: o
  path: /o
  service: s
  rate_limit:
  - limit: 1
    per: second
  - 2
"""


def test_yaml_is_written_in_the_order_of_the_contract_without_defaults() -> None:
    assert dump_yaml(parse([("f", RICH)]).document) == RICH


@pytest.mark.parametrize("dump", [dump_yaml, dump_json])
def test_what_is_dumped_reads_back_the_same(
    dump: Callable[[Document], str],
) -> None:
    document = parse([("f", RICH)]).document
    assert parse([("f", dump(document))]).document == document


def test_equal_documents_encode_equally_wherever_their_values_come_from() -> None:
    text = "services: {s: {timeout: {connect: 2}, breaker: {min_requests: 20}}}"
    assert (
        parse([("f", text)]).document.encode() == Document(services={"s": ServiceSpec()}).encode()
    )


def test_routes_are_dumped_by_name() -> None:
    routes = tuple(RouteSpec(name=name, path=f"/{name}", service="s") for name in "cab")
    names = [
        line[8:] for line in dump_yaml(Document(routes=routes)).split("\n") if "- name" in line
    ]
    assert names == ["a", "b", "c"]
