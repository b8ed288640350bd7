"""The peers, as a table: program, version, configurations, command.

All of them run one process or thread on one core and keep connections to the upstream open.
"""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from benchmarks.facts import Peer, Target, Workload
from benchmarks.machine import CannotRun, find_free_port, program, wait_until_answered
from benchmarks.surroundings import Surroundings

_LUA_MODULES = (
    Path("/usr/lib/nginx/modules/ngx_http_lua_module.so"),
    Path("/usr/share/lua/5.1/resty/core.lua"),
)
PLAIN, FULL = Workload.PLAIN, Workload.FULL


@dataclass(frozen=True, slots=True)
class Packaged:
    """A peer that is somebody else's program.

    ``command`` may name ``{config}``, ``{directory}`` and ``{port}``; the first file of a
    workload is the one the command is given. ``version`` returns the version or raises
    ``CannotRun``.
    """

    name: str
    version: Callable[[], str]
    files: Mapping[Workload, tuple[str, ...]]
    command: tuple[str, ...]
    note: str
    environment: Mapping[str, str] = field(default_factory=dict)
    uses_redis: bool = False

    def describe(self) -> Peer:
        """What the report says of it."""
        names = tuple(name for files in self.files.values() for name in files)
        try:
            return Peer(self.name, self.version(), note=self.note, configurations=names)
        except CannotRun as error:
            return Peer(self.name, absent=str(error), note=self.note, configurations=names)

    def start(self, workload: Workload, around: Surroundings) -> Target | None:
        """Start it for *workload*, or return ``None`` where it has none."""
        if workload not in self.files:
            return None
        self.version()
        directory = around.directory / f"{self.name}-{workload}".replace(" ", "-")
        directory.mkdir()
        port = find_free_port()
        paths = [around.write(name, directory, port) for name in self.files[workload]]
        values = {"config": paths[0] if paths else "", "directory": directory, "port": port}
        command = [word.format(**values) for word in self.command]
        command[0] = program(command[0])
        log = directory / "start.log"
        key = around.key if workload is FULL else ""
        environment = {
            **self.environment,
            **_told(around, workload, directory),
            "HOME": str(directory),
        }
        process = around.processes.start(command, around.cores.measured, log, environment)
        target = Target(self.name, port, process.pid, key)
        wait_until_answered(process, port, target.path, log, key)
        return target


def _told(around: Surroundings, workload: Workload, directory: Path) -> dict[str, str]:
    """What ``plain_design`` reads from its environment."""
    return {
        "BENCH_WORKLOAD": workload,
        "BENCH_UPSTREAMS": f"{around.shared['upstream_a']},{around.shared['upstream_b']}",
        "BENCH_REDIS_PORT": str(around.redis_port),
        "BENCH_KEY": around.key,
        "BENCH_LOG": str(directory / "access.log"),
    }


def _printed(pattern: str, *command: str) -> Callable[[], str]:
    def read() -> str:
        result = subprocess.run(
            [program(command[0]), *command[1:]], capture_output=True, text=True, check=False
        )
        found = re.search(pattern, result.stdout + result.stderr)
        if found is None:
            raise CannotRun(f"{' '.join(command)} did not say its version")
        return found[1]

    return read


_nginx_version = _printed(r"nginx/(\S+)", "nginx", "-v")


def _lua_version() -> str:
    for path in _LUA_MODULES:
        if not path.exists():
            raise CannotRun(f"{path.name} is not installed")
    package = _printed(r"Version: (?:\d+:)?(\S+)", "dpkg", "-s", "libnginx-mod-http-lua")
    return f"{_nginx_version()} with lua module {package()}"


def _plain_design_version() -> str:
    try:
        parts = [f"{name} {version(name)}" for name in ("fastapi", "uvicorn", "httpx", "redis")]
    except PackageNotFoundError as error:
        raise CannotRun(f"{error.name} is not installed") from None
    return ", ".join(parts)


_NGINX = ("nginx", "-e", "{directory}/error.log", "-c", "{config}")

PEERS = (
    Packaged(
        "nginx",
        _nginx_version,
        {PLAIN: ("nginx-plain.conf",), FULL: ("nginx-full.conf",)},
        _NGINX,
        "key by `map`, `limit_req` in memory, `proxy_next_upstream`, `max_fails`, `stub_status`",
    ),
    Packaged(
        "nginx+Lua",
        _lua_version,
        {FULL: ("nginx-lua-full.conf", "policies.lua")},
        _NGINX,
        "key and limit by hand in Lua: the gateway's own Redis script, one call for each request",
        uses_redis=True,
    ),
    Packaged(
        "HAProxy",
        _printed(r"version (\S+)", "haproxy", "-v"),
        {PLAIN: ("haproxy-plain.cfg",), FULL: ("haproxy-full.cfg",)},
        ("haproxy", "-db", "-f", "{config}"),
        "key by ACL, stick-table limit in memory, `retry-on`, `observe layer7`, exporter",
    ),
    Packaged(
        "Envoy",
        _printed(r"version: \w+/([\d.]+)", "envoy", "--version"),
        {PLAIN: ("envoy-plain.yaml",), FULL: ("envoy-full.yaml",)},
        (
            *("envoy", "-c", "{config}", "--concurrency", "1"),
            *("--disable-hot-restart", "--log-level", "error"),
        ),
        "`api_key_auth`, `local_ratelimit` in memory, retries, outlier detection, statistics",
    ),
    Packaged(
        "Traefik",
        _printed(r"Version:\s+(\S+)", "traefik", "version"),
        {
            PLAIN: ("traefik-plain.yaml", "traefik-plain-routes.yaml"),
            FULL: ("traefik-full.yaml", "traefik-full-routes.yaml"),
        },
        ("traefik", "--configFile={config}"),
        "key as part of the rule (it has no key check), limit in Redis, retry, circuit breaker",
        environment={"GOMAXPROCS": "1"},
        uses_redis=True,
    ),
    Packaged(
        "Caddy",
        _printed(r"v(\d\S+)", "caddy", "version"),
        {PLAIN: ("Caddyfile-plain",), FULL: ("Caddyfile-full",)},
        ("caddy", "run", "--adapter", "caddyfile", "--config", "{config}"),
        "key by matcher, **no limit** (it has none), retries, passive health, metrics",
        environment={"GOMAXPROCS": "1"},
    ),
    Packaged(
        "plain design",
        _plain_design_version,
        {PLAIN: (), FULL: ()},
        (
            *(sys.executable, "-m", "uvicorn", "benchmarks.plain_design:app"),
            *("--host", "127.0.0.1", "--port", "{port}"),
            *("--no-access-log", "--log-level", "error"),
        ),
        "the specification's design written plainly: one Redis call for each request, httpx",
        uses_redis=True,
    ),
)
