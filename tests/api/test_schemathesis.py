"""Every operation of the published schema, under generated input: no server error, and no answer
the schema does not describe.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

import pytest
import schemathesis
from django.contrib.auth.models import User
from django.core.signals import request_finished, request_started
from django.core.wsgi import get_wsgi_application
from django.db import close_old_connections
from drf_spectacular.generators import SchemaGenerator
from hypothesis import HealthCheck, Phase, settings
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from tests.models import world

PASSWORD = "wonderland"
ROOT = {"Authorization": "Basic " + b64encode(f"root:{PASSWORD}".encode()).decode()}


@pytest.fixture
def one_connection() -> Iterator[None]:
    """Requests leave the test's database connection open, as under Django's own test client."""
    for signal in (request_started, request_finished):
        signal.disconnect(close_old_connections)
    yield
    for signal in (request_started, request_finished):
        signal.connect(close_old_connections)


@pytest.fixture
def rows(db: None, one_connection: None) -> None:
    """A superuser, and a row of most things."""
    User.objects.create_superuser("root", password=PASSWORD)
    world.api_key(allowed_routes=[world.route().name])


_Test = TypeVar("_Test", bound=Callable[..., None])


def _published() -> schemathesis.BaseSchema:
    generated = SchemaGenerator().get_schema(public=True)
    schema = schemathesis.openapi.from_dict(generated)
    schema.app = get_wsgi_application()
    schema.config.phases.coverage.enabled = False
    return schema


every_operation: Callable[[_Test], _Test] = _published().parametrize()


@every_operation
@settings(
    max_examples=3,
    phases=[Phase.generate],
    database=None,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
def test_every_operation_answers_as_the_schema_says(
    case: schemathesis.Case[Any], rows: None
) -> None:
    case.call_and_validate(
        headers=ROOT,
        checks=[
            not_a_server_error,
            status_code_conformance,
            content_type_conformance,
            response_schema_conformance,
        ],
    )
