"""What is costly to start is shared: its tests run in a row, whatever the order was."""

from __future__ import annotations

import random
from itertools import groupby

import pytest

from tests.support.scheduling import together, unit


@pytest.fixture
def shuffled(request: pytest.FixtureRequest) -> list[pytest.Item]:
    """Everything that was collected."""
    return random.sample(request.session.items, len(request.session.items))


def test_the_tests_of_a_unit_run_in_a_row(shuffled: list[pytest.Item]) -> None:
    names = [name for name, _ in groupby(unit(item.nodeid) for item in together(shuffled))]
    assert len(names) == len(set(names))


def test_a_directory_is_left_once_within_a_unit(shuffled: list[pytest.Item]) -> None:
    places = [(unit(item.nodeid), item.path.parent) for item in together(shuffled)]
    rows = [place for place, _ in groupby(places)]
    assert len(rows) == len(set(rows))
