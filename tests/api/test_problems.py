"""Errors of the API: one form for all of them, and nothing told that should not be."""

from __future__ import annotations

import base64
import logging
from collections.abc import Callable
from http import HTTPStatus
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from asgiref.testing import ApplicationCommunicator
from django.contrib.auth.models import User
from django.core.asgi import get_asgi_application
from django.db import OperationalError
from django.test import Client

from gateway_project.api import access, bodies
from routing import revision
from routing.models import Service
from tests.api.conftest import API, Send, grant

pytestmark = pytest.mark.django_db


def basic(name: str, password: str) -> dict[str, str]:
    token = base64.b64encode(f"{name}:{password}".encode()).decode()
    return {"authorization": f"Basic {token}"}


def assert_problem(answer: Any, status: int, code: str) -> None:
    content = answer.json()
    assert (answer.status_code, content["status"]) == (status, status)
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert content["code"] == answer.headers["X-Gateway-Error"] == code
    assert content["title"] == HTTPStatus(status).phrase
    assert content["type"] == "about:blank"
    assert content["detail"]


@pytest.mark.parametrize(
    ("method", "path", "headers", "status", "code"),
    [
        ("GET", "nowhere/", {}, 404, "not_found"),
        ("GET", "services/nobody/", {}, 404, "not_found"),
        ("GET", "api-keys/0/", {}, 404, "not_found"),
        ("GET", "routes/?page=99", {}, 404, "not_found"),
        ("GET", "apply/", {}, 405, "method_not_allowed"),
        ("OPTIONS", "services/", {}, 405, "method_not_allowed"),
        ("GET", "services/", {"accept": "text/html"}, 406, "not_acceptable"),
        ("POST", "services/", {"content_type": "text/plain"}, 415, "unsupported_media_type"),
        ("POST", "services/", {"content_type": "application/json"}, 400, "parse_error"),
        ("GET", "services/?colour=red", {}, 400, "invalid_content"),
        ("PUT", "services/a%2Fb/", {}, 404, "not_found"),
    ],
)
def test_every_error_is_a_problem(
    send: Send, method: str, path: str, headers: dict[str, str], status: int, code: str
) -> None:
    content = "{" if method in ("POST", "PUT") else None
    assert_problem(send(method, path, content, **headers), status, code)


def test_a_problem_names_its_request(send: Send) -> None:
    assert send("GET", "nowhere/", x_request_id="r-7").json()["request_id"] == "r-7"


def test_the_anonymous_are_told_how_to_sign_in(as_anonymous: Send) -> None:
    answer = as_anonymous("GET", "services/")
    assert_problem(answer, HTTPStatus.UNAUTHORIZED, "not_authenticated")
    assert answer.headers["WWW-Authenticate"].startswith("Basic ")


def test_a_missing_permission_is_named(as_alice: Send) -> None:
    answer = as_alice("GET", "routes/")
    assert_problem(answer, HTTPStatus.FORBIDDEN, "permission_denied")
    assert "routing.view_route" in answer.json()["detail"]


def test_scripts_sign_in_with_basic(alice: User, as_anonymous: Send) -> None:
    grant(alice, "routing.view_route")
    right, wrong = basic("alice", "wonderland"), basic("alice", "looking-glass")
    assert as_anonymous("GET", "routes/", **right).status_code == HTTPStatus.OK
    answer = as_anonymous("GET", "routes/", **wrong)
    assert_problem(answer, HTTPStatus.UNAUTHORIZED, "authentication_failed")


def test_those_who_guess_are_locked_out(alice: User, as_anonymous: Send) -> None:
    for _ in range(10):
        as_anonymous("GET", "", **basic("alice", "guess"))
    answer = as_anonymous("GET", "", **basic("alice", "wonderland"))
    assert_problem(answer, HTTPStatus.TOO_MANY_REQUESTS, "locked_out")


def test_a_write_with_a_session_needs_the_csrf_token(admin_user: User) -> None:
    client = Client(enforce_csrf_checks=True)
    client.force_login(admin_user)
    answer = client.put(f"{API}services/a/", {}, content_type="application/json")
    assert_problem(answer, HTTPStatus.FORBIDDEN, "permission_denied")
    assert "CSRF" in answer.json()["detail"]
    assert not Service.objects.exists()


def test_a_write_with_basic_needs_none(alice: User) -> None:
    grant(alice, "routing.add_service", "routing.change_service")
    client = Client(enforce_csrf_checks=True, headers=basic("alice", "wonderland"))
    answer = client.put(f"{API}services/a/", {}, content_type="application/json")
    assert answer.status_code == HTTPStatus.CREATED
    made = revision.current()
    assert made is not None
    assert made.created_by == "alice"


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (OperationalError("secret-host is gone"), 503, "database_unavailable"),
        (ZeroDivisionError("secret"), 500, "internal_error"),
    ],
)
def test_what_nobody_foresaw_is_logged_and_tells_nothing(
    send: Send,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    error: Exception,
    status: int,
    code: str,
) -> None:
    def fail(*_: Any) -> None:
        raise error

    monkeypatch.setattr(access, "require", fail)
    with caplog.at_level(logging.ERROR, "gateway_project.api.problems"):
        answer = send("GET", "services/")
    assert_problem(answer, status, code)
    assert "secret" not in answer.content.decode()
    assert "secret" in caplog.text


def test_a_body_has_a_bound(send: Send, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bodies, "MAX_BYTES", 10)
    answer = send("PUT", "services/a/", {"balancer": "random"})
    assert_problem(answer, HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "body_too_large")


@pytest.mark.parametrize(("method", "path"), [("PUT", "services/a/"), ("POST", "apply/?prune=1")])
def test_an_empty_body_is_no_empty_document(send: Send, method: str, path: str) -> None:
    send("PUT", "services/kept/", {})
    assert_problem(send(method, path), HTTPStatus.BAD_REQUEST, "parse_error")
    assert Service.objects.get().name == "kept"


@pytest.mark.django_db(transaction=True)
async def test_a_body_without_a_length_is_read(alice: User) -> None:
    await sync_to_async(grant)(alice, "routing.add_service", "routing.change_service")
    scope = {
        "type": "http",
        "method": "PUT",
        "path": f"{API}services/a/",
        "query_string": b"",
        "headers": [
            (b"authorization", basic("alice", "wonderland")["authorization"].encode()),
            (b"host", b"testserver"),
            (b"content-type", b"application/json"),
            (b"transfer-encoding", b"chunked"),
        ],
    }
    communicator: Callable[..., Any] = ApplicationCommunicator  # asgiref is typed in part
    application = communicator(get_asgi_application(), scope)
    await application.send_input({"type": "http.request", "body": b'{"balancer": "random"}'})
    assert (await application.receive_output(10))["status"] == HTTPStatus.CREATED
    await application.wait(10)
    assert (await Service.objects.aget()).balancer == "random"


@pytest.mark.parametrize("path", ["/auth/token", "/api/gateway/routes/", "/admin/login/"])
def test_a_host_that_is_not_allowed_is_a_problem(path: str, client: Client) -> None:
    answer = client.get(path, headers={"host": "elsewhere.example"})
    assert answer.status_code == HTTPStatus.BAD_REQUEST
    assert answer.headers["X-Gateway-Error"] == answer.json()["code"] == "bad_request"
    assert "ALLOWED_HOSTS" in answer.json()["detail"]


def test_a_path_without_a_view_is_a_problem(client: Client) -> None:
    answer = client.get("/auth/nowhere")
    assert answer.status_code == HTTPStatus.NOT_FOUND
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert answer.json()["code"] == "not_found"
