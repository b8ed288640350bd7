"""One of three instances fails in some way while requests come at a constant rate."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from tests.faults.conftest import WORKERS, Lab
from tests.faults.outcomes import figures, is_error, say
from tests.faults.proxy import Fault
from tests.faults.waiting import eventually
from tests.support.upstream import answering

FAIL = answering(b"HTTP/1.1 500 Oops\r\nContent-Length: 0\r\n\r\n")
HEALTHY_METRIC = "gateway_instance_healthy{"
DETECTED = 1.5
"""Seconds: unhealthy_after x (interval + a tenth + timeout), rounded up. What is measured may take
as long again: this machine is busy."""
AT_ONCE = ("killed", "answering 500")
"""Faults that are told by an answer. The others are told by a time-out, and on a busy machine the
instances that are well can be late too."""
SCENARIOS = {
    "blackholed": Fault(blackhole=True),
    "a hundred times slower": Fault(delay=0.3),
    "answering garbage": Fault(garbage=True),
    "reset in the head": Fault(cut_after=5),
    "half closed in the head": Fault(cut_after=5, half_close=True),
    "dripping its head": Fault(drip=0.05),
    "sending its head line by line": Fault(drip=0.25, drop="line"),
}


def _run(lab: Lab, name: str, rate: float) -> None:
    """Break the first upstream under load, and hold the errors to their bounds."""
    with lab.load(rate=rate).running() as load:
        time.sleep(0.5)
        began = time.monotonic()
        _break(lab, name)
        eventually(lambda: _is_out(lab), seconds=2 * DETECTED)
        detected = time.monotonic()
        time.sleep(1)
    found = figures(name, load.outcomes, since=began, received=sum(lab.received()))
    say(f"{name}: out in every worker {detected - began:.2f} s after the fault")
    assert not [one for one in load.outcomes if one.sent > detected and is_error(one)]
    assert found.errors <= 0.05 * found.requests
    assert found.stall < 2
    assert found.load < 1.2


def _is_out(lab: Lab) -> bool:
    return lab.metric("gateway_instance_healthy", lab.proxies[0].url) == [0.0] * WORKERS


def _break(lab: Lab, name: str) -> None:
    if name == "killed":
        lab.kill(0)
    elif name == "answering 500":
        lab.upstreams[0].script = FAIL
    else:
        lab.breaks(SCENARIOS[name], 0)


@pytest.mark.parametrize("name", AT_ONCE)
def test_clients_see_no_error_once_it_is_detected(lab: Lab, name: str) -> None:
    _run(lab, name, rate=100)


@pytest.mark.slow
@pytest.mark.parametrize("name", [*AT_ONCE, *SCENARIOS])
def test_clients_see_no_error_once_it_is_detected_at_full_rate(lab: Lab, name: str) -> None:
    _run(lab, name, rate=300)


def test_every_worker_acts_on_the_same_verdict_without_any_traffic(lab: Lab) -> None:
    def verdicts() -> list[float]:
        return lab.metric("gateway_instance_healthy", lab.proxies[2].url)

    lab.kill(2)
    eventually(lambda: 0.0 in verdicts(), seconds=3)
    agreed = eventually(lambda: verdicts() == [0.0] * WORKERS, seconds=1)
    lab.mend()
    back = eventually(lambda: verdicts() == [1.0] * WORKERS, seconds=2)
    say(f"workers agreed after {agreed:.2f} s, back {back:.2f} s after the instance was")
    lab.upstreams[2].reset()
    assert all(lab.get("/trio") == 200 for _ in range(12))
    assert lab.received()[2] > 0


def test_all_instances_down_and_back(lab: Lab) -> None:
    with lab.load().running() as load:
        lab.kill(0, 1, 2)
        time.sleep(1.5)
        before = sum(lab.received())
        lab.restore()
        back = time.monotonic()
        time.sleep(2)
    found = figures("all down and back", load.outcomes, since=back, received=sum(lab.received()))
    answers = [one.reply.status for one in load.outcomes if one.reply]
    assert set(answers) <= {200, 502, 503, 504}
    assert found.last_error < 1.5
    # Whoever waited does not come back all at once: what arrives is what clients send.
    assert sum(lab.received()) - before <= 1.2 * sum(one.answered > back for one in load.outcomes)
    assert len(answers) == len(load.outcomes)


@pytest.mark.slow
def test_an_instance_that_flaps_costs_next_to_nothing(lab: Lab) -> None:
    with lab.load().running() as load:
        for _ in range(6):
            lab.kill(0)
            time.sleep(0.7)
            lab.restore()
            time.sleep(0.7)
    found = figures("flapping", load.outcomes, received=sum(lab.received()))
    assert found.errors <= 0.005 * found.requests
    assert found.stall < 1


@pytest.mark.slow
@pytest.mark.timeout(120)
def test_four_workers_have_the_same_verdict_within_a_second(lab: Lab, tmp_path: Path) -> None:
    gateway = lab.gateway.copy(tmp_path)

    def verdicts() -> list[float]:
        body = gateway.request("GET", "/metrics").body.decode()
        mark = f'instance="{lab.proxies[2].url}"'
        lines = [line for line in body.splitlines() if line.startswith(HEALTHY_METRIC)]
        return [float(line.split()[-1]) for line in lines if mark in line and "trio" in line]

    with gateway.serving("--workers", "4"):
        eventually(lambda: verdicts() == [1.0] * 4, seconds=30)
        lab.kill(2)
        eventually(lambda: 0.0 in verdicts(), seconds=5)
        agreed = eventually(lambda: verdicts() == [0.0] * 4, seconds=1)
        lab.mend()
        eventually(lambda: 1.0 in verdicts(), seconds=5)
        again = eventually(lambda: verdicts() == [1.0] * 4, seconds=1)
    say(f"4 workers agreed after {agreed:.2f} s and {again:.2f} s")
