"""What the control plane's doors leave in the log: sign-ins, request ids, lines in audit.log."""

from __future__ import annotations

import logging

import pytest
from django.contrib.auth.models import User
from django.core.cache import cache
from django.db import transaction
from django.test import Client

from audit.models import AuditEntry
from audit.recorder import record
from audit.verification import verify
from keys.models import ApiKey
from tests.models import world

LOGIN = "/admin/login/"
PASSWORD = "correct horse battery staple"


@pytest.fixture
def alice(db: None) -> User:
    return User.objects.create_user("alice", password=PASSWORD, is_staff=True)


def sign_in(client: Client, name: str, password: str) -> int:
    return client.post(LOGIN, {"username": name, "password": password}).status_code


@pytest.fixture(autouse=True)
def _nothing_folded_yet() -> None:
    """Lock-outs of other tests in this process are still remembered for a minute."""
    cache.clear()


def sign_ins() -> list[tuple[str, str, str]]:
    entries = AuditEntry.objects.filter(action__startswith="log").order_by("sequence")
    return [(entry.action, entry.actor, entry.outcome) for entry in entries]


def test_signing_in_and_out_is_recorded(client: Client, alice: User) -> None:
    assert sign_in(client, "alice", PASSWORD) == 302
    client.post("/admin/logout/")
    assert sign_ins() == [
        ("login.succeeded", "alice", "success"),
        ("logout", "alice", "success"),
    ]
    assert AuditEntry.objects.filter(client_ip="127.0.0.1").count() == 2


def test_a_failed_sign_in_names_the_user_and_where_it_came_from(
    client: Client, alice: User
) -> None:
    sign_in(client, "alice", "guess")
    assert sign_ins() == [("login.failed", "alice", "refused")]


def test_a_password_typed_into_the_wrong_field_is_not_recorded(client: Client, alice: User) -> None:
    sign_in(client, PASSWORD, "alice")
    assert sign_ins() == [("login.failed", "", "refused")]
    assert PASSWORD not in str(list(AuditEntry.objects.values()))


def test_guessing_on_while_locked_out_is_one_entry(client: Client, alice: User) -> None:
    for _ in range(15):
        sign_in(client, "alice", "guess")
    actions = [action for action, _, _ in sign_ins()]
    assert actions == ["login.failed"] * 9 + ["login.locked_out"]


@pytest.mark.django_db
@pytest.mark.parametrize(
    "path", ["/admin/login/", "/admin/", "/admin/static/admin/css/base.css", "/admin/nothing/"]
)
def test_every_answer_carries_the_requests_id(client: Client, path: str) -> None:
    answer = client.get(path, headers={"x-request-id": "r-1"})
    answer.close()  # a file's is not read to its end here
    assert answer.headers["X-Request-Id"] == "r-1"


@pytest.mark.django_db
@pytest.mark.parametrize("sent", ["", "a b", "r" * 129, "ü"])
def test_a_request_without_a_good_id_is_given_one(client: Client, sent: str) -> None:
    answer = client.get(LOGIN, headers={"x-request-id": sent})
    assert answer.headers["X-Request-Id"] not in ("", sent)


@pytest.mark.django_db
def test_the_id_in_the_answer_is_the_one_in_the_log(admin_client: Client) -> None:
    row = world.route()
    answer = admin_client.post(
        "/admin/routing/route/", {"action": "disable", "_selected_action": [row.pk]}
    )
    entry = AuditEntry.objects.get(action="route.changed")
    assert entry.request_id == answer.headers["X-Request-Id"]


@pytest.mark.django_db(transaction=True)
def test_a_committed_entry_is_a_line_of_the_audit_log(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "gateway.audit"):
        entry = record("route.changed", actor="alice", changes={"path": {"old": 1, "new": 2}})
    [line] = [one for one in caplog.records if one.name == "gateway.audit"]
    facts = vars(line)
    assert (facts["action"], facts["actor"], facts["hash"]) == (
        "route.changed",
        "alice",
        entry.hash,
    )
    assert facts["changes"] == {"path": {"old": 1, "new": 2}}


@pytest.mark.django_db(transaction=True)
def test_who_proves_to_be_somebody_is_a_line_of_the_access_log(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with caplog.at_level(logging.INFO):
        for action in ("login.failed", "token.issued", "credential.refused", "key.created"):
            record(action)
    lines = [one.getMessage() for one in caplog.records if one.name == "gateway.access"]
    assert lines == ["login.failed", "token.issued", "credential.refused"]


@pytest.mark.django_db(transaction=True)
def test_what_is_undone_is_no_line(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "gateway.audit"), transaction.atomic():
        record("route.changed")
        transaction.set_rollback(True)
    assert [one for one in caplog.records if one.name == "gateway.audit"] == []


@pytest.mark.django_db
def test_the_life_of_a_key_is_told_in_its_own_words() -> None:
    key = world.api_key("acme", name="ci")
    key.rotate(grace=key.created_at - key.created_at)
    ApiKey.objects.filter(pk=key.pk).revoke()
    ApiKey.objects.get(pk=key.pk).delete()
    entries = AuditEntry.objects.filter(object_type="key", object_id=str(key.pk))
    actions = entries.order_by("sequence").values_list("action", flat=True)
    assert list(actions) == ["key.created", "key.rotated", "key.revoked", "key.deleted"]
    assert [report.faults for report in verify()] == [[]]
