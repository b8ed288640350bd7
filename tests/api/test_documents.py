"""Whole documents in and out: apply and export."""

from __future__ import annotations

from http import HTTPStatus
from io import StringIO
from typing import Any

import pytest
from django.core.management import call_command

from routing.models import Revision, Route, Service
from tests.api.conftest import Send
from tests.models import world

pytestmark = pytest.mark.django_db

YAML = """
services:
  billing:
    instances: [{url: "http://10.0.0.1"}]
routes:
  - {name: invoices, path: /invoices, service: billing, rate_limit: 100}
"""
DOCUMENT: dict[str, Any] = {
    "services": {"billing": {"instances": [{"url": "http://10.0.0.1"}]}},
    "routes": [{"name": "invoices", "path": "/invoices", "service": "billing", "rate_limit": 100}],
}


@pytest.mark.parametrize("kind", ["application/yaml", "application/x-yaml"])
def test_yaml_is_applied(send: Send, kind: str) -> None:
    answer = send("POST", "apply/", YAML, content_type=kind)
    assert answer.status_code == HTTPStatus.OK
    assert answer.json()["revision"] == 1
    assert Route.objects.get().service.name == "billing"


def test_the_answer_is_the_difference_field_by_field(send: Send) -> None:
    send("POST", "apply/", DOCUMENT)
    answer = send("POST", "apply/", {"services": {"billing": {"balancer": "random"}}}).json()
    assert answer == {
        "revision": 2,
        "dry_run": False,
        "changes": [
            {
                "action": "changed",
                "kind": "service",
                "name": "billing",
                "fields": {
                    "balancer": ["round_robin", "random"],
                    "instances[http://10.0.0.1]": [{"url": "http://10.0.0.1"}, None],
                },
            }
        ],
        "warnings": [],
    }


def test_a_route_without_effect_comes_with_a_warning(send: Send) -> None:
    twice = [DOCUMENT["routes"][0], {**DOCUMENT["routes"][0], "name": "twin"}]
    answer = send("POST", "apply/", {**DOCUMENT, "routes": twice}).json()
    [warning] = answer["warnings"]
    assert warning["field"] == "routes[1] (twin)"
    assert "never reached: invoices takes" in warning["reason"]


def test_a_dry_run_changes_nothing(send: Send) -> None:
    answer = send("POST", "apply/?dry_run=true", DOCUMENT).json()
    assert [one["name"] for one in answer["changes"]] == ["billing", "invoices"]
    assert (answer["revision"], answer["dry_run"]) == (None, True)
    assert not Service.objects.exists()
    assert not Revision.objects.exists()


def test_prune_removes_what_is_not_named(send: Send) -> None:
    send("POST", "apply/", DOCUMENT)
    only = {"services": DOCUMENT["services"]}
    assert send("POST", "apply/", only).json()["changes"] == []
    pruned = send("POST", "apply/?prune=true", only).json()
    assert [(one["action"], one["name"]) for one in pruned["changes"]] == [("removed", "invoices")]


@pytest.mark.parametrize("query", ["dryrun=true", "dry_run=maybe", "dry_run="])
def test_a_misspelt_parameter_applies_nothing(send: Send, query: str) -> None:
    answer = send("POST", f"apply/?{query}", DOCUMENT)
    assert answer.status_code == HTTPStatus.BAD_REQUEST
    assert not Service.objects.exists()


def test_every_fault_is_named_and_nothing_applied(send: Send) -> None:
    bad = {"services": {"a": {"balancer": "rr"}, "b": {}}, "routes": [{"path": "/", "sevice": ""}]}
    answer = send("POST", "apply/", bad)
    assert answer.status_code == HTTPStatus.BAD_REQUEST
    fields = [one["field"] for one in answer.json()["errors"]]
    assert fields == ["services.a.balancer", "routes[0] (/).sevice"]
    assert not Service.objects.exists()


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        ("application/json", '{"services": {}, "services": {}}'),
        ("application/json", '{"services": '),
        ("application/json", '{"services": {"a": {"timeout": {"read": NaN}}}}'),
        ("application/json", "[" * 100_000),
        ("application/json", ""),
        ("application/yaml", "services: {a: {}, a: {}}"),
        ("application/yaml", "a: &a [*a]"),
        ("application/yaml", "[" * 100_000),
    ],
)
def test_what_cannot_be_read_in_one_way_is_refused(send: Send, kind: str, body: str) -> None:
    answer = send("POST", "apply/", body, content_type=kind)
    assert answer.status_code == HTTPStatus.BAD_REQUEST
    assert answer.headers["Content-Type"] == "application/problem+json"


def test_an_export_applies_to_the_same(send: Send) -> None:
    send("POST", "apply/", DOCUMENT)
    exported = send("GET", "export/")
    assert exported.headers["Content-Type"].startswith("application/yaml")
    again = send("POST", "apply/?prune=true", exported.content.decode(), **YAML_BODY)
    assert again.json() == {"revision": None, "dry_run": False, "changes": [], "warnings": []}


YAML_BODY = {"content_type": "application/yaml"}


@pytest.mark.parametrize("form", ["yaml", "json"])
def test_an_export_is_what_the_command_writes(send: Send, form: str) -> None:
    send("POST", "apply/", DOCUMENT)
    written = StringIO()
    call_command("export", f"--format={form}", stdout=written)
    assert send("GET", f"export/?format={form}").content.decode() == written.getvalue()
    assert send("GET", "export/", accept=f"application/{form}").content.decode() == (
        written.getvalue()
    )


def test_an_export_guards_the_document_applied_after_it(send: Send) -> None:
    send("POST", "apply/", DOCUMENT)
    tag = send("GET", "export/").headers["ETag"]
    send("PATCH", "routes/invoices/", {"priority": 5})
    late = send("POST", "apply/", DOCUMENT, if_match=tag)
    assert late.status_code == HTTPStatus.PRECONDITION_FAILED
    assert Route.objects.get().priority == 5


def test_faulty_rows_are_not_exported(send: Send) -> None:
    Route.objects.filter(pk=world.route("odd").pk).update(path="odd")
    answer = send("GET", "export/")
    assert answer.status_code == HTTPStatus.CONFLICT
    assert answer.json()["errors"][0]["field"] == "routes.odd.path"
