"""A node that stops, and workers that are replaced, lose no request."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import time
from contextlib import suppress
from pathlib import Path

from gateway_project.scheduling import CONTROL_PLANE_NICE
from tests.faults.conftest import PLAIN, Lab
from tests.faults.outcomes import figures
from tests.faults.processes import control_plane_of, replace_workers, workers_of
from tests.faults.waiting import eventually
from tests.support.load import Load
from tests.support.process import GatewayProcess
from tests.support.raw import RawClient, request
from tests.support.upstream import OK, Received

STREAM = b"GET /sticky HTTP/1.1\r\nHost: gateway.test\r\n\r\n"
DRAIN = {"DRAIN_ACCEPT_SECONDS": "1", "DRAIN_SECONDS": "2"}


async def _endless_on_sticky(
    received: Received, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> None:
    if received.target != "/sticky":
        writer.write(OK)
        return
    writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    while not writer.is_closing():
        writer.write(b"6\r\nevent\n\r\n")
        await writer.drain()
        await asyncio.sleep(0.05)


def test_a_stopping_node_says_so_serves_on_and_ends_streams_at_the_deadline(
    lab: Lab, tmp_path: Path
) -> None:
    gateway = lab.gateway.copy(tmp_path, DRAIN)
    for upstream in lab.upstreams:
        upstream.script = _endless_on_sticky
    with gateway.serving(), RawClient(gateway.port) as stream:
        stream.send(STREAM)
        assert stream.socket.recv(65_536).startswith(b"HTTP/1.1 200")
        process = gateway.process
        assert process is not None
        with Load(gateway.port, PLAIN, 100, 8).running() as load:
            time.sleep(0.3)
            told = time.monotonic()
            process.send_signal(signal.SIGTERM)
            said = eventually(lambda: _status(gateway, "/ready") == 503, seconds=0.5)
            served = request(gateway.port, "GET", "/plain")
            assert (served.status, served.get("connection")) == (200, "close")
            time.sleep(max(0.0, told + 0.8 - time.monotonic()))
        assert stream.socket.recv(65_536)
        _read_to_the_end(stream.socket)
        ended = time.monotonic() - told
        code = process.wait(30)
        gateway.process = None
    assert figures("SIGTERM", load.outcomes, received=sum(lab.received("/plain")) - 1).errors == 0
    assert (code, said < 0.3) == (0, True)
    assert 2.8 < ended < 7


def test_replacing_the_workers_loses_nothing(lab: Lab) -> None:
    process = lab.gateway.process
    assert process is not None
    with lab.load(PLAIN).running() as load:
        time.sleep(0.3)
        replace_workers(lab.gateway, seconds=30)
    found = figures("SIGHUP", load.outcomes, received=sum(lab.received("/plain")))
    assert found.errors == 0
    usual = os.getpriority(os.PRIO_PROCESS, process.pid)
    assert {_priorities(pid) for pid in workers_of(process.pid)} == {frozenset([usual])}
    control_plane = control_plane_of(process.pid)
    assert _priorities(control_plane) == {usual + CONTROL_PLANE_NICE}
    if os.geteuid() == 0:
        eventually(lambda: os.sched_getscheduler(control_plane) == os.SCHED_IDLE, seconds=20)


def _read_to_the_end(stream: socket.socket) -> None:
    with suppress(ConnectionResetError):
        while stream.recv(65_536):
            pass


def _priorities(pid: int) -> frozenset[int]:
    threads = Path(f"/proc/{pid}/task").iterdir()
    return frozenset(os.getpriority(os.PRIO_PROCESS, int(each.name)) for each in threads)


def test_a_worker_that_is_killed_is_replaced_and_another_one_checks(lab: Lab) -> None:
    process = lab.gateway.process
    assert process is not None
    workers = workers_of(process.pid)
    victim = min(workers)
    os.kill(victim, signal.SIGKILL)
    eventually(lambda: len(workers_of(process.pid) - {victim}) == len(workers), seconds=20)
    lab.kill(0)
    address = lab.proxies[0].url
    eventually(lambda: 0.0 in lab.metric("gateway_instance_healthy", address), seconds=5)


def _status(gateway: GatewayProcess, target: str) -> int:
    return request(gateway.port, "GET", target).status
