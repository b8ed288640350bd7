"""Every endpoint of the API, by URL, for everyone who may come to it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import URLPattern, resolve

from audit.models import AuditEntry
from gateway_project.api import urls
from keys.models import ApiKey
from quotas.models import RateLimit
from tests.api.conftest import API, Send, grant, sender

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("everything")]

SERVICE = {"instances": [{"url": "http://10.0.0.2"}]}
ROUTE = {"path": "/invoices", "service": "billing"}
LIMIT = {"consumer": "acme", "limit": 7}
READ = ("routing.view_service", "routing.view_route")
WRITE = (
    *READ,
    "routing.add_service",
    "routing.change_service",
    "routing.add_route",
    "routing.change_route",
    "quotas.add_ratelimit",
    "quotas.change_ratelimit",
)
PRUNE = (
    *WRITE,
    "routing.delete_service",
    "routing.delete_route",
    "quotas.delete_ratelimit",
)


@dataclass(frozen=True)
class Endpoint:
    """A request that succeeds with *status* for staff who hold *permissions*."""

    method: str
    path: str
    permissions: tuple[str, ...] = ()
    content: Any = None
    status: int = HTTPStatus.OK
    headers: dict[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        return f"{self.method} {self.path or '(index)'}"

    def url(self, key: int = 1, entry: int = 1, limit: int = 1) -> str:
        path = self.path.replace("KEY", str(key)).replace("ENTRY", str(entry))
        return path.replace("LIMIT", str(limit))

    def ask(self, send: Send) -> int:
        limit = RateLimit.objects.get(consumer__isnull=False).pk
        path = self.url(ApiKey.objects.get().pk, AuditEntry.objects.all()[0].pk, limit)
        return int(send(self.method, path, self.content, **self.headers).status_code)


def crud(path: str, name: str, model: str, content: Any, added: Any) -> list[Endpoint]:
    app, _, row = model.partition(".")
    view, add, change, delete = (
        (f"{app}.{verb}_{row}",) for verb in ("view", "add", "change", "delete")
    )
    also = ("keys.delete_apikey",) if model == "keys.consumer" else ()
    return [
        Endpoint("GET", f"{path}/", view),
        Endpoint("POST", f"{path}/", add, added, HTTPStatus.CREATED),
        Endpoint("GET", f"{path}/{name}/", view),
        Endpoint("PUT", f"{path}/{name}/", change, content),
        Endpoint("PATCH", f"{path}/{name}/", change, {}),
        Endpoint("DELETE", f"{path}/{name}/", (*delete, *also), status=HTTPStatus.NO_CONTENT),
    ]


ENDPOINTS = [
    Endpoint("GET", ""),
    *crud("services", "spare", "routing.service", SERVICE, {"name": "new", **SERVICE}),
    *crud("routes", "invoices", "routing.route", ROUTE, {**ROUTE, "path": "/new"}),
    *crud("consumers", "acme", "keys.consumer", {"name": "acme"}, {"name": "globex"}),
    *crud("api-keys", "KEY", "keys.apikey", {"consumer": "acme"}, {"consumer": "acme"}),
    *crud("consumer-limits", "LIMIT", "quotas.ratelimit", LIMIT, LIMIT),
    *crud("plans", "bronze", "quotas.plan", {"name": "bronze"}, {"name": "silver", "daily": 5}),
    Endpoint("PUT", "routes/new/", ("routing.change_route", "routing.add_route"), ROUTE, 201),
    Endpoint("POST", "api-keys/KEY/revoke/", ("keys.change_apikey",)),
    Endpoint(
        "POST",
        "api-keys/KEY/rotate/",
        ("keys.add_apikey", "keys.change_apikey"),
        {},
        HTTPStatus.CREATED,
    ),
    Endpoint("GET", "revisions/", ("routing.view_revision",)),
    Endpoint("GET", "revisions/1/", ("routing.view_revision",)),
    Endpoint("GET", "revisions/current/", ("routing.view_revision",)),
    Endpoint("POST", "revisions/1/rollback/", ("routing.change_revision",)),
    Endpoint("GET", "breakers/", ("proxying.view_breakerstate",)),
    Endpoint("GET", "rate-limit-records/", ("quotas.view_ratelimitrecord",)),
    Endpoint("GET", "usage/", ("quotas.view_ratelimitrollup",)),
    Endpoint("GET", "usage/near-limits/", ("quotas.view_ratelimitrollup",)),
    Endpoint("GET", "audit-entries/", ("audit.view_auditentry",)),
    Endpoint("GET", "audit-entries/ENTRY/", ("audit.view_auditentry",)),
    Endpoint("POST", "apply/", WRITE, {"services": {"new": SERVICE}}),
    Endpoint("POST", "apply/?dry_run=true", READ, {"services": {"new": SERVICE}}),
    Endpoint("POST", "apply/?prune=true", PRUNE, {"services": {"new": SERVICE}}),
    Endpoint("GET", "export/", READ),
    Endpoint("GET", "schema/"),
    Endpoint("GET", "docs/", headers={"accept": "text/html"}),
]
GUARDED = [one for one in ENDPOINTS if one.permissions]
LACKING = [
    pytest.param(one, missing, id=f"{one}-without-{missing}")
    for one in GUARDED
    for missing in one.permissions
]


@pytest.fixture(scope="module", autouse=True)
def spare(everything: None) -> None:
    """A service that no route needs."""
    client = Client()
    client.force_login(User.objects.create_superuser("root"))
    answer = sender(client)("POST", "services/", {"name": "spare"})
    assert answer.status_code == HTTPStatus.CREATED


def offered() -> Iterator[tuple[str, str | None]]:
    """Method and name of everything the URLs lead to, but for the one that answers 404."""
    for pattern in urls.urlpatterns:
        assert isinstance(pattern, URLPattern)
        actions = getattr(pattern.callback, "actions", None) or {"get": "get"}
        if pattern.name is not None:
            yield from ((one.upper(), pattern.name) for one in actions if one != "head")


def test_the_list_above_names_every_endpoint() -> None:
    listed = {
        (one.method, resolve(API + one.url().partition("?")[0]).url_name) for one in ENDPOINTS
    }
    assert listed == set(offered())


@pytest.mark.parametrize("endpoint", ENDPOINTS, ids=str)
def test_the_anonymous_are_answered_401(as_anonymous: Send, endpoint: Endpoint) -> None:
    assert endpoint.ask(as_anonymous) == HTTPStatus.UNAUTHORIZED


@pytest.mark.parametrize("endpoint", ENDPOINTS, ids=str)
def test_those_who_are_not_staff_are_refused(as_stranger: Send, endpoint: Endpoint) -> None:
    assert endpoint.ask(as_stranger) == HTTPStatus.FORBIDDEN


@pytest.mark.parametrize("endpoint", ENDPOINTS, ids=str)
def test_staff_with_the_permissions_succeed(
    alice: User, as_alice: Send, endpoint: Endpoint
) -> None:
    grant(alice, *endpoint.permissions)
    assert endpoint.ask(as_alice) == endpoint.status


@pytest.mark.parametrize("endpoint", GUARDED, ids=str)
def test_staff_without_permissions_are_refused(as_alice: Send, endpoint: Endpoint) -> None:
    assert endpoint.ask(as_alice) == HTTPStatus.FORBIDDEN


@pytest.mark.parametrize(("endpoint", "missing"), LACKING)
def test_every_permission_of_an_endpoint_is_needed(
    alice: User, as_alice: Send, endpoint: Endpoint, missing: str
) -> None:
    grant(alice, *(set(endpoint.permissions) - {missing}))
    assert endpoint.ask(as_alice) == HTTPStatus.FORBIDDEN


@pytest.mark.parametrize("path", ["nowhere/", "services/a/b/", "api-keys/x/"])
def test_an_unknown_address_tells_the_anonymous_nothing(as_anonymous: Send, path: str) -> None:
    assert as_anonymous("GET", path).status_code == HTTPStatus.UNAUTHORIZED
