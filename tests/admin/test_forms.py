"""Adding and changing rows through the admin's forms, and what the forms refuse."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

import pytest
from django.contrib.messages import get_messages
from django.forms import Form
from django.test import Client

from audit.models import AuditEntry
from keys.digest import hash_api_key
from keys.models import ApiKey, Consumer
from quotas.models import RateLimit
from routing.models import Route, Service, ServiceInstance
from tests.models import world

pytestmark = pytest.mark.django_db

SERVICES, ROUTES = "/admin/routing/service/", "/admin/routing/route/"


def shown(form: Form) -> dict[str, Any]:
    """What a browser would send back of *form*, unchanged."""
    values = {
        form.add_prefix(name): field.prepare_value(form.get_initial_for_field(field, name))
        for name, field in form.fields.items()
    }
    return {
        name: value for name, value in values.items() if value is not None and value is not False
    }


def filled(client: Client, url: str, **changes: Any) -> Any:
    """Open the form at *url* and send it back with *changes* (None leaves a field out)."""
    context = client.get(url).context
    data = shown(context["adminform"].form)
    for inline in context["inline_admin_formsets"]:
        data.update(shown(inline.formset.management_form))
        for form in inline.formset.initial_forms:
            data.update(shown(form))
    data.update(changes)
    return client.post(url, {name: value for name, value in data.items() if value is not None})


def errors(answer: Any) -> dict[str, list[str]]:
    assert answer.status_code == HTTPStatus.OK
    return dict(answer.context["adminform"].form.errors)


def inline_errors(answer: Any) -> list[dict[str, list[str]]]:
    assert answer.status_code == HTTPStatus.OK
    return [dict(one) for one in answer.context["inline_admin_formsets"][0].formset.errors]


def instances(*urls: str) -> dict[str, Any]:
    data: dict[str, Any] = {"instances-TOTAL_FORMS": len(urls), "instances-INITIAL_FORMS": 0}
    for place, url in enumerate(urls):
        data |= {f"instances-{place}-url": url, f"instances-{place}-weight": 1}
        data |= {f"instances-{place}-healthy": "on"}
    return data


def test_a_service_is_added_with_its_instances(admin_client: Client) -> None:
    answer = filled(
        admin_client, f"{SERVICES}add/", name="billing", **instances("http://a", "http://b:81")
    )
    assert answer.status_code == HTTPStatus.FOUND
    urls = ServiceInstance.objects.values_list("url", flat=True)
    assert (Service.objects.get().name, list(urls)) == ("billing", ["http://a", "http://b:81"])


def test_a_form_sent_back_unchanged_changes_nothing(admin_client: Client) -> None:
    row = world.route(hosts=["a.example.com"], methods=["GET", "POST"], timeout=2.5)
    before = Route.objects.filter(pk=row.pk).values().get()
    assert filled(admin_client, f"{ROUTES}{row.pk}/change/").status_code == HTTPStatus.FOUND
    assert Route.objects.filter(pk=row.pk).values().get() == before
    assert not AuditEntry.objects.filter(action="route.changed").exists()


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("name", "two words"),
        ("connect_timeout", "0"),
        ("retry_on", "418"),
        ("retry_methods", "get"),
        ("breaker_failure_ratio", "2"),
        ("health_check_path", "x"),
    ],
)
def test_a_refused_service_names_the_field(admin_client: Client, field: str, value: str) -> None:
    changes = {"name": "billing", "health_check_enabled": "on", field: value}
    answer = filled(admin_client, f"{SERVICES}add/", **changes)
    assert list(errors(answer)) == [field]
    assert not Service.objects.exists()


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("name", "two words"),
        ("path", "/admin"),
        ("hosts", "a b"),
        ("methods", "GET, TRACE"),
        ("rewrite", "/{gone}"),
        ("auth_methods", "password"),
        ("timeout", "-1"),
        ("max_body_bytes", "-1"),
        ("service", "999"),
    ],
)
def test_a_refused_route_names_the_field(admin_client: Client, field: str, value: str) -> None:
    changes = {"name": "r", "path": "/r", "service": world.service().pk, field: value}
    answer = filled(admin_client, f"{ROUTES}add/", **changes)
    assert list(errors(answer)) == [field]
    assert not Route.objects.exists()


def test_a_wrong_instance_is_named_in_its_line(admin_client: Client) -> None:
    answer = filled(
        admin_client, f"{SERVICES}add/", name="billing", **instances("http://a", "http://b/path")
    )
    assert [list(one) for one in inline_errors(answer)] == [[], ["url"]]
    assert not Service.objects.exists()


def test_one_address_in_two_spellings_is_refused_in_the_second_line(admin_client: Client) -> None:
    answer = filled(
        admin_client, f"{SERVICES}add/", name="billing", **instances("http://a", "http://A:80/")
    )
    assert [list(one) for one in inline_errors(answer)] == [[], ["url"]]


def test_an_instance_can_be_replaced_by_another_spelling_of_itself(admin_client: Client) -> None:
    row = world.service("billing", "http://a:80")
    answer = filled(
        admin_client,
        f"{SERVICES}{row.pk}/change/",
        **{
            "instances-TOTAL_FORMS": 2,
            "instances-0-DELETE": "on",
            "instances-1-url": "http://a",
            "instances-1-weight": 5,
        },
    )
    assert answer.status_code == HTTPStatus.FOUND
    assert list(row.instances.values_list("url", "weight")) == [("http://a", 5)]


def limits(**fields: Any) -> dict[str, Any]:
    line = {"limit": 10, "per": "minute", "by": "caller", "mode": "enforce", **fields}
    line.setdefault("on_store_failure", "open")
    line.setdefault("cost", 1)
    data = {f"rate_limits-0-{name}": value for name, value in line.items()}
    return {"rate_limits-TOTAL_FORMS": 1, "rate_limits-INITIAL_FORMS": 0, **data}


def test_a_route_is_added_with_its_limit(admin_client: Client) -> None:
    changes = {"name": "r", "path": "/r", "service": world.service().pk}
    answer = filled(admin_client, f"{ROUTES}add/", **changes, **limits(by="header:X-Tenant"))
    assert answer.status_code == HTTPStatus.FOUND
    assert str(RateLimit.objects.get()) == "10 per minute by header:X-Tenant"


@pytest.mark.parametrize(("field", "value"), [("limit", 0), ("burst", 0), ("by", "moon")])
def test_a_wrong_limit_is_named_in_its_line(admin_client: Client, field: str, value: Any) -> None:
    changes = {"name": "r", "path": "/r", "service": world.service().pk}
    answer = filled(admin_client, f"{ROUTES}add/", **changes, **limits(**{field: value}))
    assert [list(one) for one in inline_errors(answer)] == [[field]]


def test_a_route_another_one_leaves_nothing_to_is_saved_with_a_warning(
    admin_client: Client,
) -> None:
    row = world.route("invoices", path="/r/{id}")
    changes = {"name": "twin", "path": "/r/{number}", "service": row.service_id}
    answer = filled(admin_client, f"{ROUTES}add/", **changes)
    said = [str(message) for message in get_messages(answer.wsgi_request)]
    assert any(text.startswith("twin is never reached: invoices takes") for text in said)
    assert Route.objects.count() == 2


def test_lists_are_written_with_commas_or_lines(admin_client: Client) -> None:
    changes = {"name": "r", "path": "/r", "service": world.service().pk}
    changes |= {"methods": "GET,POST", "hosts": " a.example.com \r\n\r\nb.example.com,"}
    filled(admin_client, f"{ROUTES}add/", **changes)
    row = Route.objects.get()
    assert row.methods == ["GET", "POST"]
    assert row.hosts == ["a.example.com", "b.example.com"]


def test_a_refused_list_is_shown_as_it_was_written(admin_client: Client) -> None:
    changes = {"name": "r", "path": "/r", "service": world.service().pk, "methods": "GET, ge t"}
    page = filled(admin_client, f"{ROUTES}add/", **changes).content.decode()
    assert ">GET, ge t</textarea>" in page


def new_key(client: Client, **changes: Any) -> Any:
    owner = Consumer.objects.create(name="acme")
    fields = {"consumer": owner.pk, "name": "ci", **changes}
    return filled(client, "/admin/keys/apikey/add/", **fields)


def test_a_new_key_is_shown_once_and_not_stored(admin_client: Client) -> None:
    answer = new_key(admin_client)
    text = answer.context["text"]
    key = ApiKey.objects.get()
    assert f">{text}</code>" in answer.content.decode()
    assert (key.digest, key.created_by) == (hash_api_key(text), "admin")
    assert "no-store" in answer.headers["Cache-Control"]
    assert text not in str(answer.cookies)
    again = admin_client.get(f"/admin/keys/apikey/{key.pk}/change/")
    assert text not in again.content.decode()
    assert text not in str(list(AuditEntry.objects.values()))


def test_a_new_key_is_shown_before_another_is_added(admin_client: Client) -> None:
    answer = new_key(admin_client, _addanother="1")
    assert answer.status_code == HTTPStatus.OK
    assert answer.context["text"].startswith("gw_")


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("roles", "\x07"),
        ("permissions", "x" * 101),
        ("allowed_networks", "10.0.0.1/8"),
        ("consumer", "999"),
    ],
)
def test_a_refused_key_names_the_field(admin_client: Client, field: str, value: str) -> None:
    assert list(errors(new_key(admin_client, **{field: value}))) == [field]
    assert not ApiKey.objects.exists()


def test_prefix_and_digest_cannot_be_sent(admin_client: Client) -> None:
    key = world.api_key()
    before = (key.prefix, key.digest)
    url = f"/admin/keys/apikey/{key.pk}/change/"
    filled(admin_client, url, prefix="gw_evil", digest="0" * 64, name="renamed")
    key.refresh_from_db()
    assert (key.name, key.prefix, key.digest) == ("renamed", *before)


def test_a_list_edited_in_place_is_compiled_too(admin_client: Client) -> None:
    row = world.service("billing", "http://a").instances.get()
    url = "/admin/routing/serviceinstance/"
    data = {"form-TOTAL_FORMS": 1, "form-INITIAL_FORMS": 1, "form-0-id": row.pk, "_save": "Save"}
    answer = admin_client.post(url, {**data, "form-0-weight": 1001})
    assert list(answer.context["cl"].formset.errors[0]) == ["weight"]
    assert admin_client.post(url, {**data, "form-0-weight": 7}).status_code == HTTPStatus.FOUND
    row.refresh_from_db()
    assert (row.weight, row.healthy) == (7, False)


def test_a_folded_section_opens_where_it_holds_an_error(admin_client: Client) -> None:
    answer = filled(admin_client, f"{SERVICES}add/", name="billing", retry_attempts="0")
    assert "retry_attempts" in errors(answer)
    folded = {section.name: section.is_collapsible for section in answer.context["adminform"]}
    assert folded["Retries"] is False
    assert folded["Circuit breaker"] is True
    fresh = admin_client.get(f"{SERVICES}add/").context["adminform"]
    assert {section.name: section.is_collapsible for section in fresh}["Retries"] is True


def test_times_are_shown_to_the_second(admin_client: Client) -> None:
    world.service("billing")
    (entry,) = AuditEntry.objects.filter(action="service.created")
    page = admin_client.get("/admin/audit/auditentry/").content.decode()
    assert entry.at.strftime("%Y-%m-%d %H:%M:%S") in page
