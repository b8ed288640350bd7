"""Every operation of the published schema, under generated input: no server error, and no answer
the schema does not describe.
"""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pytest
from django.contrib.auth.models import User
from django.core.signals import request_finished, request_started
from django.core.wsgi import get_wsgi_application
from django.db import close_old_connections
from drf_spectacular.generators import EndpointEnumerator, SchemaGenerator
from hypothesis import HealthCheck, Phase, given, settings

from tests.models import world

if TYPE_CHECKING:
    from schemathesis import Case
    from schemathesis.schemas import APIOperation

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


def shape(path: str) -> str:
    """*path* without the names of its parameters, which the schema chooses anew."""
    return re.sub(r"{\w+}", "{}", path)


NOT_PUBLISHED = {f"/api/gateway/{page}" for page in ("", "schema/", "docs/")}
OPERATIONS = sorted(
    (method, shape(path))
    for path, _, method, _ in EndpointEnumerator().get_api_endpoints()
    if path not in NOT_PUBLISHED
)
"""Known without making the schema, which every process that collects this would have to."""


@pytest.fixture(scope="module")
def published() -> dict[tuple[str, str], APIOperation[Any, Any, Any, Any]]:
    """The operations of the schema; only the process that asks for them loads schemathesis."""
    import schemathesis

    schema = schemathesis.openapi.from_dict(SchemaGenerator().get_schema(public=True))
    schema.app = get_wsgi_application()
    schema.config.phases.coverage.enabled = False
    operations = (schema[path][method] for path in schema for method in schema[path])
    return {(one.method.upper(), shape(one.path)): one for one in operations}


def test_no_operation_is_left_out(published: dict[tuple[str, str], Any]) -> None:
    assert sorted(published) == OPERATIONS


@pytest.mark.parametrize(("method", "path"), OPERATIONS)
def test_every_operation_answers_as_the_schema_says(
    method: str, path: str, published: dict[tuple[str, str], Any], rows: None
) -> None:
    from schemathesis.checks import not_a_server_error
    from schemathesis.specs.openapi import checks

    @settings(
        max_examples=3,
        phases=[Phase.generate],
        database=None,
        deadline=None,
        suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
    )
    @given(case=published[method, path].as_strategy())
    def check(case: Case[Any]) -> None:
        case.call_and_validate(
            headers=ROOT,
            checks=[
                not_a_server_error,
                checks.status_code_conformance,
                checks.content_type_conformance,
                checks.response_schema_conformance,
            ],
        )

    check()
