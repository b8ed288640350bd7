"""An answer whose head comes in drops: each is in time, and the whole never would be."""

from __future__ import annotations

import time

import pytest

from tests.faults.conftest import Lab
from tests.faults.outcomes import say
from tests.faults.proxy import Fault
from tests.faults.waiting import eventually
from tests.support.raw import request


@pytest.mark.parametrize("fault", [Fault(drip=0.1), Fault(drip=0.25, drop="line")])
def test_it_ends_when_the_first_byte_is_due_and_counts_as_a_failure(lab: Lab, fault: Fault) -> None:
    lab.breaks(fault, 0)
    started = time.monotonic()
    reply = request(lab.gateway.port, "GET", "/dripping")
    took = time.monotonic() - started
    assert (reply.status, reply.get("x-gateway-error")) == (504, "upstream_timeout")
    assert 0.3 <= took < 2
    eventually(lambda: _codes(lab) == {"breaker_open"}, seconds=3)
    say(f"head dripping ({fault.drop}): ended after {took:.2f} s of 0.3 s for the first byte")
    lab.mend()
    eventually(lambda: _codes(lab) == {""}, seconds=5)


def _codes(lab: Lab) -> set[str]:
    replies = [request(lab.gateway.port, "GET", "/dripping") for _ in range(10)]
    return {reply.get("x-gateway-error") for reply in replies}
