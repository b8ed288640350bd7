"""A transport without a socket: what is written to it, and what was asked of it."""

from __future__ import annotations

import asyncio
from typing import Any

import uvicorn
from uvicorn.server import ServerState

from proxying.bindings.edge import EdgeProtocol
from tests.wire.edges import Application, ScriptedGateway


class Wire(asyncio.Transport):
    """Records; a test plays the socket."""

    def __init__(self) -> None:
        super().__init__()
        self.written = b""
        self.unsent = 0
        """What ``get_write_buffer_size`` says."""
        self._reading = True
        self.closed = False
        self.aborted = False

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return default

    def write(self, data: Any) -> None:
        assert not self.closed
        self.written += bytes(data)

    def get_write_buffer_size(self) -> int:
        return self.unsent

    def paused(self) -> bool:
        """Whether nothing is taken off the socket."""
        return not self._reading

    def pause_reading(self) -> None:
        self._reading = False

    def resume_reading(self) -> None:
        self._reading = True

    def can_write_eof(self) -> bool:
        return False

    def is_closing(self) -> bool:
        return self.closed

    def close(self) -> None:
        self.closed = True

    def abort(self) -> None:
        self.aborted = self.closed = True


def connect(gateway: ScriptedGateway) -> tuple[EdgeProtocol, Wire]:
    """A connection of *gateway* in the running loop."""
    config = uvicorn.Config(
        Application(gateway), http=EdgeProtocol, interface="asgi3", proxy_headers=False,
        log_config=None,
    )  # fmt: skip
    config.load()
    protocol, wire = EdgeProtocol(config, ServerState(), {}), Wire()
    protocol.connection_made(wire)
    return protocol, wire


async def settle(turns: int = 20) -> None:
    """Let everything happen that waits for nothing from outside."""
    for _ in range(turns):
        await asyncio.sleep(0)
