"""The same cases against Debian's nginx: ``python -m tests.conformance.against_nginx``.

Not part of the suite. Runs the directory twice, before the gateway and before an nginx configured
by hand (``nginx.conf``), and prints what each passes of the cases that mean something for both:
those that rest on our contract alone are skipped for nginx.
"""

from __future__ import annotations

import socket
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests import servers
from tests.conformance.conftest import HERE, OTHER_FRONT, Starter
from tests.conformance.front import Front
from tests.conformance.origin import Origin

_KEY = "gw_a-key-that-nginx-compares"


def _accepts(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@contextmanager
def nginx(directory: Path, origin: Origin, hanging: Origin, dead: int) -> Iterator[Front]:
    """nginx before the origins, as one process."""
    [program] = servers.require("nginx")
    port = servers.find_free_port()
    (directory / "routes").write_text((HERE / "nginx-routes.conf").read_text("utf-8"), "utf-8")
    text = (HERE / "nginx.conf").read_text("utf-8")
    path = directory / "nginx.conf"
    path.write_text(
        text.format(directory=directory, key=_KEY, port=port, origin=origin.port,
                    hanging=hanging.port, dead=dead),
        "utf-8",
    )  # fmt: skip
    command = [program, "-p", str(directory), "-c", str(path)]
    with servers.running(command, directory / "nginx.log", lambda: _accepts(port)):
        yield Front(port, _KEY, ours=False)


class Tally:
    """A pytest plugin that puts *starter* in the gateway's place and remembers every outcome."""

    def __init__(self, starter: Starter | None) -> None:
        self._starter = starter
        self.outcomes: dict[str, str] = {}

    def pytest_configure(self, config: pytest.Config) -> None:
        """Before the fixtures of the session ask."""
        if self._starter is not None:
            config.stash[OTHER_FRONT] = self._starter

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """One phase of one test."""
        if report.when == "call" or report.outcome != "passed":
            self.outcomes[report.nodeid] = report.outcome


def run(starter: Starter | None) -> dict[str, str]:
    """The outcome of every case, by its id."""
    tally = Tally(starter)
    pytest.main([str(HERE), "-q", "-p", "no:randomly", "--runxfail", "--tb=no", "-r", ""], [tally])
    return tally.outcomes


def main() -> None:
    """Run both and print a table and what either fails."""
    began = time.monotonic()
    ours, other = run(None), run(nginx)
    common = [name for name, outcome in other.items() if outcome != "skipped"]
    lines = [
        "| | cases | gateway | nginx |",
        "|---|---|---|---|",
        _row("all", list(ours), ours, {}),
        _row("meaningful for both", common, ours, other),
    ]
    lines += [
        _row(part, [name for name in common if _part(name) == part], ours, other)
        for part in sorted({_part(name) for name in common})
    ]
    for title, outcomes in (("gateway", ours), ("nginx", other)):
        lines += ["", f"Failed by {title}:"]
        lines += [f"- {_title(name)}" for name in outcomes if outcomes[name] == "failed"]
    sys.stdout.write("\n".join([*lines, "", f"{time.monotonic() - began:.0f} s", ""]))


def _part(name: str) -> str:
    return name.partition("::")[0].rpartition("test_")[2].removesuffix(".py")


def _title(name: str) -> str:
    _, _, test = name.partition("::")
    function, bracket, case = test.partition("[")
    return case.removesuffix("]") if bracket else function.removeprefix("test_").replace("_", " ")


def _row(title: str, names: list[str], ours: dict[str, str], other: dict[str, str]) -> str:
    passed = [sum(results.get(name) == "passed" for name in names) for results in (ours, other)]
    return f"| {title} | {len(names)} | {passed[0]} | {passed[1] if other else 'none'} |"


if __name__ == "__main__":
    main()
