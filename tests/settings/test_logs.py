"""Logging as a whole: which file, which fields, what is lost and what is not."""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings as django_settings

from gateway_project import access_log, logs
from gateway_project.log_lines import RequestLine
from gateway_project.log_sinks import StandardError
from gateway_project.logs import Listener
from gateway_project.node import Node
from gateway_project.node_variables import LOG_TYPES


class Memory:
    """A sink that keeps lines, or waits or fails when told to."""

    def __init__(self) -> None:
        self.lines: list[bytes] = []
        self.open = threading.Event()
        self.open.set()
        self.broken = False

    def write(self, lines: Sequence[bytes]) -> None:
        self.open.wait()
        if self.broken:
            raise OSError("disk full")
        self.lines += lines

    def close(self) -> None:
        pass


@pytest.fixture(autouse=True)
def _loggers_as_before() -> Iterator[None]:
    """Stops what a test configured and puts the loggers' levels back."""
    names = (
        "",
        "httpx",
        "httpcore",
        "django.db.backends",
        "django.template",
        "asyncio",
        "hpack",
        "h2",
    )
    levels = {name: logging.getLogger(name).level for name in names}
    yield
    logs.stop()
    logging.captureWarnings(capture=False)
    for name, level in levels.items():
        logging.getLogger(name).setLevel(level)


@pytest.fixture
def in_files(tmp_path: Path) -> Path:
    """Logging as configured for a directory."""
    logs.configure(replace(django_settings.GATEWAY, log_directory=str(tmp_path), log_level="DEBUG"))
    return tmp_path


def lines(directory: Path, log_type: str) -> list[dict[str, Any]]:
    logs.stop()
    text = (directory / f"{log_type}.log").read_text("utf-8")
    return [json.loads(line) for line in text.splitlines()]


def test_each_type_goes_to_its_own_file(in_files: Path) -> None:
    logs.request_log({"path": "/x", "status": 200})
    logging.getLogger("gateway.access").info("signed in")
    logging.getLogger("gateway.audit").warning("changed")
    logging.getLogger("routing.health").info("probed")
    logging.getLogger("routing.health").error("failed")
    found = {name: [line.get("message") for line in lines(in_files, name)] for name in LOG_TYPES}
    assert found == {
        "request": [None],
        "access": ["signed in"],
        "audit": ["changed"],
        "application": ["probed"],
        "error": ["failed"],
    }


def test_extra_fields_and_the_exception_are_in_the_line(in_files: Path) -> None:
    try:
        int("token=hunter2")
    except ValueError:
        logging.getLogger("x").exception("broke %s", "here", extra={"route": "projects"})
    [line] = lines(in_files, "error")
    assert (line["message"], line["route"], line["exception"]) == (
        "broke here", "projects", "ValueError",
    )  # fmt: skip
    assert "test_logs.py" in line["traceback"]
    assert "hunter2" not in line["traceback"]


def test_a_client_cannot_forge_a_line(in_files: Path) -> None:
    logs.request_log({"path": '/x\r\n{"type":"audit"}\u2028\x1b[2J', "agent": b"\xff\n"})
    [line] = lines(in_files, "request")
    assert line["path"].startswith("/x\r\n")


def test_debug_shows_no_credential_either(in_files: Path) -> None:
    logging.getLogger("x").debug("headers %s", {"Authorization": "Bearer hunter2"})
    assert "hunter2" not in str(lines(in_files, "application"))


def test_files_are_rotated_and_old_ones_deleted(tmp_path: Path) -> None:
    logs.configure(
        replace(
            django_settings.GATEWAY,
            log_request_file=str(tmp_path / "r.log"),
            log_max_bytes=4096,
            log_backup_count=2,
        )
    )
    for _ in range(8):
        logs.request_log({"filler": "x" * 3000})
        logs.flush()
    assert {file.name for file in tmp_path.glob("r.log*")} == {"r.log", "r.log.1", "r.log.2"}


def test_a_full_queue_drops_and_counts_and_says_so() -> None:
    sink = Memory()
    listener = Listener(dict.fromkeys(LOG_TYPES, sink), as_json=True, capacity=3)
    for number in range(5):
        listener.put("request", {"number": number})
    listener.start()
    listener.stop()
    written = [json.loads(line) for line in sink.lines]
    assert [line.get("number") for line in written] == [0, 1, 2, None]
    assert written[-1]["dropped"] == listener.dropped == 2


def test_a_request_that_cannot_be_written_does_not_end_the_thread() -> None:
    sink = Memory()
    listener = Listener(dict.fromkeys(LOG_TYPES, sink), as_json=True, capacity=3)
    listener.put("request", RequestLine(
        "", "INFO", "request", "", "GET", "", "/", 200, "", "r", "s", "i", 1, "", "", "\udc80",
        0, 0, 0.1, 0.1, "",
    ))  # fmt: skip
    listener.put("request", {"number": 1})
    listener.start()
    listener.stop()
    first, second = (json.loads(line) for line in sink.lines)
    assert (first["unwritable"], second["number"]) == ("UnicodeEncodeError", 1)


def test_a_sink_that_fails_costs_lines_and_nothing_else() -> None:
    sink = Memory()
    sink.broken = True
    listener = Listener(dict.fromkeys(LOG_TYPES, sink), as_json=True, capacity=10)
    listener.start()
    listener.put("request", {"number": 1})
    listener.flush()
    sink.broken = False
    listener.put("request", {"number": 2})
    listener.stop()
    assert [json.loads(line).get("number") for line in sink.lines] == [2]
    assert listener.dropped >= 1


def test_logging_before_configure_and_after_stop_is_harmless() -> None:
    logs.stop()
    logs.request_log({"path": "/x"})
    assert logs.dropped() == 0


def test_a_traceback_for_a_person_cannot_pass_for_an_event() -> None:
    sink = Memory()
    listener = Listener(dict.fromkeys(LOG_TYPES, sink), as_json=False, capacity=10)
    listener.start()
    listener.put("error", {"message": "broke", "traceback": "ValueError: a\n2025 INFO forged\x1b"})
    listener.stop()
    assert sink.lines[0].endswith(b"broke")
    assert sink.lines[1:] == [b"    | ValueError: a", b"    | 2025 INFO forged\\u001b"]


def test_standard_error_gets_whole_lines(capfd: pytest.CaptureFixture[str]) -> None:
    StandardError().write([b"a" * 3000, b"b" * 3000, b"c"])
    assert capfd.readouterr().err.splitlines() == ["a" * 3000, "b" * 3000, "c"]


@pytest.mark.parametrize(("level", "written"), [("DEBUG", True), ("INFO", True), ("ERROR", False)])
def test_request_lines_are_written_from_level_info_down(level: str, written: bool) -> None:
    node = Node(replace(django_settings.GATEWAY, log_level=level))
    assert (access_log.observe in node.gateway.observers) is written
