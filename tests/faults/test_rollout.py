"""Twenty publishes and a rolling restart under load, with event streams open all the while.

Quiet times and publishes alternate, so that both are measured on the same machine.
"""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial

import pytest

from tests.faults.conftest import PLAIN, Lab
from tests.faults.outcomes import figures, say
from tests.faults.processes import replace_workers
from tests.support.load import Outcome
from tests.support.process import PASSWORD, GatewayProcess
from tests.support.raw import RawClient
from tests.support.upstream import OK, Received
from tests.system.identity import api

STREAM = b"GET /sticky HTTP/1.1\r\nHost: gateway.test\r\n\r\n"
ROUNDS = 4
PUBLISHES = 5
"""In each round; the quiet part takes as long."""
PAUSE = 0.8


async def _events(
    received: Received, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> None:
    if received.target != "/sticky":
        writer.write(OK)
        return
    writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    while not writer.is_closing():
        writer.write(b"6\r\nevent\n\r\n")
        await writer.drain()
        await asyncio.sleep(0.5)


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_publishes_and_a_rolling_restart_lose_nothing(lab: Lab) -> None:
    gateway = lab.gateway
    gateway.environment["DJANGO_SUPERUSER_PASSWORD"] = PASSWORD
    gateway.manage("createsuperuser", "--noinput", "--username", "ops", "--email", "o@test.invalid")
    for upstream in lab.upstreams:
        upstream.script = _events
    with ExitStack() as open_streams:
        streams = [open_streams.enter_context(RawClient(gateway.port)) for _ in range(50)]
        for stream in streams:
            stream.send(STREAM)
            assert stream.socket.recv(65_536).startswith(b"HTTP/1.1 200")
        quiet: list[Outcome] = []
        busy: list[Outcome] = []
        _publish(gateway, range(PUBLISHES))  # the first ones load what they need
        for number in range(1, ROUNDS + 1):
            names = range(number * PUBLISHES, (number + 1) * PUBLISHES)
            quiet += _measured(lab, "quiet", lambda: time.sleep(PUBLISHES * PAUSE))
            busy += _measured(lab, "publishes", partial(_publish, gateway, names))
        assert all(_still_open(stream.socket) for stream in streams)
        restart = _measured(lab, "workers replaced", lambda: _replace_workers(lab))
        assert all(_still_open(stream.socket) for stream in streams)
    p50, p99 = (
        [1000 * _at(share, each) for each in (quiet, busy, restart)] for share in (0.5, 0.99)
    )
    say("p50 of quiet, publishing, replacing: {:.2f}, {:.2f}, {:.2f} ms".format(*p50))
    say(
        "p99 of quiet, publishing, replacing: {:.2f}, {:.2f}, {:.2f} ms; ".format(*p99)
        + f"publishing {p99[1] / p99[0]:.2f} and replacing {p99[2] / p99[0]:.2f} times quiet"
    )


def _at(share: float, outcomes: list[Outcome]) -> float:
    return sorted(one.answered - one.sent for one in outcomes)[int(share * len(outcomes))]


def _measured(lab: Lab, name: str, work: Callable[[], object]) -> list[Outcome]:
    before = sum(lab.received("/plain"))
    with lab.load(PLAIN).running() as load:
        work()
    assert figures(name, load.outcomes, received=sum(lab.received("/plain")) - before).errors == 0
    return load.outcomes


def _publish(gateway: GatewayProcess, numbers: range) -> None:
    """Over the REST API by somebody who is signed in, as in the admin: each is a service more."""
    for number in numbers:
        due = time.monotonic() + PAUSE
        instances = [{"url": f"http://127.0.0.1:{9000 + number}"}]
        api(gateway, "POST", "services/", name=f"edited-{number}", instances=instances)
        time.sleep(max(0.0, due - time.monotonic()))


def _replace_workers(lab: Lab) -> None:
    replace_workers(lab.gateway, seconds=60)
    time.sleep(2)


def _still_open(stream: socket.socket) -> bool:
    return bool(stream.recv(65_536))
