"""What is measured, as values: workloads, targets, samples and what a run has found. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

OURS = "gateway"
BODY_BYTES = 1024
PATH = "/api/item"


class Workload(StrEnum):
    """``PLAIN`` routes only; ``FULL`` adds key, limit, retry, breaker, JSON log and metrics."""

    PLAIN = "plain"
    FULL = "full"


@dataclass(frozen=True, slots=True)
class Target:
    """A running server that can be asked.

    ``session`` is the process that leads its session, ``aside`` a word in the command line of
    those of its processes that serve no request.
    """

    name: str
    port: int
    session: int
    key: str = field(default="", repr=False)
    aside: str = ""
    path: str = PATH
    body_bytes: int = BODY_BYTES


@dataclass(frozen=True, slots=True)
class Peer:
    """One row of the tables: what it is, or why it is absent."""

    name: str
    version: str = ""
    absent: str = ""
    note: str = ""
    configurations: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Sample:
    """One run of wrk. ``cpu_us`` is processor time of the target for each request; times in ms."""

    rate: float
    p50_ms: float
    p99_ms: float
    cpu_us: float = 0.0
    failed: int = 0
    bytes_per_second: float = 0.0


@dataclass(frozen=True, slots=True)
class Steady:
    """One run at a fixed rate: what was asked, what was answered, and how late (ms)."""

    asked: float
    answered: float
    p50_ms: float
    p99_ms: float
    failed: int = 0
    longest_ms: float = 0.0


@dataclass(frozen=True, slots=True)
class Memory:
    """Resident megabytes after the load: the largest process that serves, and all together."""

    worker_mb: float
    all_mb: float


@dataclass(frozen=True, slots=True)
class Throughput:
    """One workload: samples of every peer, in rounds, and memory after the last."""

    workload: Workload
    samples: Mapping[str, Sequence[Sample]]
    memory: Mapping[str, Memory]
    absent: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class LatencyRow:
    """A peer at one rate, in rounds, and the same rate straight to the upstream."""

    name: str
    label: str
    through: Sequence[Steady]
    direct: Sequence[Steady]


@dataclass(frozen=True, slots=True)
class Point:
    """One point of a curve: its samples in rounds, and memory and ceiling where they are known."""

    label: str
    samples: Sequence[Sample]
    memory: Memory | None = None
    direct: Sequence[Sample] = ()


@dataclass(frozen=True, slots=True)
class Curve:
    """The gateway alone over growing numbers; the first point is what the others are held to."""

    title: str
    setup: str
    points: Sequence[Point]


@dataclass(frozen=True, slots=True)
class Setup:
    """The machine and the run."""

    machine: Mapping[str, str]
    peers: Sequence[Peer]
    busy: bool
