"""What a process does for those who wait for it to start."""

from __future__ import annotations

import gc
from collections.abc import Iterator

import pytest

from gateway_project.scheduling import collect_seldom


@pytest.fixture
def usual() -> Iterator[tuple[int, int, int]]:
    """Python's own thresholds, in force."""
    before, usual = gc.get_threshold(), (700, 10, 10)
    gc.set_threshold(*usual)
    yield usual
    gc.set_threshold(*before)


def test_loading_is_hardly_ever_stopped_to_look_for_cycles(usual: tuple[int, int, int]) -> None:
    collect_seldom()
    young, *older = gc.get_threshold()
    assert young >= 10_000
    assert tuple(older) == usual[1:]
