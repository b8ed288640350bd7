"""What is counted on the hot path is told to Prometheus as if it had been counted there."""

from __future__ import annotations

import ctypes
import subprocess
import sys
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry, Gauge, Histogram

from runtime import rows, tally
from runtime.rows import Rows, read_all
from runtime.tallied import TallyCollector
from runtime.tally import CountTally, LevelTally, SpreadTally, flush

BOUNDS = (0.1, 1.0)


@pytest.fixture
def registry(monkeypatch: pytest.MonkeyPatch) -> CollectorRegistry:
    """Of what is counted in this test."""
    monkeypatch.setattr(tally, "families", {})
    monkeypatch.setattr(tally, "_made", [])
    registry = CollectorRegistry()
    registry.register(TallyCollector())
    return registry


def test_a_counter_has_what_was_counted_by_label(registry: CollectorRegistry) -> None:
    counter = CountTally("c_total", "Counts.", ("route", "code"))
    counter.inc("a", "")
    counter.inc("a", "")
    counter.inc('b"\n', "x")
    assert registry.get_sample_value("c_total", {"route": "a", "code": ""}) == 2
    assert registry.get_sample_value("c_total", {"route": 'b"\n', "code": "x"}) == 1
    assert registry.get_sample_value("c_total", {"route": "b", "code": "x"}) is None


def test_a_histogram_reads_as_if_observed_directly(registry: CollectorRegistry) -> None:
    direct = CollectorRegistry()
    tallied = SpreadTally("h", "h", ("route",), BOUNDS)
    histogram = Histogram("h", "h", ("route",), registry=direct, buckets=BOUNDS)
    for amount in (0.05, 0.1, 0.5, 1.0, 7.0):
        tallied.observe(amount, "a")
        histogram.labels("a").observe(amount)
    for name, le in (("h_sum", {}), ("h_count", {}), ("h_bucket", {"le": "0.1"}),
                     ("h_bucket", {"le": "1.0"}), ("h_bucket", {"le": "+Inf"})):  # fmt: skip
        labels = {"route": "a", **le}
        assert registry.get_sample_value(name, labels) == direct.get_sample_value(name, labels)


def test_a_gauge_follows_the_level() -> None:
    registry = CollectorRegistry()
    level = LevelTally(Gauge("g", "g", registry=registry))
    level.level += 3
    flush()
    level.level -= 1
    flush()
    assert registry.get_sample_value("g") == 2


def test_what_native_code_adds_is_counted_too(registry: CollectorRegistry) -> None:
    counter = CountTally("c_total", "Counts.", ("route",))
    counter.inc("a")
    ctypes.c_double.from_address(counter.address("a")).value += 3
    assert registry.get_sample_value("c_total", {"route": "a"}) == 4


def test_processes_that_share_a_directory_are_summed_those_that_ended_too(
    registry: CollectorRegistry, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PROMETHEUS_MULTIPROC_DIR", str(tmp_path))
    counter = CountTally("c_total", "Counts.", ("route",))
    counter.inc("a")
    code = (
        "from runtime.tally import CountTally\n"
        "CountTally('c_total', 'Counts.', ('route',)).inc('a')\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
    assert registry.get_sample_value("c_total", {"route": "a"}) == 2


def test_a_process_with_the_number_of_an_earlier_one_goes_on(tmp_path: Path) -> None:
    for amount in (1.0, 2.0):
        own = Rows(tmp_path / "1.rows")
        own.numbers[own.new(b"key", 2)] += amount
    assert list(read_all(tmp_path)) == [(b"key", (1.0, 0.0)), (b"key", (2.0, 0.0))]


def test_rows_without_room_are_told_of_and_harm_no_other(
    registry: CollectorRegistry, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rows, "_SIZE", 1024)
    told: list[int] = []
    monkeypatch.setattr(tally, "_losses", [lambda: told.append(1)])
    counter = CountTally("c_total", "Counts.", ("route",))
    for number in range(100):
        counter.inc(f"route-{number}")
    assert registry.get_sample_value("c_total", {"route": "route-0"}) == 1
    assert registry.get_sample_value("c_total", {"route": "route-99"}) is None
    assert 80 < len(told) < 100


def test_a_full_disk_costs_metrics_and_no_process(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    own = Rows(tmp_path / "1.rows")

    def refuse(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.posix_fallocate", refuse)
    places = {own.new(b"%d" % number, 16) for number in range(20_000)}
    assert own.lost == 20_000 - len(places) + 1
