"""Random bad keys in great numbers: bounded memory, and nobody else pays for it.

The proof (``-m slow``) prints its figures. Each minute of it is a good caller in quiet and the same
caller beside the flood, so that whatever else the machine does is in both.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

import pytest

from tests.support.bad_keys import send_bad_keys
from tests.support.load import Load
from tests.support.process import GatewayProcess, new_gateway
from tests.support.upstream import Upstream
from tests.system.identity import CONFIGURATION, api, asked, code, get, new_key

pytestmark = pytest.mark.timeout(600)

MEGABYTE = 1024 * 1024
_REMEMBERED = 12_000
"""More than the 10,000 digests a worker remembers as unknown."""
_ROUNDS = 4
_A_ROUND = 25_000
_QUIET_SECONDS = 12.0
_SLACK = 0.002
"""Seconds: a turn of the scheduler, for the flood's client runs on the same processors."""


def memory(gateway: GatewayProcess) -> int:
    """Resident bytes of the gateway's processes."""
    assert gateway.process
    pids = [gateway.process.pid]
    for pid in pids:
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text()
        pids += [int(child) for child in children.split()]
    lines = [Path(f"/proc/{pid}/status").read_text().splitlines() for pid in pids]
    resident = [line for status in lines for line in status if line.startswith("VmRSS")]
    return sum(int(line.split()[1]) * 1024 for line in resident)


def assert_all_good(load: Load) -> None:
    assert load.outcomes
    assert {code(one.reply) if one.reply else "nothing" for one in load.outcomes} == {"ok"}


def percentile(loads: list[Load], part: float) -> float:
    """Of the seconds that the answers to *loads* took."""
    seconds = sorted(one.answered - one.sent for load in loads for one in load.outcomes)
    return seconds[int(len(seconds) * part)]


def test_random_keys_are_refused_and_counted_while_good_callers_are_served(
    world: GatewayProcess,
) -> None:
    load = Load(world.port, get(new_key(world, "beside")["key"]), rate=50, connections=2)
    send_bad_keys(world.port, 100, 10)
    before = memory(world)
    with load.running():
        answers = send_bad_keys(world.port, 2_000, 40)
    assert_all_good(load)
    assert answers == {"invalid_api_key": 2_000}
    assert memory(world) - before < 10 * MEGABYTE
    entries = api(world, "GET", "audit-entries/?action=credential.refused&object_name=")
    assert entries["count"] < 20


@pytest.mark.slow
def test_a_hundred_thousand_random_keys_cost_bounded_memory_and_no_good_callers_time(
    tmp_path: Path, upstream: Upstream
) -> None:
    gateway = new_gateway(tmp_path)
    gateway.apply(CONFIGURATION.format(url=upstream.url))
    head = get(gateway.key("acme"))
    quiet, beside, answers = [], [], []
    with gateway.serving():
        send_bad_keys(gateway.port, _REMEMBERED, 64)
        filled = memory(gateway)
        for _ in range(_ROUNDS):
            quiet.append(Load(gateway.port, head, rate=100, connections=4))
            with quiet[-1].running():
                time.sleep(_QUIET_SECONDS)
            beside.append(Load(gateway.port, head, rate=100, connections=4))
            with beside[-1].running():
                answers.append(send_bad_keys(gateway.port, _A_ROUND, 64))
        grown = memory(gateway) - filled
        series = gateway.request("GET", "/metrics").body.decode()
    for load in (*quiet, *beside):
        assert_all_good(load)
    for name, loads in (("quiet", quiet), ("beside the flood", beside)):
        median, p99 = (1000 * percentile(loads, part) for part in (0.5, 0.99))
        sys.stdout.write(f"\n{name}: median {median:.2f} ms, p99 {p99:.2f} ms")
    sys.stdout.write(f"\ngrown by {grown / MEGABYTE:.1f} MB; answers {answers}\n")
    assert all(set(one) <= {"invalid_api_key", "key_store_unavailable"} for one in answers)
    assert grown < 20 * MEGABYTE
    assert percentile(beside, 0.99) < 1.5 * percentile(quiet, 0.99) + _SLACK
    assert series.count("gateway_authentications_total{") < 10
    written = asked(
        gateway,
        "list(E.objects.filter(action='credential.refused').values_list('changes', flat=True))",
        "from audit.models import AuditEntry as E",
    )
    assert len(written) < 40
    assert sum(entry["count"] for entry in written) == _REMEMBERED + _ROUNDS * _A_ROUND
