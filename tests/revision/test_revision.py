"""Applying, publishing and taking back: all or nothing, and never twice the same."""

from __future__ import annotations

import threading
from dataclasses import replace

import msgspec
import pytest
from django.db import connection, connections
from django.test.utils import CaptureQueriesContext
from pytest_django import Settings

from audit.models import AuditEntry
from quotas.models import RateLimit
from routing import files, revision
from routing.difference import Diff
from routing.document import Document, LimitSpec, ServiceSpec, digest
from routing.errors import ConfigurationError
from routing.models import Revision, RevisionHead, Route, Service, ServiceInstance
from routing.publishing import suspended
from routing.reading import compile_rows

pytestmark = pytest.mark.django_db(transaction=True)


def apply_text(text: str) -> Diff:
    return revision.apply(files.parse([("f.yaml", text)]))


def newest() -> Revision:
    return Revision.objects.latest("number")


def test_rows_compile_to_the_document_that_was_applied(published: Document) -> None:
    compiled = compile_rows(strict=True).document
    assert compiled.routes == published.routes
    urls = [one.url for one in compiled.services["acme"].instances]
    assert urls == ["http://10.0.0.1", "http://10.0.0.2"]


def test_applying_publishes_one_revision_that_says_who_and_whence(published: Document) -> None:
    (stored,) = Revision.objects.all()
    assert (stored.number, stored.created_by, stored.source) == (1, "lead", "command")
    assert stored.sha256 == digest(stored.document.encode())
    assert revision.current() == stored


def test_applying_again_changes_nothing(published: Document) -> None:
    rows = set(ServiceInstance.objects.values_list("pk")), set(RateLimit.objects.values_list("pk"))
    diff = revision.apply(published)
    assert not diff
    assert diff.revision is None
    assert rows == (
        set(ServiceInstance.objects.values_list("pk")),
        set(RateLimit.objects.values_list("pk")),
    )


def test_the_diff_names_each_field_that_changed(published: Document) -> None:
    service = published.services["acme"]
    instances = tuple(msgspec.structs.replace(one, weight=9) for one in service.instances[:1])
    timeout = msgspec.structs.replace(service.timeout, connect=4.0)
    changed = msgspec.structs.replace(service, instances=instances, timeout=timeout)
    diff = revision.apply(msgspec.structs.replace(published, services={"acme": changed}))
    assert diff.as_text() == (
        "~ service acme\n"
        '    instances[http://10.0.0.1]: {"url":"http://10.0.0.1","weight":3} -> none\n'
        "    instances[http://10.0.0.2].weight: 1 -> 9\n"
        "    timeout.connect: 1.0 -> 4.0\n"
    )


def test_applying_compiles_for_one_publish_only(published: Document, globex: Document) -> None:
    with CaptureQueriesContext(connection) as queries:
        revision.apply(globex)
    assert sum('FROM "revision_head"' in one["sql"] for one in queries) == 1


def test_what_a_file_does_not_name_stays(published: Document, globex: Document) -> None:
    revision.apply(globex)
    assert set(Route.objects.values_list("name", flat=True)) == {"orders", "public", "globex"}


def test_pruning_removes_what_the_files_do_not_name(published: Document, globex: Document) -> None:
    diff = revision.apply(globex, prune=True)
    assert [one.action.value + one.name for one in diff.changes] == [
        "-acme",
        "+globex",
        "+globex",
        "-orders",
        "-public",
    ]
    assert list(Service.objects.values_list("name", flat=True)) == ["globex"]
    assert not RateLimit.objects.exists()


def test_a_dry_run_shows_the_diff_and_leaves_no_trace(
    published: Document, globex: Document
) -> None:
    entries = AuditEntry.objects.count()
    diff = revision.apply(globex, prune=True, dry_run=True)
    assert len(diff.changes) == 5
    assert set(Route.objects.values_list("name", flat=True)) == {"orders", "public"}
    assert Revision.objects.count() == 1
    assert AuditEntry.objects.count() == entries


def test_limits_are_replaced_in_place(published: Document) -> None:
    (before,) = RateLimit.objects.all()
    limits = (LimitSpec(limit=5), LimitSpec(limit=1, per="second", by="ip"))
    routes = tuple(
        msgspec.structs.replace(route, rate_limit=limits if route.name == "orders" else ())
        for route in published.routes
    )
    revision.apply(msgspec.structs.replace(published, routes=routes))
    after = RateLimit.objects.order_by("id")
    assert [(one.limit, one.per, one.by) for one in after] == [
        (5, "minute", "caller"),
        (1, "second", "ip"),
    ]
    assert after[0].pk == before.pk


def test_a_limit_that_is_no_longer_named_is_removed(published: Document) -> None:
    route = Route.objects.get(name="orders")
    with suspended():
        RateLimit.objects.create(route=route, limit=1, per="second")
    revision.apply(published)
    assert list(RateLimit.objects.values_list("limit", flat=True)) == [100]


def test_one_spelling_of_an_address_is_no_change(published: Document) -> None:
    text = (
        "services: {acme: {timeout: {connect: 1}, instances: "
        "[{url: 'HTTP://10.0.0.1:80/', weight: 3}, {url: 'http://10.0.0.2:80'}]}}"
    )
    assert not apply_text(text)


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        (
            "services: {s: {instances: [{url: 'http://10.0.0.9'}, {url: '10.0.0.1:80'}]}}",
            "f.yaml: services.s.instances[1].url: ",
        ),
        ("services: {s: {instances: [{url: 'http://h/path'}]}}", "services.s.instances[0].url: "),
        ("routes: [{path: '', service: acme, name: n}]", "f.yaml: routes[0] (n).path: "),
        ("routes: [{path: /admin/x, service: acme, name: n}]", "routes[0] (n).path: is reserved"),
        ("routes: [{path: '/a%zz', service: acme, name: n}]", "routes[0] (n).path: "),
        ("routes: [{path: /a, service: none, name: n}]", "routes[0] (n).service: "),
        ("routes: [{path: /a, service: acme, name: n, auth: {methods: []}}]", "(n).auth.methods: "),
        ("routes: [{path: /a, service: acme, name: n, rate_limit: {limit: 1, by: x}}]", "limit[0]"),
        ("routes: [{path: /b, service: acme, name: z}, {path: '/{', service: acme}]", "routes[1] "),
    ],
)
def test_a_file_that_makes_no_sense_changes_nothing(
    published: Document, text: str, fault: str
) -> None:
    with pytest.raises(ConfigurationError) as caught:
        apply_text(text)
    assert fault in str(caught.value)
    assert compile_rows().document.routes == published.routes
    assert Revision.objects.count() == 1


def test_an_old_fault_elsewhere_does_not_forbid_a_change(
    published: Document, globex: Document
) -> None:
    Route.objects.filter(name="public").update(methods=["get it"])
    assert revision.apply(globex).revision is not None
    assert newest().faults == 1


def test_publishing_the_same_rows_makes_no_revision(published: Document) -> None:
    assert revision.publish("command", "x") is None
    assert Revision.objects.count() == 1


@pytest.mark.parametrize(
    "wrong", [{"methods": [7]}, {"hosts": "text"}, {"path": "/{"}, {"name": "a b"}]
)
def test_a_row_that_does_not_compile_is_published_closed(
    published: Document, wrong: dict[str, object]
) -> None:
    Route.objects.filter(name="public").update(**wrong)
    stored = newest()
    assert (stored.number, stored.faults) == (2, 1)
    with pytest.raises(ConfigurationError, match=r"routes\."):
        compile_rows(strict=True)


def test_a_limit_out_of_range_is_a_fault_of_its_route(published: Document) -> None:
    RateLimit.objects.update(limit=2**32)
    (fault,) = compile_rows().faults
    assert (fault.where, fault.field) == ("routes.orders", "rate_limit[0].limit")


def test_a_service_that_does_not_compile_is_one_fault(published: Document) -> None:
    Service.objects.update(retry_on=["never"])
    (fault,) = compile_rows().faults
    assert (fault.where, fault.field) == ("services.acme", "retry.on")
    assert '"on":["never"]' in newest().document


def test_rolling_back_restores_rows_and_publishes_them(
    published: Document, globex: Document
) -> None:
    revision.apply(globex, prune=True)
    restored = revision.rollback(1, "lead")
    assert restored == newest()
    assert restored is not None
    assert (restored.number, restored.source, restored.created_by) == (3, "rollback", "lead")
    assert restored.sha256 == Revision.objects.get(number=1).sha256
    assert set(Route.objects.values_list("name", flat=True)) == {"orders", "public"}


def test_rolling_back_to_the_present_does_nothing(published: Document) -> None:
    assert revision.rollback(1, "lead") is None


def test_rolling_back_to_nowhere_is_refused(published: Document) -> None:
    with pytest.raises(ConfigurationError, match="revision 9: does not exist"):
        revision.rollback(9, "lead")


def test_rolling_back_to_a_faulty_revision_is_refused(published: Document) -> None:
    Route.objects.filter(name="public").update(methods=[7])
    Route.objects.filter(name="public").update(methods=[])
    with pytest.raises(ConfigurationError, match=r"routes\.public\.methods"):
        revision.rollback(2, "lead")


def test_only_the_last_revisions_are_kept(published: Document, settings: Settings) -> None:
    settings.GATEWAY = replace(settings.GATEWAY, revisions_kept=2)
    for priority in range(1, 4):
        Route.objects.filter(name="public").update(priority=priority)
    assert list(Revision.objects.values_list("number", flat=True)) == [4, 3]


def test_reading_takes_as_many_queries_for_a_hundred_routes_as_for_two(
    published: Document,
) -> None:
    with CaptureQueriesContext(connection) as few:
        compile_rows()
    more = tuple(msgspec.structs.replace(published.routes[0], name=f"r{n}") for n in range(100))
    services = {f"s{n}": ServiceSpec() for n in range(20)} | dict(published.services)
    revision.apply(Document(services=services, routes=more))
    with CaptureQueriesContext(connection) as many:
        compile_rows()
    assert len(many) == len(few)


def test_publishers_at_once_number_their_revisions_one_by_one(published: Document) -> None:
    start = threading.Barrier(4)

    def change(place: int) -> None:
        start.wait()
        Service.objects.create(name=f"s{place}")
        connections.close_all()

    threads = [threading.Thread(target=change, args=(place,)) for place in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    head = RevisionHead.objects.get()
    numbers = list(Revision.objects.order_by("number").values_list("number", flat=True))
    assert numbers == list(range(1, head.number + 1))
    assert len(msgspec.json.decode(newest().document)["services"]) == 5


def test_the_first_publish_needs_no_row_in_advance(transactional_db: None) -> None:
    RevisionHead.objects.all().delete()
    with suspended():
        Service.objects.create(name="s")
    revision.publish("command", "x")
    assert newest().number == 1
    assert compile_rows().document.services == {"s": ServiceSpec()}
