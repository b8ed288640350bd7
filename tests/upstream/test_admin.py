"""The admin says what a service without verification means."""

from __future__ import annotations

import pytest
from django.contrib.messages import get_messages
from django.test import Client

from routing.models import Service

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize(("verify", "warned"), [("", True), ("on", False)])
def test_a_service_that_believes_anybody_is_warned_about(
    admin_client: Client, verify: str, warned: bool
) -> None:
    url = "/admin/routing/service/add/"
    context = admin_client.get(url).context
    data = {
        name: value
        for form in (
            context["adminform"].form,
            *(one.formset.management_form for one in context["inline_admin_formsets"]),
        )
        for name, value in (
            (form.add_prefix(key), field.prepare_value(form.get_initial_for_field(field, key)))
            for key, field in form.fields.items()
        )
        if value not in (None, False)
    }
    data |= {"name": "a", "tls_verify": verify}
    answer = admin_client.post(url, data)
    assert answer.status_code == 302
    assert Service.objects.get(name="a").tls_verify is not warned
    said = [str(message) for message in get_messages(answer.wsgi_request)]
    assert any("not verified" in message for message in said) is warned
