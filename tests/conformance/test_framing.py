"""Requests as bytes: framing, request line, Host, target, limits."""

from __future__ import annotations

import pytest

from tests.conformance import framing_table, target_table
from tests.conformance.case import Case, play, rows
from tests.conformance.front import Front
from tests.conformance.origin import Origin


@pytest.mark.parametrize("case", rows([*framing_table.CASES, *target_table.CASES]))
def test_a_request_as_bytes(case: Case, front: Front, origin: Origin) -> None:
    play(case, front, origin)
