"""``python -m benchmarks``: measure, and write ``docs/benchmarks.md``.

A run of everything writes the page section by section, as each is done. A quick or partial run
prints instead, unless ``--output`` names a page. Ctrl-C and SIGTERM stop every server.
"""

from __future__ import annotations

import argparse
import os
import platform
import signal
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from types import FrameType
from typing import NoReturn

from benchmarks import comparing, curves, gateway, report
from benchmarks.comparing import Effort
from benchmarks.facts import OURS, Curve, Setup, Workload
from benchmarks.installing import install_packages
from benchmarks.machine import PROJECT, CannotRun, Cores, Processes, two_cores
from benchmarks.peers import PEERS
from benchmarks.surroundings import Surroundings, surround

PAGE = PROJECT / "docs" / "benchmarks.md"
MEASUREMENTS = ("throughput", "latency", "curves")
_QUICK_PEERS = (OURS, "nginx", "Envoy")
_BUSY_LOAD = 0.5


@dataclass(frozen=True, slots=True)
class Plan:
    """What is measured and where it is written; no page: it is printed."""

    names: tuple[str, ...]
    measurements: tuple[str, ...]
    effort: Effort
    page: Path | None

    def write(self, section: str, text: str) -> None:
        """Put *text* into its section."""
        if self.page is None:
            print(f"\n## {section}\n\n{text}\n", flush=True)
            return
        page = self.page.read_text("utf-8")
        self.page.write_text(report.replace_section(page, section, text), "utf-8")


def main() -> int:
    """Measure what the command line asks for; 1 when something needed cannot be had."""
    options = _options(sys.argv[1:])
    signal.signal(signal.SIGTERM, _interrupt)
    if options.blank:
        _blank(Path(options.output or PAGE))
        return 0
    plan = _plan(options)
    install_packages()
    try:
        _run(plan, two_cores())
    except CannotRun as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("interrupted; every server was stopped", file=sys.stderr)
        return 130
    return 0


def _interrupt(_signal: int, _frame: FrameType | None) -> NoReturn:
    raise KeyboardInterrupt


def _run(plan: Plan, cores: Cores) -> None:
    setup = _setup(plan, cores)
    with (
        tempfile.TemporaryDirectory(prefix="gateway-bench-") as directory,
        Processes(Path(directory)) as processes,
    ):
        around = surround(processes, cores)
        plan.write("setup", report.setup_section(setup))
        for workload in Workload:
            _compare(plan, workload, around)
        if "curves" in plan.measurements:
            _curves(plan, around)


def _compare(plan: Plan, workload: Workload, around: Surroundings) -> None:
    """All peers at one workload, then stopped; latency belongs to the full one."""
    with_latency = workload is Workload.FULL and "latency" in plan.measurements
    if "throughput" not in plan.measurements and not with_latency:
        return
    chosen = [peer for peer in PEERS if peer.name in plan.names]
    targets, absent = comparing.start_all(workload, chosen, around, ours=OURS in plan.names)
    sessions = [target.session for target in targets]
    found = comparing.without_the_lost(
        targets,
        absent,
        lambda: comparing.throughput(workload, targets, absent, around, plan.effort),
    )
    plan.write(workload, report.throughput_section(found))
    if with_latency:
        rows = comparing.without_the_lost(
            targets, absent, lambda: comparing.latency(found, targets, around, plan.effort)
        )
        plan.write("latency", report.latency_section(rows))
    for session in sessions:
        around.processes.stop(session)


def _curves(plan: Plan, around: Surroundings) -> None:
    done: list[Curve] = []
    for curve in curves.curves(around, plan.effort):
        done.append(curve)
        plan.write("curves", report.curves_section(done))


def _setup(plan: Plan, cores: Cores) -> Setup:
    load = os.getloadavg()[0]
    machine = {
        "measured": f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC",
        "processor": f"{_processor()}, {os.cpu_count()} cores",
        "kernel": platform.release(),
        "Python": platform.python_version(),
        "cores": f"peer on {cores.measured}; wrk, upstream (nginx) and Redis on {cores.rest}",
        "rounds": f"{plan.effort.rounds} of {plan.effort.seconds:g} s, alternating, each after a "
        "warm-up; `wrk -t1 -c64`",
        "load average before": f"{load:.2f}",
    }
    peers = [gateway.describe()] if OURS in plan.names else []
    peers += [peer.describe() for peer in PEERS if peer.name in plan.names]
    return Setup(machine, peers, busy=load > _BUSY_LOAD)


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text("utf-8").splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def _blank(page: Path) -> None:
    text = page.read_text("utf-8")
    for section in report.SECTIONS:
        text = report.replace_section(text, section, report.NOT_YET)
    page.write_text(text, "utf-8")


def _plan(options: argparse.Namespace) -> Plan:
    names = tuple(options.only or (_QUICK_PEERS if options.quick else _names()))
    measurements = tuple(options.measure or (MEASUREMENTS[:2] if options.quick else MEASUREMENTS))
    rounds = options.rounds or (2 if options.quick else 5)
    seconds = options.seconds or (3.0 if options.quick else 10.0)
    partial = options.quick or options.only
    page = Path(options.output) if options.output else None if partial else PAGE
    return Plan(names, measurements, Effort(rounds, seconds), page)


def _names() -> tuple[str, ...]:
    return (OURS, *(peer.name for peer in PEERS))


def _options(words: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument(
        "--quick", action="store_true", help="2 rounds of 3 s; gateway, nginx, Envoy; no curves"
    )
    parser.add_argument(
        "--only", action="append", choices=_names(), help="this peer (may be repeated)"
    )
    parser.add_argument("--measure", action="append", choices=MEASUREMENTS)
    parser.add_argument("--rounds", type=int, help="default 5")
    parser.add_argument("--seconds", type=float, help="of one measurement, default 10")
    parser.add_argument("--output", help="the page to write (default docs/benchmarks.md)")
    parser.add_argument(
        "--blank", action="store_true", help="measure nothing: every section says so"
    )
    return parser.parse_args(words)


if __name__ == "__main__":
    sys.exit(main())
