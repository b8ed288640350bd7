"""Shared metrics lie in memory, in a directory that is the gateway's own."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from gateway_project import metric_files


@pytest.fixture
def memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(metric_files, "_MEMORY", tmp_path)
    monkeypatch.setenv("PROMETHEUS_MULTIPROC_DIR", "")
    return tmp_path


def _place(var: Path) -> Path:
    metric_files.prepare(var)
    return Path(os.environ["PROMETHEUS_MULTIPROC_DIR"])


def test_two_gateways_have_two_directories_and_leave_none(memory: Path, tmp_path: Path) -> None:
    one, other = _place(tmp_path / "one"), _place(tmp_path / "other")
    assert one != other
    assert {one.parent, other.parent} == {memory}
    metric_files.remove()
    assert not other.exists()
    assert one.exists()


def test_what_an_earlier_run_left_is_removed(memory: Path, tmp_path: Path) -> None:
    left = _place(tmp_path / "one") / "counter_1.db"
    left.write_bytes(b"old")
    _place(tmp_path / "one")
    assert not left.exists()


def test_a_name_that_somebody_else_took_is_not_used(memory: Path, tmp_path: Path) -> None:
    mine = _place(tmp_path / "one")
    mine.rmdir()
    mine.symlink_to(tmp_path)
    assert _place(tmp_path / "one") == tmp_path / "one" / "metrics"
    mine.unlink()
    mine.mkdir()
    mine.chmod(0o777)
    assert _place(tmp_path / "one") == tmp_path / "one" / "metrics"


def test_without_such_a_place_they_lie_in_the_var_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(metric_files, "_MEMORY", tmp_path / "missing")
    monkeypatch.setenv("PROMETHEUS_MULTIPROC_DIR", "")
    assert _place(tmp_path / "one") == tmp_path / "one" / "metrics"
    metric_files.remove()
    assert (tmp_path / "one" / "metrics").exists()
