"""Rows are written whether or not they are there, as Django would write them."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from django.db import IntegrityError, connection

from quotas.models import RateLimitRecord
from quotas.records import FIELDS
from runtime.upsert import upsert_rows

UNIQUE = ("identifier", "window_type", "window_start", "route", "node")
HOUR = datetime(2026, 11, 23, 12, tzinfo=UTC)
NOON = HOUR.timestamp()


def row(identifier: str, allowed: int | None = 1, first: float = NOON, last: float = NOON) -> Any:
    return (identifier, "hour", HOUR, "r", "n", allowed, 0, 0, first, last)


def write(*rows: Any, update: tuple[str, ...] = ("allowed", "last_at")) -> None:
    upsert_rows(RateLimitRecord, FIELDS, rows, unique=UNIQUE, update=update)


@pytest.fixture(params=["UTC", "Asia/Kolkata"])
def time_zone(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The database keeps its times in this zone."""
    monkeypatch.setitem(connection.settings_dict, "TIME_ZONE", request.param)
    vars(connection).pop("timezone", None)
    yield
    vars(connection).pop("timezone", None)


@pytest.mark.django_db
def test_a_row_that_is_there_gets_the_named_fields_and_no_others() -> None:
    write(row("a", 1), row("b", 1))
    write(row("a", 5, first=NOON + 1, last=NOON + 2))
    found = RateLimitRecord.objects.order_by("identifier").values_list(*FIELDS[5:])
    moments = [datetime.fromtimestamp(NOON + seconds, UTC) for seconds in (0, 2)]
    assert list(found) == [(5, 0, 0, *moments), (1, 0, 0, moments[0], moments[0])]


@pytest.mark.django_db
@pytest.mark.usefixtures("time_zone")
@pytest.mark.parametrize("part", [0.0, 0.5, 0.000001, 0.999999, 0.9999999, 0.94992])
def test_seconds_are_stored_as_django_stores_the_time(part: float) -> None:
    write(row("seconds", first=NOON + part))
    moment = datetime.fromtimestamp(NOON + part, UTC)
    values = dict(zip(FIELDS, row("django"), strict=True))
    RateLimitRecord.objects.create(**{**values, "first_at": moment, "last_at": HOUR})
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT DISTINCT CAST(window_start AS text), CAST(first_at AS text), "
            "CAST(last_at AS text) FROM rate_limit_records"
        )
        assert len(cursor.fetchall()) == 1
    assert set(RateLimitRecord.objects.values_list("first_at", flat=True)) == {moment}


@pytest.mark.django_db(transaction=True)
def test_of_more_rows_than_a_statement_takes_all_are_written_or_none() -> None:
    rows = [row(f"ip:{number}") for number in range(300)]
    with pytest.raises(IntegrityError):
        write(*rows, row("refused", None))
    assert RateLimitRecord.objects.count() == 0
    write(*rows)
    assert RateLimitRecord.objects.count() == 300


@pytest.mark.django_db
def test_no_rows_are_no_work() -> None:
    write()
    assert not RateLimitRecord.objects.exists()
