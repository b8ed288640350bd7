"""All metrics of a gateway as Prometheus reads them: of the library and of ``runtime.tally``."""

from __future__ import annotations

from prometheus_client import REGISTRY, CollectorRegistry

import proxying.metrics
import quotas.metrics
from gateway_project.metric_sums import sum_library
from runtime import tally
from runtime.tallied import TallyCollector

_NAMED_IN = (proxying.metrics, quotas.metrics)
"""Whoever tells of metrics need not have counted any."""
_tallied = TallyCollector()
REGISTRY.register(_tallied)


def registry() -> CollectorRegistry:
    """Of this process, or of all that share a directory."""
    if tally.shared_directory() is None:
        return REGISTRY
    sums = CollectorRegistry()
    sum_library(sums)
    sums.register(_tallied)
    return sums
