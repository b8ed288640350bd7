from collections.abc import Sequence
from typing import Protocol

from xdist.workermanage import WorkerController

class Scheduling(Protocol):
    @property
    def nodes(self) -> list[WorkerController]: ...
    def add_node_collection(self, node: WorkerController, collection: Sequence[str]) -> None: ...
    def schedule(self) -> None: ...
