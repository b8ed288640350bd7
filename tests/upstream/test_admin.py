"""The admin says what a service without verification means."""

from __future__ import annotations

import pytest
from django.contrib.messages import get_messages
from django.test import Client

from routing.models import Service
from tests.admin.test_forms import filled

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize(("verify", "warned"), [(None, True), ("on", False)])
def test_a_service_that_believes_anybody_is_warned_about(
    admin_client: Client, verify: str | None, warned: bool
) -> None:
    answer = filled(admin_client, "/admin/routing/service/add/", name="a", tls_verify=verify)
    assert answer.status_code == 302
    assert Service.objects.get(name="a").tls_verify is not warned
    said = [str(message) for message in get_messages(answer.wsgi_request)]
    assert any("not verified" in message for message in said) is warned


def test_a_file_that_cannot_be_read_is_refused_at_its_field(admin_client: Client) -> None:
    answer = filled(
        admin_client, "/admin/routing/service/add/", name="a", tls_ca_file="/no/such/file.pem"
    )
    errors = answer.context["adminform"].form.errors
    assert errors == {"tls_ca_file": ["cannot be read: No such file or directory"]}
