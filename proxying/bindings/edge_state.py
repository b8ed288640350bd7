"""What uvicorn holds of a server, for the edge.

Leans on uvicorn alone: a worker loads it before the settings by which it chooses the data plane.
"""

from __future__ import annotations

import asyncio
from typing import Any, Protocol

from uvicorn.server import ServerState


class TakesBack(Protocol):
    """The fast path."""

    def takes_back(self, returns: int) -> bool:
        """Whether it would take a connection that asked *returns* times for what it cannot do."""
        ...

    def take_back(self, transport: asyncio.Transport, returns: int) -> bool:
        """Whether it has taken an idle connection, which asked *returns* times for that."""
        ...


class EdgeState(ServerState):
    """uvicorn's state of a server, and whether it lets go of its clients."""

    parting = False
    fast_path: TakesBack | None = None

    def part(self) -> None:
        """From now on every answer asks its client to close, on new connections too."""
        self.parting = True
        connections: set[Any] = self.connections  # edges, where uvicorn names its own classes
        for connection in tuple(connections):
            connection.part()
