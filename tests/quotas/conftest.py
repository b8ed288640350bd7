"""What the tests of this directory share."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from runtime.tasks import TaskOwner


@pytest.fixture
async def owner() -> AsyncIterator[TaskOwner]:
    """Of background tasks, which end with the test."""
    owner = TaskOwner()
    yield owner
    await owner.stop()
