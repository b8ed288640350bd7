"""Revisions, breakers, usage and the audit log through the API."""

from __future__ import annotations

from http import HTTPStatus

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from routing.models import Revision, Route
from tests.api.conftest import Send

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("everything")]


def test_the_current_revision_comes_with_its_document(send: Send) -> None:
    content = send("GET", "revisions/current/").json()
    assert content["number"] == 1
    assert "billing" in content["document"]["services"]
    assert content == send("GET", "revisions/1/").json()


def test_the_list_of_revisions_leaves_documents_out(send: Send) -> None:
    with CaptureQueriesContext(connection) as queries:
        [one] = send("GET", "revisions/").json()["results"]
    assert "document" not in one
    assert not [query for query in queries if "document" in query["sql"]]
    assert (one["number"], one["source"]) == (1, "command")


def test_before_the_first_publish_nothing_is_current(send: Send) -> None:
    Revision.objects.all().delete()
    assert send("GET", "revisions/current/").status_code == HTTPStatus.NOT_FOUND


def test_a_rollback_restores_rows_as_a_new_revision(send: Send) -> None:
    send("PATCH", "routes/invoices/", {"enabled": False})
    answer = send("POST", "revisions/1/rollback/")
    assert (answer.status_code, answer.json()["number"]) == (HTTPStatus.OK, 3)
    assert answer.json()["comment"] == "rollback to revision 1"
    assert answer.json()["created_by"] == "admin"
    assert Route.objects.get().enabled


def test_a_rollback_to_what_is_current_publishes_nothing(send: Send) -> None:
    assert send("POST", "revisions/1/rollback/").json()["number"] == 1
    assert Revision.objects.count() == 1


def test_a_revision_that_does_not_validate_any_more_is_refused(send: Send) -> None:
    Revision.objects.create(
        number=9,
        sha256="9" * 64,
        document='{"format":1,"services":{},"routes":[{"path":"/a","service":"x","name":"a"}]}',
    )
    answer = send("POST", "revisions/9/rollback/")
    assert (answer.status_code, answer.json()["code"]) == (HTTPStatus.CONFLICT, "revision_refused")
    assert answer.json()["errors"][0]["field"] == "routes.a.service"
    assert Route.objects.get().name == "invoices"


def test_an_unknown_revision_is_not_found(send: Send) -> None:
    assert send("POST", "revisions/77/rollback/").status_code == HTTPStatus.NOT_FOUND


@pytest.mark.parametrize(
    ("path", "some", "none"),
    [
        ("breakers/", "service=billing&state=closed", "state=open"),
        ("rate-limit-records/", "route=invoices&since=2001-01-01T00:00:00Z", "identifier=globex"),
        ("rate-limit-records/", "window_type=minute", "until=2001-01-01T00:00:00Z"),
        ("audit-entries/", "action=revision.published", "actor=nobody"),
        (
            "audit-entries/",
            "since=2001-01-01T00:00:00Z&object_type=route",
            "until=2001-01-01T00:00",
        ),
        ("revisions/", "source=command", "source=admin"),
    ],
)
def test_lists_are_narrowed_by_query_parameters(
    send: Send, path: str, some: str, none: str
) -> None:
    assert send("GET", f"{path}?{some}").json()["count"] >= 1
    assert send("GET", f"{path}?{none}").json()["count"] == 0


@pytest.mark.parametrize("query", ["state=ajar", "reported_since=yesterday", "ordering=node"])
def test_a_filter_says_what_is_allowed(send: Send, query: str) -> None:
    answer = send("GET", f"breakers/?{query}")
    assert answer.status_code == HTTPStatus.BAD_REQUEST
    assert "must be" in answer.json()["errors"][0]["reason"]


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
@pytest.mark.parametrize("path", ["revisions/1/", "breakers/", "rate-limit-records/"])
def test_what_the_gateway_writes_is_only_read(send: Send, method: str, path: str) -> None:
    assert send(method, path, {}).status_code == HTTPStatus.METHOD_NOT_ALLOWED
