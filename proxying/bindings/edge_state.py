"""What uvicorn holds of a server, for the edge.

Leans on uvicorn alone: a worker loads it before the settings by which it chooses the data plane.
"""

from __future__ import annotations

from typing import Any

from uvicorn.server import ServerState


class EdgeState(ServerState):
    """uvicorn's state of a server, and whether it lets go of its clients."""

    parting = False

    def part(self) -> None:
        """From now on every answer asks its client to close, on new connections too."""
        self.parting = True
        connections: set[Any] = self.connections  # edges, where uvicorn names its own classes
        for connection in tuple(connections):
            connection.part()
