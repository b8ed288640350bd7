"""What is counted on the hot path arrives in Prometheus as if it had been counted there."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from runtime.tally import CountTally, LevelTally, SpreadTally, flush

BOUNDS = (0.1, 1.0)


def test_a_counter_gets_what_has_gathered_once() -> None:
    registry = CollectorRegistry()
    tally = CountTally(Counter("c", "c", registry=registry))
    tally.inc()
    tally.inc()
    flush()
    flush()
    assert registry.get_sample_value("c_total") == 2


def test_a_gauge_follows_the_level() -> None:
    registry = CollectorRegistry()
    tally = LevelTally(Gauge("g", "g", registry=registry))
    tally.level += 3
    flush()
    tally.level -= 1
    flush()
    assert registry.get_sample_value("g") == 2


def test_a_histogram_reads_as_if_observed_directly() -> None:
    tallied, direct = CollectorRegistry(), CollectorRegistry()
    tally = SpreadTally(Histogram("h", "h", registry=tallied, buckets=BOUNDS), BOUNDS)
    histogram = Histogram("h", "h", registry=direct, buckets=BOUNDS)
    for amount in (0.05, 0.1, 0.5, 1.0, 7.0):
        tally.observe(amount)
        histogram.observe(amount)
    flush()
    for name, labels in (("h_sum", {}), ("h_count", {}), ("h_bucket", {"le": "0.1"}),
                         ("h_bucket", {"le": "1.0"}), ("h_bucket", {"le": "+Inf"})):  # fmt: skip
        assert tallied.get_sample_value(name, labels) == direct.get_sample_value(name, labels)
    assert b"h_bucket" in generate_latest(tallied)
