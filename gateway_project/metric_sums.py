"""The metrics of all processes of one gateway as one: prometheus_client's part for it, with types.

The library leaves the parameters of these without types; here they are as their callers see them.
Imported only once :mod:`gateway_project.metric_files` has said where the files are.
"""

from __future__ import annotations

from collections.abc import Callable

from prometheus_client import CollectorRegistry
from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead

sum_library: Callable[[CollectorRegistry], object] = MultiProcessCollector
"""Let a registry collect the sums over all processes of what the library counts."""
drop_gauges: Callable[[int], None] = mark_process_dead
"""Forget the gauges of the process with this id."""
