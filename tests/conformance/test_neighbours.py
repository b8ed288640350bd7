"""Other spellings of what the tables say, a row a case."""

from __future__ import annotations

import pytest

from tests.conformance.case import Case, play, rows
from tests.conformance.front import Front
from tests.conformance.neighbour_table import CASES
from tests.conformance.origin import Origin


@pytest.mark.parametrize("case", rows(CASES))
def test_neighbours(front: Front, origin: Origin, case: Case) -> None:
    play(case, front, origin)
