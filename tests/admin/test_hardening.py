"""The admin's doors: locked after failures, safe behind TLS, nothing to press for a viewer."""

from __future__ import annotations

from datetime import timedelta
from http import HTTPStatus
from typing import Any

import pytest
from django.conf import settings
from django.contrib import admin
from django.contrib.auth.models import User
from django.contrib.sessions.models import Session
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from audit.models import AuditEntry
from keys.models import ApiKey
from tests.models import world

LOGIN = "/admin/login/"
PASSWORD = "correct horse battery staple"


@pytest.fixture
def ops(db: None) -> User:
    return User.objects.create_superuser("ops", password=PASSWORD)


def sign_in(client: Client, password: str, address: str = "192.0.2.1") -> Any:
    fields = {"username": "ops", "password": password}
    return client.post(LOGIN, fields, REMOTE_ADDR=address)


def lock_out(client: Client) -> Any:
    for _ in range(settings.AXES_FAILURE_LIMIT - 1):
        assert sign_in(client, "guess").status_code == HTTPStatus.OK
    return sign_in(client, "guess")


def test_after_too_many_failures_the_page_says_so(client: Client, ops: User) -> None:
    answer = lock_out(client)
    assert answer.status_code == HTTPStatus.TOO_MANY_REQUESTS
    assert "Too many failed attempts" in answer.content.decode()
    assert "0:15:00" in answer.content.decode()


def test_who_is_locked_out_does_not_get_in_with_the_right_password(
    client: Client, ops: User
) -> None:
    lock_out(client)
    assert sign_in(client, PASSWORD).status_code == HTTPStatus.TOO_MANY_REQUESTS
    assert client.get("/admin/").status_code == HTTPStatus.FOUND


def test_a_lock_out_does_not_shut_out_the_user_elsewhere(client: Client, ops: User) -> None:
    lock_out(client)
    assert sign_in(client, PASSWORD, "198.51.100.1").status_code == HTTPStatus.FOUND


def test_the_forwarded_address_of_a_client_does_not_evade_the_lock(
    client: Client, ops: User
) -> None:
    lock_out(client)
    fields = {"username": "ops", "password": PASSWORD}
    answer = client.post(
        LOGIN, fields, REMOTE_ADDR="192.0.2.1", headers={"x-forwarded-for": "203.0.113.9"}
    )
    assert answer.status_code == HTTPStatus.TOO_MANY_REQUESTS


@pytest.mark.django_db
@pytest.mark.parametrize("path", ["/admin/", LOGIN, "/admin/nothing/"])
def test_pages_allow_no_foreign_script_and_no_frame(client: Client, path: str) -> None:
    headers = client.get(path).headers
    policy = headers["Content-Security-Policy"]
    assert "default-src 'self'" in policy
    assert "frame-ancestors 'none'" in policy
    [scripts] = [part for part in policy.split("; ") if part.startswith("script-src")]
    assert set(scripts.split()) <= {"script-src", "'self'", "'unsafe-eval'"}
    assert headers["X-Frame-Options"] == "DENY"
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Referrer-Policy"] == "same-origin"


@pytest.mark.django_db
def test_no_page_shows_a_digest_or_a_password_hash(admin_client: Client) -> None:
    staff = User.objects.create_user("bob", password=PASSWORD)
    old = world.api_key("acme", name="ci")
    old.rotate(timedelta(hours=1))
    secrets = [*ApiKey.objects.values_list("digest", flat=True), staff.password.split("$")[-1]]
    for model in admin.site._registry:
        name = f"admin:{model._meta.app_label}_{model._meta.model_name}"
        pages = [reverse(f"{name}_changelist")]
        pages += [
            reverse(f"{name}_{page}", args=[row.pk])
            for row in model._default_manager.all()
            for page in ("change", "history")
        ]
        for page in pages:
            text = admin_client.get(page).content.decode()
            assert [secret for secret in secrets if secret in text] == [], page


@pytest.mark.django_db
def test_nobody_adds_changes_or_deletes_an_entry(admin_client: Client) -> None:
    world.route()
    entry = AuditEntry.objects.first()
    assert entry is not None
    fields = {"actor": "somebody else", "at_0": "2020-01-01", "at_1": "00:00:00"}
    for path in ("add/", f"{entry.pk}/change/", f"{entry.pk}/delete/"):
        answer = admin_client.post(f"/admin/audit/auditentry/{path}", {**fields, "post": "yes"})
        assert answer.status_code == HTTPStatus.FORBIDDEN
    selected = {"action": "delete_selected", "_selected_action": [entry.pk], "post": "yes"}
    admin_client.post("/admin/audit/auditentry/", selected)
    assert AuditEntry.objects.get(pk=entry.pk).actor == entry.actor


@pytest.mark.django_db
def test_a_key_that_is_refused_already_is_not_rotated(admin_client: Client) -> None:
    key = world.api_key(expires_at=timezone.now() + timedelta(seconds=-1))
    chosen = {"action": "rotate", "_selected_action": [key.pk]}
    page = admin_client.post("/admin/keys/apikey/", chosen, follow=True).content.decode()
    assert "refused already" in page
    assert ApiKey.objects.count() == 1


def test_the_session_table_does_not_hold_what_is_in_the_cookie(client: Client, ops: User) -> None:
    sign_in(client, PASSWORD)
    cookie = client.cookies[settings.SESSION_COOKIE_NAME].value
    [stored] = Session.objects.values_list("session_key", flat=True)
    assert stored != cookie
    assert client.get("/admin/").status_code == HTTPStatus.OK
    client.cookies[settings.SESSION_COOKIE_NAME] = stored
    assert client.get("/admin/").status_code == HTTPStatus.FOUND


def test_signing_out_ends_the_session(client: Client, ops: User) -> None:
    sign_in(client, PASSWORD)
    cookie = client.cookies[settings.SESSION_COOKIE_NAME].value
    client.post("/admin/logout/")
    client.cookies[settings.SESSION_COOKIE_NAME] = cookie
    assert client.get("/admin/").status_code == HTTPStatus.FOUND
    assert not Session.objects.exists()
