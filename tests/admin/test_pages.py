"""Every page of the admin, by URL, for everyone who may come to it."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

import pytest
from django.contrib import admin
from django.contrib.auth.models import User
from django.contrib.staticfiles import finders
from django.db import connection, models
from django.test import Client, RequestFactory
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from audit.models import AuditEntry
from gateway_project.unfold import UNFOLD
from keys.models import ApiKey, ArchivedApiKey, Consumer
from proxying.models import BreakerOverride, BreakerState, InstanceHealth
from quotas.models import Plan, RateLimit, RateLimitRecord, RateLimitRollup
from routing.models import Revision, Route, Service, ServiceInstance
from tests.admin.conftest import grant

EDITABLE: list[type[models.Model]] = [
    Service,
    ServiceInstance,
    Route,
    RateLimit,
    Plan,
    Consumer,
    ApiKey,
    BreakerOverride,
]
READ_ONLY: list[type[models.Model]] = [
    Revision,
    RateLimitRecord,
    RateLimitRollup,
    BreakerState,
    InstanceHealth,
    AuditEntry,
    ArchivedApiKey,
]
PAGES = ["changelist", "add", "change", "delete", "history"]

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("everything")]


def test_the_side_bar_calls_every_table_what_its_pages_call_it() -> None:
    names = {
        str(page["link"]): page["title"].lower()
        for group in UNFOLD["SIDEBAR"]["navigation"]
        for page in group["items"]
    }
    for model in EDITABLE + READ_ONLY:
        assert names[url(model, "changelist")] == str(model._meta.verbose_name_plural).lower()


@pytest.mark.parametrize(
    ("model", "field"),
    [(Route, "service"), (RateLimit, "route"), (RateLimit, "consumer"), (ApiKey, "consumer")],
)
def test_a_choice_among_many_is_offered_in_order(
    admin_client: Client, model: type[models.Model], field: str
) -> None:
    asked: dict[str, str] = {
        "app_label": model._meta.app_label,
        "model_name": str(model._meta.model_name),
        "field_name": field,
    }
    answer = admin_client.get(reverse("admin:autocomplete"), asked)
    offered = [one["text"] for one in answer.json()["results"]]
    assert offered
    assert offered == sorted(offered)


def url(model: type[models.Model], page: str) -> str:
    name = f"admin:{model._meta.app_label}_{model._meta.model_name}_{page}"
    if page in {"changelist", "add"}:
        return reverse(name)
    return reverse(name, args=[model._default_manager.values_list("pk", flat=True)[0]])


def status(client: Client, model: type[models.Model], page: str) -> int:
    return client.get(url(model, page)).status_code


def every_page() -> list[Any]:
    return [
        pytest.param(model, page, id=f"{model._meta.model_name}-{page}")
        for model in EDITABLE + READ_ONLY
        for page in PAGES
    ]


def test_the_lists_above_name_every_model_of_ours() -> None:
    ours = {"routing", "keys", "quotas", "proxying", "audit"}
    registered = {model for model in admin.site._registry if model._meta.app_label in ours}
    assert registered == set(EDITABLE + READ_ONLY)


@pytest.mark.parametrize(("model", "page"), every_page())
def test_the_anonymous_are_sent_to_sign_in(
    client: Client, model: type[models.Model], page: str
) -> None:
    answer = client.get(url(model, page))
    assert answer.headers["Location"].startswith("/admin/login/")


@pytest.mark.parametrize(("model", "page"), every_page())
def test_those_who_are_not_staff_are_sent_to_sign_in(
    stranger_client: Client, model: type[models.Model], page: str
) -> None:
    answer = stranger_client.get(url(model, page))
    assert answer.headers["Location"].startswith("/admin/login/")


@pytest.mark.parametrize(("model", "page"), every_page())
def test_staff_without_permission_see_nothing(
    alice_client: Client, model: type[models.Model], page: str
) -> None:
    assert status(alice_client, model, page) == HTTPStatus.FORBIDDEN


@pytest.mark.parametrize(("model", "page"), every_page())
def test_a_superuser_sees_every_page_that_exists(
    admin_client: Client, model: type[models.Model], page: str
) -> None:
    closed = model in READ_ONLY and page in {"add", "delete"}
    expected = HTTPStatus.FORBIDDEN if closed else HTTPStatus.OK
    assert status(admin_client, model, page) == expected


@pytest.mark.parametrize("model", READ_ONLY, ids=lambda model: model.__name__)
def test_what_the_gateway_writes_is_not_written_by_hand(
    admin_client: Client, model: type[models.Model]
) -> None:
    for page in ("add", "change", "delete"):
        assert admin_client.post(url(model, page), {}).status_code == HTTPStatus.FORBIDDEN


@pytest.mark.parametrize("model", EDITABLE, ids=lambda model: model.__name__)
def test_who_may_only_view_changes_nothing(
    alice: User, alice_client: Client, model: type[models.Model]
) -> None:
    grant(alice, f"view_{model._meta.model_name}")
    assert status(alice_client, model, "change") == HTTPStatus.OK
    for page in ("add", "change", "delete"):
        assert alice_client.post(url(model, page), {}).status_code == HTTPStatus.FORBIDDEN


@pytest.mark.parametrize("model", EDITABLE + READ_ONLY, ids=lambda model: model.__name__)
def test_every_list_can_be_searched_or_filtered(
    admin_client: Client, model: type[models.Model]
) -> None:
    answer = admin_client.get(url(model, "changelist"), {"q": "billing"})
    assert answer.status_code == HTTPStatus.OK


def test_the_sidebar_shows_what_its_reader_may_see(alice: User, alice_client: Client) -> None:
    grant(alice, "view_route")
    page = alice_client.get("/admin/").content.decode()
    assert reverse("admin:routing_route_changelist") in page
    assert reverse("admin:keys_apikey_changelist") not in page


@pytest.mark.parametrize("page", ["user/", "user/add/", "user/1/change/", "group/", "group/add/"])
def test_staff_are_managed_here_too(admin_client: Client, admin_user: User, page: str) -> None:
    page = page.replace("1", str(admin_user.pk))
    assert admin_client.get(f"/admin/auth/{page}").status_code == HTTPStatus.OK


def test_no_page_shows_a_digest(admin_client: Client) -> None:
    key = ApiKey.objects.get()
    for model, page in ((ApiKey, "changelist"), (ApiKey, "change"), (Consumer, "change")):
        assert key.digest not in admin_client.get(url(model, page)).content.decode()


def test_fields_say_their_units(admin_client: Client) -> None:
    page = admin_client.get(url(Service, "change")).content.decode()
    assert "Seconds to wait for a connection to an instance." in page


def test_the_list_of_revisions_reads_no_documents(admin_client: Client) -> None:
    with CaptureQueriesContext(connection) as queries:
        admin_client.get(url(Revision, "changelist"))
    assert not [query for query in queries if "document" in query["sql"]]


def test_the_list_of_revisions_shows_which_is_current(admin_client: Client) -> None:
    answer = admin_client.get(url(Revision, "changelist"))
    rows = answer.context["cl"].result_list
    shown = {row.number: answer.context["cl"].model_admin.is_current(row) for row in rows}
    assert shown == {2: True, 1: False}


@pytest.mark.parametrize("model", EDITABLE + READ_ONLY, ids=lambda model: model.__name__)
def test_no_more_than_two_fields_stand_side_by_side(
    rf: RequestFactory, admin_user: User, model: type[models.Model]
) -> None:
    request = rf.get("/")
    request.user = admin_user
    shown = admin.site._registry[model].get_fieldsets(request, model._default_manager.first())
    rows = [row for _, options in shown for row in options["fields"]]
    assert [row for row in rows if not isinstance(row, str) and len(row) > 2] == []


def test_a_row_is_called_by_its_own_name(admin_client: Client) -> None:
    key = ApiKey.objects.get()
    page = admin_client.get(url(ApiKey, "change")).content.decode()
    assert f"Gw_{key.prefix[3:]}" not in page


def test_history_is_what_the_audit_log_says(admin_client: Client, admin_user: User) -> None:
    service = Service.objects.create(name="changed")
    service.slow_start = 7
    service.save()
    page = admin_client.get(reverse("admin:routing_service_history", args=[service.pk]))
    told = page.content.decode()
    assert told.index("slow_start: 0.0 → 7") < told.index("name: changed")
    assert "sticky_cookie" not in told


def test_history_is_for_those_who_may_read_the_audit_log(alice: User, alice_client: Client) -> None:
    grant(alice, "view_service")
    page = alice_client.get(url(Service, "history")).content.decode()
    assert "service.created" not in page
    assert "you may not see" in page


def test_rows_the_gateway_writes_have_no_history(admin_client: Client) -> None:
    assert "/history/" not in admin_client.get(url(InstanceHealth, "change")).content.decode()


def test_a_filter_by_name_lists_no_names(admin_client: Client) -> None:
    page = admin_client.get(url(Route, "changelist")).content.decode()
    assert "?service__id__exact" not in page
    billing = Service.objects.get(name="billing")
    found = admin_client.get(url(Route, "changelist"), {"service__id__exact": billing.pk})
    assert [row.name for row in found.context["cl"].result_list] == ["invoices"]


@pytest.mark.parametrize(("page", "status_code"), [("nonsense/", 404), ("routing/route/", 403)])
def test_a_page_that_is_not_shown_leads_back(
    alice_client: Client, page: str, status_code: int
) -> None:
    answer = alice_client.get(f"/admin/{page}")
    assert answer.status_code == status_code
    assert 'href="/admin/"' in answer.content.decode()


def test_the_pages_have_an_icon(admin_client: Client) -> None:
    icon = "/admin/static/gateway_project/icon.svg"
    assert icon in admin_client.get("/admin/").content.decode()
    assert finders.find("gateway_project/icon.svg")
