"""Random bad keys in great numbers: bounded memory, and nobody else pays for it."""

from __future__ import annotations

import secrets
import threading
from pathlib import Path

import pytest

from tests.support.load import Load
from tests.support.process import GatewayProcess, new_gateway
from tests.support.raw import RawClient
from tests.support.upstream import Upstream
from tests.system.identity import CONFIGURATION, asked, code, get

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]

FLOOD = 12_000
"""More than the 10,000 digests a worker remembers as unknown."""
_CONNECTIONS = 40
_PIPELINED = 25


def flood(gateway: GatewayProcess, number: int) -> set[str]:
    """Send *number* requests, each with a key of its own; the codes they are answered with."""
    seen: set[str] = set()

    def send() -> None:
        with RawClient(gateway.port, timeout=60) as client:
            for _ in range(number // _CONNECTIONS // _PIPELINED):
                keys = [f"gw_{secrets.token_urlsafe(32)}" for _ in range(_PIPELINED)]
                client.send(b"".join(get(key) for key in keys))
                seen.update(code(client.read_reply()) for _ in keys)

    threads = [threading.Thread(target=send) for _ in range(_CONNECTIONS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return seen


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


def test_a_flood_of_random_keys_costs_bounded_memory_and_no_good_callers_request(
    tmp_path: Path, upstream: Upstream
) -> None:
    gateway = new_gateway(tmp_path)
    gateway.apply(CONFIGURATION.format(url=upstream.url))
    key = gateway.key("acme")
    with gateway.serving():
        flood(gateway, FLOOD)
        filled = memory(gateway)
        load = Load(gateway.port, get(key), rate=50, connections=2)
        with load.running():
            answers = flood(gateway, FLOOD)
        grown = memory(gateway) - filled
        series = gateway.request("GET", "/metrics").body.decode()
    # Neither a pass nor anything but: unknown, or not now.
    assert answers <= {"invalid_api_key", "key_store_unavailable"}
    assert "invalid_api_key" in answers
    assert load.outcomes
    assert {code(one.reply) if one.reply else "nothing" for one in load.outcomes} == {"ok"}
    assert grown < 20 * 1024 * 1024
    assert series.count("gateway_authentications_total{") < 10
    written = asked(
        gateway,
        "list(E.objects.filter(action='credential.refused').values_list('changes', flat=True))",
        "from audit.models import AuditEntry as E",
    )
    assert len(written) < 20
    assert sum(entry["count"] for entry in written) > FLOOD
