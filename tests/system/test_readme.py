"""Every command of the README does what it says."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.django_settings import ENVIRONMENT
from tests.servers import find_free_port
from tests.support.commands import manage
from tests.support.process import PROJECT

SECRETS = {name: ENVIRONMENT[name] for name in ("SECRET_KEY", "JWT_SECRET_KEY")}


def commands() -> list[str]:
    blocks = re.findall(r"```sh\n(.*?)```", (PROJECT / "README.md").read_text("utf-8"), re.DOTALL)
    lines = "".join(blocks).splitlines()
    return [line.partition("#")[0].strip() for line in lines]


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, dict[str, str]]]:
    """``make run`` on a port of its own: what it printed, and the environment it ran in."""
    directory = tmp_path_factory.mktemp("demo")
    environment = {
        **os.environ,
        **SECRETS,
        "ENV_FILE": os.devnull,
        "VAR_DIRECTORY": str(directory),
        "PORT": str(find_free_port()),
        "RATE_LIMIT_PER_WORKER": "true",
    }
    environment.pop("DJANGO_SETTINGS_MODULE", None)
    log = directory / "run.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            ["make", "run"], cwd=PROJECT, env=environment, stdout=output, stderr=output
        )
    deadline = time.monotonic() + 60
    while "Ctrl-C" not in log.read_text("utf-8"):
        if process.poll() is not None or time.monotonic() > deadline:
            pytest.fail(log.read_text("utf-8"))
        time.sleep(0.05)
    yield log.read_text("utf-8"), environment
    process.terminate()
    process.wait(30)


def test_make_run_prints_curl_lines_that_work(demo: tuple[str, dict[str, str]]) -> None:
    lines = [line.strip() for line in demo[0].splitlines() if line.strip().startswith("curl")]
    assert len(lines) == 3
    for line in lines:
        words = [*shlex.split(line), "--silent", "--fail"]
        assert b"gateway_says" in subprocess.run(words, capture_output=True, check=True).stdout


def test_make_run_shows_no_log_before_its_lines(demo: tuple[str, dict[str, str]]) -> None:
    assert "logger=gateway.audit" not in demo[0].partition("Ctrl-C")[0]


# `serve` does not end; the other tests of this directory start it.
ENDING = [line for line in commands() if "manage.py" in line and "serve" not in line]


@pytest.mark.parametrize("command", ENDING)
def test_a_command_of_the_readme_works(
    command: str, demo: tuple[str, dict[str, str]], tmp_path: Path
) -> None:
    words = shlex.split(command)
    assert words[:2] == [".venv/bin/python", "manage.py"]
    (tmp_path / "gateway.yaml").write_text("services: {readme: {}}\n", "utf-8")
    done = manage(demo[1], *words[2:], working=tmp_path)
    assert done.returncode == 0, done.stderr


def test_the_two_commands_are_targets_of_make() -> None:
    targets = re.findall(r"^(\w+):", (PROJECT / "Makefile").read_text("utf-8"), re.MULTILINE)
    for command in commands():
        if command.startswith("make "):
            assert command.split()[1] in targets
