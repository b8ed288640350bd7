"""Staff with every view permission and no other."""

from __future__ import annotations

from http import HTTPStatus

import pytest
from django.contrib import admin
from django.contrib.auth.models import User
from django.db import models
from django.test import Client
from django.urls import reverse

from tests.admin.conftest import grant

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("everything")]

SAVE_BUTTONS = ('name="_save"', 'name="_continue"', 'name="_addanother"')


@pytest.mark.parametrize(
    "model",
    [model for model in admin.site._registry if model._meta.app_label != "axes"],
    ids=lambda model: model.__name__,
)
def test_a_viewer_sees_every_row_and_no_save_button(
    alice: User, alice_client: Client, model: type[models.Model]
) -> None:
    grant(alice, *(f"view_{model._meta.model_name}" for model in admin.site._registry))
    name = f"admin:{model._meta.app_label}_{model._meta.model_name}"
    urls = [reverse(f"{name}_changelist")]
    urls += [reverse(f"{name}_change", args=[row.pk]) for row in model._default_manager.all()[:1]]
    for url in urls:
        answer = alice_client.get(url)
        assert answer.status_code == HTTPStatus.OK
        for button in (*SAVE_BUTTONS, "/delete/", "/add/"):
            assert button not in answer.content.decode()
