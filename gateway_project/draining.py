"""Stopping without losing a request: the server of one worker, and the supervisor of all.

A node that is told to stop says so at ``/ready`` at once, goes on accepting while balancers take
notice, tells clients to close their connections, and gives what runs its time. A worker that is
replaced stops accepting at once, because its successor accepts from the same socket already.
Leans on uvicorn's ``Server`` and ``Multiprocess``.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import socket
import time
from collections.abc import Callable
from types import FrameType
from typing import TYPE_CHECKING, Any

import uvicorn
from uvicorn.config import STARTUP_FAILURE
from uvicorn.supervisors import Multiprocess
from uvicorn.supervisors.multiprocess import Process

from gateway_project.metric_sums import drop_gauges
from gateway_project.scheduling import favour_requests, start_gently
from proxying.bindings.edge_state import EdgeState

if TYPE_CHECKING:
    from proxying.bindings.edge import EdgeProtocol
    from proxying.fastpath.engine import FastPath

logger = logging.getLogger(__name__)

_LINGER_SECONDS = 2.0
"""How long a replaced worker waits for clients to send on connections it would rather close."""
_LOOK_SECONDS = 0.05
_ALIVE_SECONDS = 0.5
_START_SECONDS = 120.0
"""For a new worker to serve: it may wait for a database that hangs before it does without."""
_RETIRE = signal.SIGUSR2
_STOPPING = frozenset((signal.SIGTERM, signal.SIGINT))


class DrainingConfig(uvicorn.Config):
    """uvicorn's configuration, and for how many seconds a stopping node still accepts."""

    drain_accept_seconds: float = 0.0


class DrainingServer(uvicorn.Server):
    """One worker's server."""

    def __init__(self, config: DrainingConfig) -> None:
        super().__init__(config)
        self.server_state: EdgeState = EdgeState()
        self._accept_seconds = config.drain_accept_seconds
        self._stopped_by = 0
        self._fast_path: FastPath | None = None

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Be ready for the supervisor's signal too; where there is a fast path, it accepts."""
        favour_requests()
        tls = self.config.is_ssl
        ours = sockets is not None and (tls or self.config.loaded_app.is_fast)
        await super().startup([] if ours else sockets)
        if ours and self.started:
            await (self._listen if tls else self._start_fast_path)(sockets or [])
        signal.signal(_RETIRE, self.handle_exit)

    async def _start_fast_path(self, sockets: list[socket.socket]) -> None:
        for sock in sockets:
            sock.setblocking(False)
            sock.listen(self.config.backlog)
        try:
            self._fast_path = self.config.loaded_app.start_fast_path(sockets, self._connection)
        except OSError:
            logger.exception("the fast path cannot be started; requests go without")
            await self._listen(sockets)
        self.server_state.fast_path = self._fast_path

    async def _listen(self, sockets: list[socket.socket]) -> None:
        """Accept here, as uvicorn does where there is no fast path. A client has as long for its
        handshake (uvicorn: a minute) as for a head.
        """
        loop = asyncio.get_running_loop()
        tls = self.config.ssl
        patience = self.config.loaded_app.gateway.bounds.patience
        self.servers += [
            await loop.create_server(
                self._connection,
                sock=sock,
                backlog=self.config.backlog,
                ssl=tls,
                ssl_handshake_timeout=None if tls is None else patience.header,
            )
            for sock in sockets
        ]

    def _connection(self) -> EdgeProtocol:
        make: Any = self.config.http_protocol_class
        made: EdgeProtocol = make(self.config, self.server_state, self.lifespan.state)
        return made

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """A signal to stop: from now on ``/ready`` says so, unless only this worker goes."""
        if self._fast_path is not None:
            self._fast_path.leave_off()
        if sig == _RETIRE:
            self.should_exit = True
        else:
            super().handle_exit(sig, frame)
            self.config.loaded_app.drain()
            if sig == signal.SIGTERM:
                self.server_state.part()
        # The first one counts: after a Ctrl-C the supervisor's SIGTERM follows.
        self._stopped_by = self._stopped_by or sig

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Let go of clients before the sockets are closed."""
        if self._fast_path is not None:
            self.server_state.fast_path = None
            await self._fast_path.retire()
            if self._stopped_by == signal.SIGTERM:
                await self._listen(sockets or [])
        if self._stopped_by == signal.SIGTERM:
            await self._part(self._accept_seconds)
        elif self._stopped_by == _RETIRE:
            for server in self.servers:
                server.close()
            await self._part(_LINGER_SECONDS, until_alone=True)
        await super().shutdown(sockets)

    async def _part(self, seconds: float, *, until_alone: bool = False) -> None:
        """Answer what comes for *seconds*, each connection closing after its next answer."""
        end = time.monotonic() + seconds
        self.server_state.part()
        while time.monotonic() < end and not self.force_exit:
            if until_alone and not self.server_state.connections:
                return
            await asyncio.sleep(_LOOK_SECONDS)


class _Worker(Process):
    """A process that runs a :class:`DrainingServer`."""

    config: DrainingConfig

    @property
    def server(self) -> uvicorn.Server:
        """Made in the worker."""
        if self._server is None:
            self._server = DrainingServer(self.config)
        return self._server

    def retire(self) -> None:
        """Tell it to end once its clients have let go."""
        if self.process.pid is not None and self.process.is_alive():
            os.kill(self.process.pid, _RETIRE)


class Workers(Multiprocess):
    """The workers of one node: started again when they die, replaced one by one on SIGHUP."""

    def __init__(
        self,
        config: DrainingConfig,
        sockets: list[socket.socket],
        on_stop: Callable[[], None] = lambda: None,
    ) -> None:
        super().__init__(config, sockets)
        self._on_stop = on_stop
        self._retiring: list[_Worker] = []

    @property
    def failed(self) -> bool:
        """Whether it ended because a worker could not start."""
        return any(process.exitcode == STARTUP_FAILURE for process in self.processes)

    def run(self) -> None:
        """Keep the workers running until told to stop, then wait for them."""
        self.init_processes()
        looked_at = time.monotonic()
        while not self.should_exit.wait(_LOOK_SECONDS):
            self.handle_signals()
            if time.monotonic() >= looked_at + _ALIVE_SECONDS:
                self._bury()
                self.keep_subprocess_alive()
                looked_at = time.monotonic()
        self._on_stop()
        self.terminate_all()
        self.join_all()
        for process in self._retiring:
            process.join()
        logger.info("all workers have ended")

    def init_processes(self) -> None:
        """Start as many workers as are configured."""
        for _ in range(self.processes_num):
            self.processes.append(self._new_worker())

    def keep_subprocess_alive(self) -> None:
        """Replace workers that have died or hang; give up when one cannot start at all."""
        for index, process in enumerate(self.processes):
            if process.is_alive(timeout=self.config.timeout_worker_healthcheck):
                continue
            process.kill()
            process.join()
            self._forget(process)
            if process.exitcode == STARTUP_FAILURE:
                logger.error("worker %s failed to start, the gateway stops", process.pid)
                self.should_exit.set()
                return
            logger.error("worker %s ended with code %s", process.pid, process.exitcode)
            self.processes[index] = self._new_worker()

    def restart_all(self) -> None:
        """Replace one worker after the other, each once its successor serves."""
        for index, old in enumerate(self.processes):
            new = self._new_worker()
            start_gently(new.process.pid or 0)
            if not self._serves(new):
                logger.error("a new worker did not start to serve; the old ones stay")
                new.kill()
                new.join()
                return
            self.processes[index] = new
            if isinstance(old, _Worker):
                old.retire()
                self._retiring.append(old)

    def _serves(self, worker: _Worker) -> bool:
        """Wait until *worker* serves; ``False`` when it does not, or all are to stop."""
        end = time.monotonic() + _START_SECONDS
        while time.monotonic() < end and worker.process.is_alive():
            if not _STOPPING.isdisjoint(self.signal_queue):
                return False
            if worker.is_ready(timeout=1):
                return True
            time.sleep(_LOOK_SECONDS)
        return False

    def _new_worker(self) -> _Worker:
        worker = _Worker(self.config, self.sockets)
        worker.start()
        return worker

    def _bury(self) -> None:
        ended = [each for each in self._retiring if not each.process.is_alive()]
        for process in ended:
            self._retiring.remove(process)
            self._forget(process)

    def _forget(self, process: Process) -> None:
        """Drop the gauges of a worker that has ended, so that no sum counts them."""
        if process.pid is not None:
            drop_gauges(process.pid)
