"""What ``manage.py`` refuses, seen from outside: one line, a code, no traceback."""

from __future__ import annotations

import fcntl
import socket
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings as django_settings

from gateway_project import serving
from gateway_project.env import SettingsError
from tests.servers import find_free_port
from tests.support.commands import manage_from_the_start as manage

Environment = dict[str, str]


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


@pytest.mark.parametrize(
    ("name", "value", "refusal"),
    [
        ("LOG_DIRECTORY", "/dev/null", "LOG_DIRECTORY=/dev/null: a directory that can be written"),
        ("LOG_AUDIT_FILE", "/", "LOG_AUDIT_FILE=/: a file that can be written"),
        ("VAR_DIRECTORY", "/dev/null", "VAR_DIRECTORY=/dev/null: a directory that can be written"),
    ],
)
def test_a_place_that_cannot_be_written_is_refused_by_name(
    gateway_environment: Environment, name: str, value: str, refusal: str
) -> None:
    gateway_environment[name] = value
    assert refused(manage(gateway_environment, "export")).startswith(refusal)


def test_a_port_that_cannot_be_had_is_refused_by_name() -> None:
    free = find_free_port()
    with socket.create_server(("127.0.0.1", 0)) as other:
        taken = other.getsockname()[1]
        for wrong, start in [
            ({"port": taken}, f"PORT={taken}: a port that is free at 127.0.0.1"),
            ({"admin_port": taken}, f"ADMIN_PORT={taken}: a port that is free"),
            ({"metrics_port": taken}, f"METRICS_PORT={taken}: a port that is free"),
            ({"metrics_port": free}, f"METRICS_PORT={free}: a port of its own; it is PORT already"),
            ({"host": "no host"}, "HOST=no host: an address or name of this machine"),
        ]:
            fields: dict[str, Any] = {"host": "127.0.0.1", "port": free, **wrong}
            settings = replace(django_settings.GATEWAY, single_instance_host="", **fields)
            with pytest.raises(SettingsError) as refusal:
                serving.try_ports(settings)
            assert str(refusal.value).startswith(start)


def test_options_are_not_abbreviated(gateway_environment: Environment) -> None:
    done = manage(gateway_environment, "serve", "--work", "2")
    assert done.returncode == 2
    assert "unrecognized arguments: --work" in done.stderr


def test_tls_files_that_cannot_be_used_are_refused(gateway_environment: Environment) -> None:
    line = refused(manage(gateway_environment, "serve", "--tls-cert", "/no", "--tls-key", "/no"))
    assert line.startswith("CommandError: --tls-cert /no --tls-key /no: PEM files")


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
