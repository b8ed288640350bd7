"""The demo backends: project, auth, ecs and dashboard services on 127.0.0.1:9001-9004.

``python -m demo.backends [FIRST_PORT]`` serves all four in one process until SIGINT or SIGTERM.
Each answers its paths with JSON that names the service and repeats what the gateway vouched for;
``?delay=SECONDS`` (at most 30) makes an answer slow, to see timeouts at work.
"""

from __future__ import annotations

import asyncio
import json
import re
import signal
import sys
import threading
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import parse_qs

import uvicorn

Scope = dict[str, Any]
Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]

FIRST_PORT = 9001
_LONGEST_DELAY = 30.0

SERVICES: dict[str, tuple[str, ...]] = {
    "project-service": (r"/projects", r"/projects/[^/]+"),
    "auth-service": (r"/auth/(?:login|logout|register|refresh)",),
    "ecs-service": (r"/ecs", r"/ecs/[^/]+"),
    "dashboard-service": (r"/dashboard",),
}
"""Service name to the paths it answers, in the order of their ports."""

_TOLD = (
    "x-user-id",
    "x-consumer",
    "x-roles",
    "x-permissions",
    "x-auth-method",
    "x-request-id",
)


class Backend:
    """One demo service as an ASGI application."""

    def __init__(self, name: str, paths: tuple[str, ...]) -> None:
        self.name = name
        self._paths = re.compile("|".join(f"(?:{path})" for path in paths))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer ``/health`` and the service's own paths; 404 for the rest."""
        if scope["type"] != "http":
            return
        size = await _drain(receive)
        delays = parse_qs(scope["query_string"].decode("latin-1")).get("delay", ["0"])
        await asyncio.sleep(min(_LONGEST_DELAY, float(delays[0])))
        if scope["path"] == "/health":
            await _answer(send, 200, {"status": "ok", "service": self.name})
        elif self._paths.fullmatch(scope["path"]):
            await _answer(send, 200, self._report(scope, size))
        else:
            await _answer(send, 404, {"service": self.name, "error": "no such page"})

    def _report(self, scope: Scope, size: int) -> dict[str, Any]:
        headers = {
            key.decode("latin-1"): value.decode("latin-1") for key, value in scope["headers"]
        }
        return {
            "service": self.name,
            "method": scope["method"],
            "path": scope["path"],
            "received_bytes": size,
            "gateway_says": {name: headers[name] for name in _TOLD if name in headers},
        }


async def _drain(receive: Receive) -> int:
    size = 0
    while True:
        message = await receive()
        size += len(message.get("body", b""))
        if not message.get("more_body"):
            return size


async def _answer(send: Send, status: int, content: dict[str, Any]) -> None:
    body = json.dumps(content).encode()
    headers = [
        (b"content-type", b"application/json"),
        (b"content-length", str(len(body)).encode()),
    ]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


@contextmanager
def serving(first_port: int = FIRST_PORT) -> Iterator[None]:
    """Serve the backends from *first_port* on, each in a thread of its own."""
    servers = [
        uvicorn.Server(
            uvicorn.Config(
                Backend(name, paths),
                host="127.0.0.1",
                port=port,
                log_level="warning",
                lifespan="off",
                ws="none",
            )
        )
        for port, (name, paths) in enumerate(SERVICES.items(), start=first_port)
    ]
    threads = [threading.Thread(target=server.run) for server in servers]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        for server in servers:
            server.should_exit = True
        for thread in threads:
            thread.join()


def main() -> None:
    """Serve until a signal."""
    first_port = int(sys.argv[1]) if len(sys.argv) > 1 else FIRST_PORT
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    with serving(first_port):
        stop.wait()


if __name__ == "__main__":
    main()
