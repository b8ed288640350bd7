"""What was measured, as Markdown between markers of ``docs/benchmarks.md``. Pure.

Each section has markers of its own: a run replaces what it measured and leaves the rest of the
page, sections written by hand too, as it is.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final

from benchmarks.facts import (
    OURS,
    Curve,
    LatencyRow,
    Peer,
    Point,
    Sample,
    Setup,
    Steady,
    Throughput,
    Workload,
)

SECTIONS: Final = ("setup", "plain", "full", "latency", "curves")
NOT_YET: Final = "Not yet measured: `make bench` on a quiet machine writes this section."
ASKED: Final[Mapping[tuple[str, str], float]] = {
    (Workload.FULL, "Envoy"): 1.3,
    (Workload.FULL, "Traefik"): 2.0,
    (Workload.FULL, "nginx+Lua"): 0.7,
    (Workload.FULL, "plain design"): 40.0,
    (Workload.PLAIN, "Envoy"): 1.8,
    (Workload.PLAIN, "nginx"): 0.5,
}
"""The least ratio gateway / peer that was set as the aim."""


def replace_section(page: str, name: str, text: str) -> str:
    """*page* with *text* between the markers of section *name*.

    Raises :class:`ValueError` when the page does not have both markers once, in order.
    """
    begin, end = f"<!-- {name}: written by make bench -->", f"<!-- {name}: end -->"
    if page.count(begin) != 1 or page.count(end) != 1 or page.index(begin) > page.index(end):
        raise ValueError(f"the page needs {begin!r} and {end!r} once each, in this order")
    before, _, rest = page.partition(begin)
    _, _, after = rest.partition(end)
    return f"{before}{begin}\n{text.strip()}\n{end}{after}"


def setup_section(setup: Setup) -> str:
    """The machine, and what each peer is."""
    warning = (
        "**The machine was busy when this run began: its numbers mean nothing.**\n\n"
        if setup.busy
        else ""
    )
    machine = _table(("", ""), ((name, value) for name, value in setup.machine.items()))
    peers = _table(
        ("peer", "version", "what it does in the full workload", "configuration"),
        (_peer_row(peer) for peer in setup.peers),
    )
    return f"{warning}{machine}\n\n{peers}"


def _peer_row(peer: Peer) -> tuple[str, ...]:
    links = ", ".join(
        f"[{name}](../benchmarks/configurations/{name})" for name in peer.configurations
    )
    return (
        peer.name,
        f"absent: {_cell(peer.absent)}" if peer.absent else peer.version,
        peer.note,
        links or "[plain_design.py](../benchmarks/plain_design.py)",
    )


def throughput_section(found: Throughput) -> str:
    """Medians and ratios; the ratio is that of the medians, its spread that of the rounds."""
    head = (
        *("peer", "requests/s", "min to max", "gateway / peer", "min to max", "aim"),
        *("p99 ms", "CPU µs/request", "worker MB", "failed"),
    )
    rows = [_throughput_row(found, name) for name in found.samples]
    rows += [(name, f"absent: {_cell(why)}", *[""] * 8) for name, why in found.absent.items()]
    return _table(head, rows)


def _throughput_row(found: Throughput, name: str) -> tuple[str, ...]:
    samples = found.samples[name]
    rates = [sample.rate for sample in samples]
    memory = found.memory[name]
    everything = f" ({memory.all_mb:,.0f} in all)" if memory.all_mb > memory.worker_mb else ""
    return (
        name,
        f"{statistics.median(rates):,.0f}",
        _spread(rates, _whole),
        *_ratio(found, name),
        f"{_median(samples, lambda sample: sample.p99_ms):.1f}",
        f"{_median(samples, lambda sample: sample.cpu_us):.0f}",
        f"{memory.worker_mb:,.0f}{everything}",
        f"{sum(sample.failed for sample in samples):,}",
    )


def _ratio(found: Throughput, name: str) -> tuple[str, str, str]:
    ours, theirs = found.samples.get(OURS, ()), found.samples[name]
    if name == OURS or not ours or not all(sample.rate for sample in theirs):
        return "", "", ""
    ratio = statistics.median(each.rate for each in ours) / statistics.median(
        each.rate for each in theirs
    )
    by_round = [mine.rate / other.rate for mine, other in zip(ours, theirs, strict=True)]
    aim = ASKED.get((found.workload, name))
    verdict = f"≥ {aim}: {'reached' if ratio >= aim else 'missed'}" if aim else ""
    return f"{ratio:.2f}", _spread(by_round, _hundredths), verdict


def latency_section(rows: Sequence[LatencyRow]) -> str:
    """What is added over direct: medians of the rounds."""
    head = ("rate", "peer", "asked/s", "answered/s", "p50 added ms", "p99 added ms", "min to max")
    table = _table((*head, "failed"), (_latency_row(row) for row in rows))
    return f"{table}\n\n{_latency_verdict(rows)}".strip()


def _latency_row(row: LatencyRow) -> tuple[str, ...]:
    added = _added_p99(row)
    return (
        row.label,
        row.name,
        f"{row.through[0].asked:,.0f}",
        f"{_median(row.through, lambda one: one.answered):,.0f}",
        f"{_median(row.through, _p50) - _median(row.direct, _p50):.2f}",
        f"{_median(row.through, _p99) - _median(row.direct, _p99):.2f}",
        _spread(added, _hundredths),
        f"{sum(one.failed for one in row.through):,}",
    )


def _latency_verdict(rows: Sequence[LatencyRow]) -> str:
    half = {row.name: row for row in rows if row.label.startswith("half")}
    if OURS not in half or "Envoy" not in half:
        return ""
    ours, envoy = (
        _median(half[name].through, _p99) - _median(half[name].direct, _p99)
        for name in (OURS, "Envoy")
    )
    if ours <= 0 or envoy <= 0:
        return "p99 at half of the maximum: lost in the noise of direct, so nothing follows."
    ratio = ours / envoy
    return (
        f"p99 added at half of its own maximum, gateway / Envoy: {ratio:.2f} "
        f"(aim ≤ 1.5: {'reached' if ratio <= 1.5 else 'missed'})."
    )


def _added_p99(row: LatencyRow) -> list[float]:
    return [one.p99_ms - direct.p99_ms for one, direct in zip(row.through, row.direct, strict=True)]


def _p50(one: Steady) -> float:
    return one.p50_ms


def _p99(one: Steady) -> float:
    return one.p99_ms


def curves_section(curves: Sequence[Curve]) -> str:
    """One table for each curve."""
    return "\n\n".join(f"### {curve.title}\n\n{curve.setup}\n\n{_curve(curve)}" for curve in curves)


def _curve(curve: Curve) -> str:
    head = ["", "requests/s", "min to max", "of the first", "p99 ms", "CPU µs/request"]
    optional: list[tuple[str, Callable[[Point], str]]] = [
        ("worker MB", lambda point: f"{point.memory.worker_mb:,.0f}" if point.memory else ""),
        ("MB/s", lambda point: _megabytes(point.samples) if point.direct else ""),
        ("MB/s direct", lambda point: _megabytes(point.direct) if point.direct else ""),
    ]
    shown = [
        (name, value) for name, value in optional if any(value(point) for point in curve.points)
    ]
    first = _median(curve.points[0].samples, lambda sample: sample.rate)
    rows = [
        (*_point(point, first), *(value(point) for _, value in shown), _failed(point.samples))
        for point in curve.points
    ]
    return _table((*head, *(name for name, _ in shown), "failed"), rows)


def _point(point: Point, first: float) -> tuple[str, ...]:
    rates = [sample.rate for sample in point.samples]
    median = statistics.median(rates)
    return (
        point.label,
        f"{median:,.0f}",
        _spread(rates, _whole),
        f"{median / first:.2f}" if first else "",
        f"{_median(point.samples, lambda sample: sample.p99_ms):.1f}",
        f"{_median(point.samples, lambda sample: sample.cpu_us):.0f}",
    )


def _failed(samples: Sequence[Sample]) -> str:
    return f"{sum(sample.failed for sample in samples):,}"


def _megabytes(samples: Sequence[Sample]) -> str:
    return f"{_median(samples, lambda sample: sample.bytes_per_second) / 2**20:,.1f}"


def _median(values: Sequence[Sample] | Sequence[Steady], fact: Callable[..., float]) -> float:
    return statistics.median(fact(value) for value in values)


def _spread(values: Sequence[float], written: Callable[[float], str]) -> str:
    return f"{written(min(values))} to {written(max(values))}"


def _whole(value: float) -> str:
    return f"{value:,.0f}"


def _hundredths(value: float) -> str:
    return f"{value:.2f}"


def _cell(text: str) -> str:
    return " ".join(text.replace("|", "\\|").split())


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
