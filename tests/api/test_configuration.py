"""Services and routes through the API: the document's shape, and one way of writing."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from audit.models import AuditEntry
from quotas.models import RateLimit
from routing import revision
from routing.models import Revision, Route, Service
from tests.api.conftest import Send
from tests.models import world

pytestmark = pytest.mark.django_db

BILLING = {"instances": [{"url": "http://10.0.0.1:9001"}]}
INVOICES = {"path": "/invoices/{id}", "service": "billing"}


def errors(answer: Any) -> dict[str, str]:
    assert answer.status_code == HTTPStatus.BAD_REQUEST
    return {one["field"]: one["reason"] for one in answer.json()["errors"]}


@pytest.fixture
def billing(send: Send) -> str:
    """A service and a route; the answer is the route's tag."""
    assert send("PUT", "services/billing/", BILLING).status_code == HTTPStatus.CREATED
    return str(send("PUT", "routes/invoices/", INVOICES).headers["ETag"])


def test_a_new_service_is_answered_with_its_defaults(send: Send) -> None:
    answer = send("POST", "services/", {"name": "billing", **BILLING})
    assert answer.status_code == HTTPStatus.CREATED
    content = answer.json()
    assert content["name"] == "billing"
    assert content["instances"] == [{"url": "http://10.0.0.1:9001", "weight": 1, "healthy": True}]
    assert content["timeout"] == {
        "connect": 2.0,
        "first_byte": None,
        "read": 30.0,
        "total": 60.0,
    }
    assert content["health_check"] is None


def test_what_is_read_can_be_written_back(send: Send, billing: str) -> None:
    for path in ("services/billing/", "routes/invoices/"):
        read = send("GET", path)
        written = send("PUT", path, read.json())
        assert written.json() == read.json()
        assert written.headers["ETag"] == read.headers["ETag"]


def test_a_write_is_one_revision_of_the_user(send: Send, billing: str) -> None:
    before = Revision.objects.count()
    limits = [{"limit": 5}, {"limit": 100, "per": "hour", "by": "ip"}]
    send("PUT", "routes/invoices/", {**INVOICES, "rate_limit": limits, "priority": 3})
    made = Revision.objects.first()
    assert made is not None
    assert Revision.objects.count() == before + 1
    assert (made.created_by, made.source, made.comment) == ("admin", "api", "PUT route invoices")


def test_a_write_that_changes_nothing_publishes_nothing(send: Send, billing: str) -> None:
    before = Revision.objects.count()
    assert send("PUT", "routes/invoices/", INVOICES).status_code == HTTPStatus.OK
    assert Revision.objects.count() == before


def test_instances_are_replaced_as_a_whole(send: Send, billing: str) -> None:
    send("PUT", "services/billing/", {"instances": [{"url": "http://10.0.0.9", "weight": 5}]})
    instances = Service.objects.get(name="billing").instances.all()
    assert [(one.url, one.weight) for one in instances] == [("http://10.0.0.9", 5)]


def test_a_rate_limit_may_be_written_short(send: Send, billing: str) -> None:
    answer = send("PATCH", "routes/invoices/", {"rate_limit": 100})
    assert answer.json()["rate_limit"][0]["limit"] == 100
    assert answer.json()["rate_limit"][0]["per"] == "minute"
    assert RateLimit.objects.get().limit == 100


def test_a_new_route_without_a_name_gets_the_one_files_give(send: Send, billing: str) -> None:
    answer = send("POST", "routes/", {"path": "/a/{id}", "methods": ["GET"], "service": "billing"})
    assert answer.json()["name"] == "get-a-id"


@pytest.mark.parametrize(
    ("path", "content"),
    [("services/", {"name": "billing"}), ("routes/", {"name": "invoices", **INVOICES})],
)
def test_adding_does_not_replace(send: Send, billing: str, path: str, content: Any) -> None:
    assert "is taken" in errors(send("POST", path, content))["name"]


@pytest.mark.parametrize(
    ("content", "field", "reason"),
    [
        ({"balancer": "rr"}, "balancer", "round_robin"),
        ({"retries": 3}, "retries", "unknown key; known are balancer"),
        ({"timeout": {"reed": 3}}, "timeout.reed", "known are connect, first_byte, read, total"),
        ({"timeout": {"read": 0}}, "timeout.read", "> 0"),
        ({"instances": [{"url": "ftp://a"}]}, "instances[0].url", "http"),
        ({"name": "other"}, "name", "must be 'billing'"),
        ([], "", "expected mapping, got list"),
    ],
    ids=str,
)
def test_a_faulty_service_changes_nothing_and_names_its_fields(
    send: Send, billing: str, content: Any, field: str, reason: str
) -> None:
    before = send("GET", "services/billing/").json()
    answer = send("PUT", "services/billing/", content)
    assert reason in errors(answer)[field]
    assert send("GET", "services/billing/").json() == before


@pytest.mark.parametrize(
    ("content", "field", "reason"),
    [
        ({"path": "invoices", "service": "billing"}, "path", "/"),
        ({"service": "billing"}, "path", "required"),
        ({"path": "/admin/x", "service": "billing"}, "path", ""),
        ({"path": "/a", "service": "nobody"}, "service", "there is no service of this name"),
        ({**INVOICES, "rate_limit": {"limit": 5, "by": "moon"}}, "rate_limit[0].by", "caller"),
        ({**INVOICES, "methods": ["get"]}, "methods", "upper case"),
    ],
)
def test_a_faulty_route_names_its_fields(
    send: Send, billing: str, content: Any, field: str, reason: str
) -> None:
    assert reason in errors(send("PUT", "routes/invoices/", content))[field]


def test_the_words_are_those_of_apply(send: Send, tmp_path: Any) -> None:
    reason = errors(send("PUT", "services/billing/", {"balancer": "rr"}))["balancer"]
    file = tmp_path / "services.yaml"
    file.write_text("services: {billing: {balancer: rr}}")
    with pytest.raises(CommandError) as refused:
        call_command("apply", str(file))
    assert str(refused.value).endswith(f"services.billing.balancer: {reason}")


def test_a_patch_changes_what_it_names(send: Send, billing: str) -> None:
    send("PATCH", "services/billing/", {"timeout": {"read": 5}, "balancer": "random"})
    answer = send("PATCH", "services/billing/", {"timeout": {"connect": 1}, "balancer": None})
    assert answer.json()["timeout"] == {
        "connect": 1.0,
        "first_byte": None,
        "read": 5.0,
        "total": 60.0,
    }
    assert answer.json()["balancer"] == "round_robin"


def test_a_patch_may_be_called_by_its_media_type(send: Send, billing: str) -> None:
    kind = {"content_type": "application/merge-patch+json"}
    assert send("PATCH", "routes/invoices/", {"priority": 1}, **kind).status_code == HTTPStatus.OK
    refused = send("PUT", "routes/invoices/", INVOICES, **kind)
    assert refused.status_code == HTTPStatus.UNSUPPORTED_MEDIA_TYPE


def test_null_switches_a_breaker_off_and_an_object_switches_it_on(send: Send, billing: str) -> None:
    assert send("PATCH", "services/billing/", {"breaker": None}).json()["breaker"] is None
    answer = send("PATCH", "services/billing/", {"breaker": {"window": 20}})
    assert answer.json()["breaker"]["window"] == 20.0


def test_if_match_admits_who_has_seen_the_present_state(send: Send, billing: str) -> None:
    answer = send("PATCH", "routes/invoices/", {"priority": 1}, if_match=billing)
    assert answer.status_code == HTTPStatus.OK
    assert answer.headers["ETag"] != billing
    assert send("GET", "routes/invoices/").headers["ETag"] == answer.headers["ETag"]


@pytest.mark.parametrize("tag", ['"old"', "old", 'W/"old"', ""])
@pytest.mark.parametrize("method", ["PUT", "PATCH", "DELETE"])
def test_if_match_refuses_who_has_not(send: Send, billing: str, method: str, tag: str) -> None:
    content = None if method == "DELETE" else {**INVOICES, "priority": 9}
    answer = send(method, "routes/invoices/", content, if_match=tag)
    assert answer.status_code == HTTPStatus.PRECONDITION_FAILED
    assert answer.json()["code"] == "precondition_failed"
    assert Route.objects.get().priority == 0


def test_if_none_match_adds_without_replacing(send: Send, billing: str) -> None:
    answer = send("PUT", "routes/invoices/", INVOICES, if_none_match="*")
    assert answer.status_code == HTTPStatus.PRECONDITION_FAILED
    assert send("PUT", "routes/new/", {**INVOICES, "path": "/new"}, if_none_match="*").status_code


def test_who_holds_the_present_state_is_not_sent_it_again(send: Send, billing: str) -> None:
    answer = send("GET", "routes/invoices/", if_none_match=billing)
    assert (answer.status_code, answer.content) == (HTTPStatus.NOT_MODIFIED, b"")


def test_deleting_a_route_publishes_without_it(send: Send, billing: str) -> None:
    assert send("DELETE", "routes/invoices/").status_code == HTTPStatus.NO_CONTENT
    made = revision.current()
    assert made is not None
    assert "invoices" not in made.document
    assert (made.source, made.created_by) == ("api", "admin")


def test_a_service_in_use_is_not_deleted(send: Send, billing: str) -> None:
    answer = send("DELETE", "services/billing/")
    assert answer.status_code == HTTPStatus.CONFLICT
    assert "invoices" in answer.json()["detail"]
    assert Service.objects.exists()


def test_a_faulty_row_elsewhere_forbids_no_edit(send: Send, billing: str) -> None:
    Route.objects.filter(pk=world.route("odd").pk).update(path="odd", timeout=1)
    assert send("PATCH", "routes/invoices/", {"priority": 1}).status_code == HTTPStatus.OK
    assert send("DELETE", "routes/invoices/").status_code == HTTPStatus.NO_CONTENT
    assert send("GET", "routes/odd/").json()["path"] == "odd"


@pytest.mark.parametrize("method", ["GET", "PATCH", "DELETE"])
def test_a_name_nobody_has_is_not_found(send: Send, method: str) -> None:
    content: Any = {} if method == "PATCH" else None
    assert send(method, "routes/nobody/", content).status_code == HTTPStatus.NOT_FOUND


def test_writes_are_recorded_with_the_request_they_came_by(send: Send) -> None:
    send("PUT", "services/billing/", BILLING, x_request_id="r-1")
    entries = AuditEntry.objects.filter(request_id="r-1", client_ip="127.0.0.1", actor="admin")
    assert {entry.action for entry in entries} == {
        "service.created",
        "instance.created",
        "revision.published",
    }
    assert {entry.actor_type for entry in entries} == {"user"}


def test_lists_come_in_pages_filtered_and_ordered(send: Send, billing: str) -> None:
    for name, priority in (("a", 1), ("b", 2)):
        content = {"path": f"/{name}", "service": "billing", "priority": priority}
        send("PUT", f"routes/{name}/", {**content, "enabled": name == "a"})
    first = send("GET", "routes/?ordering=-priority&page_size=2").json()
    assert [one["name"] for one in first["results"]] == ["b", "a"]
    assert first["count"] == 3
    assert "page=2" in first["next"]
    off = send("GET", "routes/?enabled=false&service=billing").json()
    assert [one["name"] for one in off["results"]] == ["b"]


@pytest.mark.parametrize(
    ("query", "field", "reason"),
    [
        ("enabeld=false", "enabeld", "known are auth_required, enabled"),
        ("enabled=perhaps", "enabled", "must be true or false"),
        ("ordering=colour", "ordering", "must be of name, path, priority"),
    ],
)
def test_a_misspelt_filter_is_an_error(send: Send, query: str, field: str, reason: str) -> None:
    assert reason in errors(send("GET", f"routes/?{query}"))[field]


def test_a_slash_at_the_end_may_be_left_out(send: Send, billing: str) -> None:
    assert send("PATCH", "routes/invoices", {"priority": 1}).status_code == HTTPStatus.OK
