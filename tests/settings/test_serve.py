"""What ``manage.py`` refuses, seen from outside: one line, a code, no traceback."""

from __future__ import annotations

import fcntl
import subprocess
import sys
from pathlib import Path

MANAGE = Path(__file__).resolve().parents[2] / "manage.py"
Environment = dict[str, str]


def manage(environment: Environment, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, MANAGE, *arguments],
        env=environment, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip


def refused(done: subprocess.CompletedProcess[str]) -> str:
    """The one line a refusal consists of."""
    assert done.returncode == 1
    [line] = done.stderr.splitlines()
    return line


def test_a_bad_value_is_one_line(gateway_environment: Environment) -> None:
    gateway_environment["MAX_BODY_BYTES"] = "10MB"
    line = refused(manage(gateway_environment, "migrate"))
    assert line == "MAX_BODY_BYTES=10MB: whole number from 0 to 9007199254740992"


def test_an_option_of_serve_is_checked_like_its_variable(gateway_environment: Environment) -> None:
    line = refused(manage(gateway_environment, "serve", "--port", "http"))
    assert line == "PORT=http: whole number from 1 to 65535"


def test_no_secret_no_start(gateway_environment: Environment) -> None:
    gateway_environment["SECRET_KEY"] = ""
    assert refused(manage(gateway_environment, "serve")).startswith("SECRET_KEY=: ")


def test_several_workers_without_redis_are_refused(gateway_environment: Environment) -> None:
    line = refused(manage(gateway_environment, "serve", "--workers", "2"))
    assert "2 workers and no Redis" in line
    assert "RATE_LIMIT_PER_WORKER=true" in line


def test_pending_migrations_are_refused_with_the_command_to_run(
    gateway_environment: Environment,
) -> None:
    line = refused(manage(gateway_environment, "serve"))
    assert "python manage.py migrate" in line


def test_several_workers_are_allowed_limits_of_their_own(gateway_environment: Environment) -> None:
    gateway_environment["RATE_LIMIT_PER_WORKER"] = "true"
    line = refused(manage(gateway_environment, "serve", "--workers", "2"))
    assert "python manage.py migrate" in line


def test_half_of_tls_is_refused(gateway_environment: Environment) -> None:
    assert "belong together" in refused(manage(gateway_environment, "serve", "--tls-cert", "x"))


def test_two_gateways_do_not_share_a_directory(gateway_environment: Environment) -> None:
    directory = Path(gateway_environment["VAR_DIRECTORY"])
    directory.mkdir()
    with (directory / "serve.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        line = refused(manage(gateway_environment, "serve"))
    assert line.startswith(f"VAR_DIRECTORY={directory}: ")


def test_rules_between_settings_stop_the_start(gateway_environment: Environment) -> None:
    done = manage(gateway_environment, "serve", "--deployment-mode", "cluster")
    assert done.returncode == 1
    assert "(gateway.E001)" in done.stderr
    assert "Traceback" not in done.stderr


def test_help_needs_no_settings(gateway_environment: Environment) -> None:
    gateway_environment["SECRET_KEY"] = ""
    done = manage(gateway_environment, "serve", "--help")
    assert done.returncode == 0
    assert "--init-db" in done.stdout
