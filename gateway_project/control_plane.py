"""The control-plane process of ``serve``: Django on a loopback port, kept running.

The data plane reaches it like any other upstream, so an admin page never slows a request (DESIGN
decision 5). The port is bound once, by the supervising process, and handed to every process that
follows: a control plane that crashed is replaced behind the same port. ``python -m
gateway_project.control_plane FD`` is that process.
"""

from __future__ import annotations

import logging
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Sequence
from typing import Final

import uvicorn

from gateway_project.env_files import PROJECT_DIRECTORY
from gateway_project.scheduling import CONTROL_PLANE_NICE, Background, collect_seldom

PORT_VARIABLE: Final = "GATEWAY_CONTROL_PLANE_PORT"
"""How workers are told where it listens; set by ``serve``, no setting of the operator's."""
APPLICATION: Final = "gateway_project.asgi:control_plane"

_PAUSE: Final = 1.0
_LOOK_SECONDS: Final = 0.2
_STOP_SECONDS: Final = 15.0

logger = logging.getLogger(__name__)


class ControlPlane:
    """Starts the process and starts it again whenever it ends; owns its socket and one thread.

    *command* is given the number of the socket's descriptor as its last word.
    """

    def __init__(
        self, port: int, command: Sequence[str] = (sys.executable, "-m", __name__)
    ) -> None:
        self._command = command
        self._socket = socket.create_server(("127.0.0.1", port))
        # Inherited by what is accepted. uvicorn takes an inherited socket for a Unix one, and
        # would leave an answer's second piece waiting 40 ms for the first to be acknowledged.
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._stopping = threading.Event()
        self._process: subprocess.Popen[bytes] | None = None
        self._spawning = threading.Lock()
        self._thread = threading.Thread(target=self._keep_running, name="control-plane")

    def start(self) -> None:
        """Tell this process's environment the port, and begin."""
        os.environ[PORT_VARIABLE] = str(self._socket.getsockname()[1])
        self._spawn()
        self._thread.start()

    def leave_off(self) -> None:
        """Do not start it again from now on: the gateway stops, perhaps told as a group."""
        self._stopping.set()

    def stop(self) -> None:
        """SIGTERM, wait for running requests, SIGKILL what is left."""
        self.leave_off()
        with self._spawning:
            process = self._process
        if process is not None:
            process.terminate()
            try:
                process.wait(_STOP_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
        self._thread.join()
        self._socket.close()

    def _spawn(self) -> None:
        descriptor = self._socket.fileno()
        with self._spawning:
            if self._stopping.is_set():
                return
            # Its standard input is this end of a pipe: when this process dies, it reads the end.
            self._process = subprocess.Popen(
                [*self._command, str(descriptor)],
                cwd=PROJECT_DIRECTORY,
                stdin=subprocess.PIPE,
                pass_fds=(descriptor,),
            )

    def _keep_running(self) -> None:
        while self._process is not None:
            with self._process as process:
                background = Background(process.pid)
                while process.poll() is None and not self._stopping.wait(_LOOK_SECONDS):
                    background.look()
                code = process.wait()
            if self._stopping.wait(_PAUSE):
                return
            logger.error("the control plane ended with code %d and is started again", code)
            try:
                self._spawn()
            except OSError:
                # No memory, no descriptors: perhaps the next time.
                logger.exception("the control plane could not be started")


def control_plane_port() -> int | None:
    """Where the control plane of this gateway listens; ``None``: Django is in this process."""
    text = os.environ.get(PORT_VARIABLE, "")
    return int(text) if text else None


def main() -> None:
    """Serve Django on the inherited socket until SIGTERM, or until the supervisor is gone."""
    collect_seldom()
    from gateway_project.env import get_settings

    settings = get_settings()
    os.nice(CONTROL_PLANE_NICE)
    threading.Thread(target=_end_with_supervisor, daemon=True).start()
    uvicorn.run(
        APPLICATION,
        fd=int(sys.argv[1]),
        lifespan="off",
        ws="none",
        server_header=False,
        access_log=False,
        log_config=None,
        timeout_graceful_shutdown=settings.drain_seconds,
        # Who is asking is what the data plane says: it is the only one to reach this port.
        proxy_headers=True,
        forwarded_allow_ips=["127.0.0.1", *settings.trusted_proxies],
    )


def _end_with_supervisor() -> None:
    # Not through sys.stdin: its lock, held by this thread, would fail the interpreter's end.
    while os.read(0, 1024):
        pass
    os.kill(os.getpid(), signal.SIGTERM)


if __name__ == "__main__":
    main()
