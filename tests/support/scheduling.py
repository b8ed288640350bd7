"""Which tests run after one another: what is costly to start is started once, and stopped.

Files stay whole, as with ``--dist loadfile``, except that tests of several files that share a
running gateway or a database server go to one worker of a parallel run together.
"""

from __future__ import annotations

from collections.abc import Sequence
from fnmatch import fnmatch
from functools import cache
from typing import Final

import pytest
from xdist.scheduler import LoadScopeScheduling
from xdist.workermanage import WorkerController

_FAMILIES: Final = {
    "identity, on servers": (
        "tests/system/test_identity_[lft]*.py::*[[]servers[]]",
        "tests/system/test_identity_mariadb.py::*",
        "tests/system/test_identity_deadlocks.py::*",
        "tests/system/test_limits_records.py::*",
        "tests/settings/test_servers.py::*",
    ),
    "identity, embedded": ("tests/system/test_identity_[lft]*.py::*[[]embedded[]]",),
    "one gateway": ("tests/system/test_answers.py::*", "tests/system/test_upstream_view.py::*"),
    "conformance": ("tests/conformance/*",),
    "faults": ("tests/faults/*",),
    "http2": ("tests/http2/*",),
}
"""Node ids by the gateway or servers they share; the first that matches counts."""
_WAITING: Final = (
    *(name for name in _FAMILIES if name != "conformance"),
    "tests/system/*",
    "tests/upstream/*",
)
"""These wait for other processes most of the time."""


@cache
def unit(nodeid: str) -> str:
    """What is run by one worker together: a family of files, or a file."""
    for name, patterns in _FAMILIES.items():
        if any(fnmatch(nodeid, pattern) for pattern in patterns):
            return name
    return nodeid.partition("::")[0]


def together(items: Sequence[pytest.Item]) -> list[pytest.Item]:
    """*items* in their order, but those of one unit, and in it of one directory, in a row."""
    turn: dict[tuple[str, str], int] = {}
    first: dict[str, int] = {}
    for place, item in enumerate(items):
        first.setdefault(unit(item.nodeid), place)
        turn.setdefault(_place(item), place)
    return sorted(items, key=lambda item: (first[unit(item.nodeid)], turn[_place(item)]))


def _place(item: pytest.Item) -> tuple[str, str]:
    return unit(item.nodeid), str(item.path.parent)


def waits(name: str) -> bool:
    """Whether the unit called *name* leaves the processor to others most of the time."""
    return any(fnmatch(name, pattern) for pattern in _WAITING)


class FamilyScheduling(LoadScopeScheduling):
    """Half of the workers begin with what waits, the others with what computes.

    The longest first: of what waits these are the families, then the files of the fewest tests;
    of what computes, the files of the most.
    """

    def _split_scope(self, nodeid: str) -> str:
        return unit(nodeid)

    def _assign_work_unit(self, node: WorkerController) -> None:
        waiting = list(self.assigned_work).index(node) % 2 == 0

        def urgency(name: str) -> tuple[bool, bool, int]:
            number = len(self.workqueue[name])
            return waits(name) != waiting, name not in _FAMILIES, number if waits(name) else -number

        self.workqueue.move_to_end(min(self.workqueue, key=urgency), last=False)
        super()._assign_work_unit(node)
