"""Structured logs: five types, one listener thread, a bounded queue.

Whoever logs pays for an append; formatting, redaction and writing happen in the listener thread,
in batches. A full queue drops lines and counts them rather than hold up a request.

Lines of the standard library arrive by logger name: ``gateway.request``, ``gateway.access``,
``gateway.audit``; every other one is ``application``, and from level ERROR on ``error``.
Fields are given as ``extra={...}``. The data path calls :func:`request_log`.
"""

from __future__ import annotations

import atexit
import logging
import sys
import threading
import time
import traceback
from collections import deque
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import msgspec

from gateway_project.env import Settings
from gateway_project.log_lines import (
    RequestLine,
    json_line,
    redact_text,
    request_line,
    text_line,
)
from gateway_project.log_sinks import Sink, StandardError
from gateway_project.node_variables import LOG_TYPES

_TYPE_OF_LOGGER: Final = {f"gateway.{name}": name for name in LOG_TYPES if name != "application"}
_OWN_ATTRIBUTES: Final = frozenset(vars(logging.makeLogRecord({}))) | {
    "message",
    "asctime",
    "taskName",
}
_NOT_FOR_LOGS: Final = frozenset({"request", "color_message", "status_code", "server_time"})
_COMMAND_PROGRAMS: Final = frozenset({"manage.py", "run.py"})
_GATHER_SECONDS: Final = 0.02
_STOP_SECONDS: Final = 5.0

Fields = Mapping[str, Any] | RequestLine | bytes
"""Of one event; or lines of JSON that are made already."""
Event = tuple[str, float, Fields]
_DECODER = msgspec.json.Decoder(dict[str, Any])


class Listener:
    """Owns the queue, the sinks and the thread between them."""

    def __init__(self, sinks: Mapping[str, Sink], *, as_json: bool, capacity: int) -> None:
        self._sinks = sinks
        self._line = json_line if as_json else text_line
        self._as_json = as_json
        self._capacity = capacity
        self._queue: deque[Event] = deque()
        self._something = threading.Event()
        self._stopping = threading.Event()
        self._awaited: deque[threading.Event] = deque()
        self._thread = threading.Thread(target=self._run, name="log-listener", daemon=True)
        self.dropped = 0
        """Lines lost so far: the queue was full or the sink refused them."""

    def start(self) -> None:
        """Begin to write."""
        self._thread.start()

    def put(self, log_type: str, fields: Fields) -> None:
        """Queue one event. Never blocks, never raises; *fields* must not change afterwards."""
        if len(self._queue) >= self._capacity:
            self.dropped += 1
            return
        self._queue.append((log_type, time.time(), fields))
        if not self._something.is_set():
            self._something.set()

    def flush(self) -> None:
        """Wait until everything queued so far is written, a few seconds at most."""
        written = threading.Event()
        self._awaited.append(written)
        self._something.set()
        written.wait(_STOP_SECONDS)

    def stop(self) -> None:
        """Write what is queued, then end the thread and close the sinks."""
        self._stopping.set()
        self._something.set()
        self._thread.join(_STOP_SECONDS)
        for sink in {id(sink): sink for sink in self._sinks.values()}.values():
            sink.close()

    def _run(self) -> None:
        reported = 0
        while not (self._stopping.is_set() and not self._queue):
            self._something.wait()
            # A batch takes one lock and one write; the wait is what makes it a batch.
            self._stopping.wait(_GATHER_SECONDS)
            self._something.clear()
            awaited = [self._awaited.popleft() for _ in range(len(self._awaited))]
            self._write_batch()
            if self.dropped != reported:
                self.put(
                    "error",
                    {"level": "ERROR", "message": "log lines dropped", "dropped": self.dropped},
                )
                self._write_batch()
                reported = self.dropped
            for written in awaited:
                written.set()

    def _write_batch(self) -> None:
        lines: dict[Sink, list[bytes]] = {}
        for _ in range(len(self._queue)):
            event = self._queue.popleft()
            lines.setdefault(self._sinks[event[0]], []).extend(self._lines(event))
        for sink, batch in lines.items():
            try:
                sink.write(batch)
            except (OSError, ValueError):
                self.dropped += len(batch)

    def _lines(self, event: Event) -> list[bytes]:
        log_type, moment, given = event
        stamp = datetime.fromtimestamp(moment, UTC).isoformat(timespec="milliseconds")
        try:
            return self._lines_of(log_type, stamp, given)
        except Exception as error:
            # One field that cannot be written must not end the thread.
            unwritable = type(error).__name__
            return [self._line({"time": stamp, "type": log_type, "unwritable": unwritable})]

    def _lines_of(self, log_type: str, stamp: str, given: Fields) -> list[bytes]:
        if isinstance(given, bytes):
            lines = given.splitlines()
            return lines if self._as_json else [self._line(_DECODER.decode(one)) for one in lines]
        if isinstance(given, RequestLine):
            given.time = stamp
            if self._as_json:
                return [request_line(given)]
            given = msgspec.structs.asdict(given)
        fields: dict[str, Any] = {"time": stamp, "level": "INFO", "type": log_type, **given}
        trace = "" if self._as_json else fields.pop("traceback", "")
        # For a person a traceback keeps its lines; the bar keeps them from passing for events.
        return [self._line(fields), *(_barred(line) for line in trace.splitlines())]


def _barred(line: str) -> bytes:
    return b"    | " + json_line({"": line})[5:-2].replace(b'\\"', b'"')


class _Handler(logging.Handler):
    """Turns a record of the standard library into an event."""

    def __init__(self, listener: Listener, quiet: frozenset[str]) -> None:
        super().__init__()
        self._listener = listener
        self._quiet = quiet
        """Types of which only warnings and worse are written."""

    def emit(self, record: logging.LogRecord) -> None:
        """Queue *record* with its text formatted now: its arguments may change later."""
        try:
            kind = log_type(record)
            if record.levelno >= logging.WARNING or kind not in self._quiet:
                self._listener.put(kind, _fields(record))
        except Exception:
            # Logging's own rule: a record that fails must not fail its caller.
            self.handleError(record)


def log_type(record: logging.LogRecord) -> str:
    """Which of the five logs *record* belongs to."""
    named = _TYPE_OF_LOGGER.get(record.name)
    if named is not None:
        return named
    return "error" if record.levelno >= logging.ERROR else "application"


def _fields(record: logging.LogRecord) -> dict[str, Any]:
    fields: dict[str, Any] = {
        "level": record.levelname,
        "logger": record.name,
        "message": record.getMessage(),
    }
    fields |= {
        name: value
        for name, value in vars(record).items()
        if name not in _OWN_ATTRIBUTES and name not in _NOT_FOR_LOGS
    }
    if record.exc_info and record.exc_info[1] is not None:
        error = record.exc_info[1]
        fields["exception"] = type(error).__name__
        fields["traceback"] = redact_text("".join(traceback.format_exception(error)))
    return fields


class _Process:
    """What one process has one of."""

    listener: Listener | None = None


_process = _Process()
_state = threading.Lock()


def configure(settings: Settings) -> None:
    """Send every log of this process where *settings* say; a second call replaces the first."""
    stop()
    with _state:
        listener = Listener(
            _sinks(settings),
            as_json=settings.log_format == "json",
            capacity=settings.log_queue_size,
        )
        _process.listener = listener
        listener.start()
        _install(_Handler(listener, _quiet(settings)), settings)


def configure_for_django(values: Mapping[str, Settings]) -> None:
    """What ``LOGGING_CONFIG`` names: Django calls it with ``LOGGING``."""
    configure(values["settings"])


def request_log(fields: Fields) -> None:
    """Write one line of the request log. Costs an append; does nothing before :func:`configure`.

    *fields* must not change afterwards.
    """
    listener = _process.listener
    if listener is not None:
        listener.put("request", fields)


def flush() -> None:
    """Wait until everything logged so far is written."""
    if _process.listener is not None:
        _process.listener.flush()


def dropped() -> int:
    """Lines this process lost since :func:`configure`."""
    return _process.listener.dropped if _process.listener is not None else 0


def stop() -> None:
    """Write what is queued and close the files. Logging after it goes nowhere."""
    with _state:
        listener, _process.listener = _process.listener, None
        if listener is None:
            return
        root = logging.getLogger()
        for handler in [each for each in root.handlers if isinstance(each, _Handler)]:
            root.removeHandler(handler)
        listener.stop()


def _quiet(settings: Settings) -> frozenset[str]:
    """What a command keeps from the operator's screen; it says itself what it did."""
    program, *words = sys.argv or [""]
    if Path(program).name not in _COMMAND_PROGRAMS or words[:1] in (["serve"], ["runserver"]):
        return frozenset()
    return frozenset(name for name in LOG_TYPES if not settings.log_file(name))


def _sinks(settings: Settings) -> dict[str, Sink]:
    standard_error = StandardError()
    return {
        name: _file(path, settings) if (path := settings.log_file(name)) else standard_error
        for name in LOG_TYPES
    }


def _file(path: str, settings: Settings) -> Sink:
    from gateway_project.log_files import RotatedFile

    return RotatedFile(path, settings.log_max_bytes, settings.log_backup_count)


def _install(handler: logging.Handler, settings: Settings) -> None:
    root = logging.getLogger()
    root.addHandler(handler)
    root.setLevel(settings.log_level)
    for name in ("django", "django.server", "uvicorn", "uvicorn.error"):
        logger = logging.getLogger(name)
        logger.handlers.clear()
        logger.propagate = True
    # These libraries' DEBUG shows headers, bodies and SQL parameters.
    for name in (
        "httpx",
        "httpcore",
        "django.db.backends",
        "django.template",
        "asyncio",
        "hpack",
        "h2",
    ):
        logging.getLogger(name).setLevel(max(logging.INFO, root.level))
    logging.captureWarnings(capture=True)


atexit.register(stop)
