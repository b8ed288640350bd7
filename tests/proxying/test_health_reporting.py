"""What health checks found is written down, whatever the database does."""

from __future__ import annotations

import time

import pytest

from proxying.health import Verdict
from proxying.health_reporting import HealthReporter
from proxying.models import InstanceHealth
from tests.support.database import FailingDatabase


@pytest.mark.django_db(transaction=True)
async def test_an_outage_is_one_line_and_the_latest_is_written_after_it(
    caplog: pytest.LogCaptureFixture,
) -> None:
    database = FailingDatabase()
    reporter = HealthReporter("here", database)
    database.away = True
    for healthy in (True, True, False):
        reporter([Verdict("projects", "a:80", healthy, time.time(), time.time())])
        await reporter._write()
    assert [one.levelname for one in caplog.records] == ["WARNING"]
    database.away = False
    await reporter._write()
    assert [row.healthy for row in await database.run(list, InstanceHealth.objects.all())] == [
        False
    ]
    await database.close()
