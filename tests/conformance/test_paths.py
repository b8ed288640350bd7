"""Paths, queries, hosts and methods: what is matched is what is forwarded."""

from __future__ import annotations

import pytest

from tests.conformance import path_table, place_table
from tests.conformance.case import Case, play, rows
from tests.conformance.front import Front
from tests.conformance.origin import Origin


@pytest.mark.parametrize("case", rows([*path_table.CASES, *place_table.CASES]))
def test_a_path(case: Case, front: Front, origin: Origin) -> None:
    play(case, front, origin)
