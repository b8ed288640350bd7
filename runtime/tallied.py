"""What :mod:`runtime.tally` has counted, in all processes of a gateway, for prometheus_client."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import accumulate

import msgspec
from prometheus_client import Metric
from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString

from runtime import tally
from runtime.rows import read_all

_Sums = dict[tuple[str, ...], list[float]]


class TallyCollector(Collector):
    """Every counter and histogram of the hot path."""

    def describe(self) -> Iterable[Metric]:
        """Their names."""
        return [_metric(family, {}) for family in tally.families.values()]

    def collect(self) -> Iterator[Metric]:
        """Their sums over all rows: those of this process, or of all that share a directory."""
        directory = tally.shared_directory()
        rows = tally.own_rows().read() if directory is None else read_all(directory)
        sums: dict[str, _Sums] = {name: {} for name in tally.families}
        for key, numbers in rows:
            name, *values = msgspec.json.decode(key)
            if name in sums:
                held = sums[name].setdefault(tuple(values), [0.0] * len(numbers))
                for index, number in enumerate(numbers):
                    held[index] += number
        for name, family in tally.families.items():
            yield _metric(family, sums.pop(name))


def _metric(family: tally.Family, sums: _Sums) -> Metric:
    if isinstance(family, tally.SpreadTally):
        spread = HistogramMetricFamily(family.name, family.documentation, labels=family.labels)
        bounds = [*map(floatToGoString, family.bounds), "+Inf"]
        for values, (*counts, total) in sums.items():
            if any(counts):
                spread.add_metric(values, list(zip(bounds, accumulate(counts), strict=True)), total)
        return spread
    counter = CounterMetricFamily(family.name, family.documentation, labels=family.labels)
    for values, (count,) in sums.items():
        if count:
            counter.add_metric(values, count)
    return counter
