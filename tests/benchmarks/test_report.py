"""The page of the benchmarks says what was measured, and leaves alone what was not."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from benchmarks import load, report
from benchmarks.facts import (
    Curve,
    LatencyRow,
    Memory,
    Peer,
    Point,
    Sample,
    Setup,
    Steady,
    Throughput,
    Workload,
)
from benchmarks.machine import CannotRun

PAGE = Path(__file__).resolve().parents[2] / "docs" / "benchmarks.md"
WRK = """
Running 1s test @ http://127.0.0.1:1/api/item
  Thread Stats   Avg      Stdev     Max   +/- Stdev
    Latency    14.03ms    2.10ms  40.00ms   90.00%
  Latency Distribution
     50%   850.00us
     99%    1.20s
  4552 requests in 1.00s, 5.50MB read
  Socket errors: connect 0, read 2, write 0, timeout 1
  Non-2xx or 3xx responses: 4
Requests/sec:   4551.50
Transfer/sec:      5.50MB
"""


def samples(*rates: float, failed: int = 0) -> list[Sample]:
    return [Sample(rate, 1.0, 2.0, cpu_us=50.0, failed=failed) for rate in rates]


def compared(name: str, ours: Sequence[float], theirs: Sequence[float]) -> str:
    found = {"gateway": samples(*ours), name: samples(*theirs)}
    sizes = {each: Memory(100.0, 180.0) for each in found}
    return report.throughput_section(Throughput(Workload.FULL, found, sizes))


def row(section: str, name: str) -> list[str]:
    lines = (line.strip("| ").split(" | ") for line in section.splitlines())
    return next(cells for cells in lines if cells[0] == name)


def latency(name: str, *p99: float, label: str = "half of its maximum") -> LatencyRow:
    through = [Steady(1000.0, 990.0, 1.0, each) for each in p99]
    return LatencyRow(name, label, through, [Steady(1000.0, 1000.0, 0.4, 1.0)] * len(p99))


def test_a_section_is_replaced_and_what_is_around_it_stays() -> None:
    page = "by hand\n<!-- full: written by make bench -->\nold\n<!-- full: end -->\nby hand too\n"
    replaced = report.replace_section(page, "full", "new\n")
    assert replaced == page.replace("old", "new")


@pytest.mark.parametrize("page", ["", "<!-- full: end --><!-- full: written by make bench -->"])
def test_a_page_without_both_markers_in_order_is_refused(page: str) -> None:
    with pytest.raises(ValueError, match="needs"):
        report.replace_section(page, "full", "new")


def test_the_page_of_this_project_has_every_section() -> None:
    page = PAGE.read_text("utf-8")
    for section in report.SECTIONS:
        assert "measured" in report.replace_section(page, section, "measured")


def test_the_ratio_is_that_of_the_medians_and_its_spread_that_of_the_rounds() -> None:
    section = compared("Envoy", ours=(100.0, 300.0, 200.0), theirs=(100.0, 100.0, 400.0))
    assert row(section, "Envoy")[1:5] == ["100", "100 to 400", "2.00", "0.50 to 3.00"]


@pytest.mark.parametrize(("ours", "verdict"), [(130.0, "reached"), (129.0, "missed")])
def test_an_aim_is_reached_or_missed(ours: float, verdict: str) -> None:
    assert row(compared("Envoy", [ours], [100.0]), "Envoy")[5] == f"≥ 1.3: {verdict}"


def test_memory_is_that_of_the_worker_and_all_is_beside_it() -> None:
    assert row(compared("Envoy", [1.0], [1.0]), "gateway")[8] == "100 (180 in all)"


def test_failed_requests_of_all_rounds_are_shown() -> None:
    found = Throughput(Workload.PLAIN, {"a": samples(1.0, 2.0, failed=3)}, {"a": Memory(1.0, 1.0)})
    assert row(report.throughput_section(found), "a")[9] == "6"


def test_an_absent_peer_keeps_its_row_and_the_reason_stays_in_one_cell() -> None:
    found = Throughput(Workload.PLAIN, {}, {}, {"Caddy": "no such\nfile | here"})
    assert "| Caddy | absent: no such file \\| here |" in report.throughput_section(found)


def test_the_set_up_names_versions_absences_and_a_busy_machine() -> None:
    peers = [Peer("nginx", "1.22.1", configurations=("a.conf",)), Peer("Envoy", absent="gone")]
    section = report.setup_section(Setup({"kernel": "6.1"}, peers, busy=True))
    assert row(section, "nginx")[1] == "1.22.1"
    assert row(section, "Envoy")[1] == "absent: gone"
    assert "its numbers mean nothing" in section


def test_added_latency_is_what_direct_does_not_explain() -> None:
    section = report.latency_section([latency("gateway", 3.0, 4.0, 8.0)])
    cells = row(section, "half of its maximum")
    assert cells[4:7] == ["0.60", "3.00", "2.00 to 7.00"]


def test_added_p99_is_held_against_envoys() -> None:
    section = report.latency_section([latency("gateway", 4.0), latency("Envoy", 3.0)])
    assert "gateway / Envoy: 1.50 (aim ≤ 1.5: reached)" in section


@pytest.mark.parametrize(("ours", "envoy"), [(0.5, 3.0), (4.0, 1.0)])
def test_added_p99_that_noise_made_negative_reaches_no_aim(ours: float, envoy: float) -> None:
    section = report.latency_section([latency("gateway", ours), latency("Envoy", envoy)])
    assert "nothing follows" in section
    assert "reached" not in section


def test_a_curve_is_held_to_its_first_point_and_shows_only_what_it_has() -> None:
    points = [Point("10", samples(200.0)), Point("10,000", samples(190.0), Memory(140.0, 200.0))]
    section = report.curves_section([Curve("Routes", "Full.", points)])
    assert row(section, "10,000")[3] == "0.95"
    assert row(section, "10,000")[6] == "140"
    assert "MB/s" not in section


def test_what_wrk_prints_becomes_numbers() -> None:
    sample = load.read_wrk(WRK, cpu_seconds=4.552)
    assert sample == Sample(4551.5, 0.85, 1200.0, 1000.0, 7, 5.5 * 2**20)


def test_what_is_no_result_of_wrk_is_refused() -> None:
    with pytest.raises(CannotRun, match="unable to connect"):
        load.read_wrk("unable to connect to 127.0.0.1:1")
