"""The settings of this process: environment variables, typed, each failing by name.

``variables`` declares them, ``env_files`` reads the files; here the sources are put in order
(process environment, file, default of the environment, default) and every value is parsed once.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

from gateway_project import env_files
from gateway_project.declaring import Declaration, SettingsError, allowed, parse
from gateway_project.node_variables import DEVELOPMENT_KEY
from gateway_project.variables import Variables

__all__ = [
    "Settings",
    "SettingsError",
    "get_available_environments",
    "get_settings",
    "reload_settings",
]

_KNOWN_SECRETS: Final = frozenset(
    {
        "",
        DEVELOPMENT_KEY,
        "your_secret_key",
        "your-secret-key",
        "changeme",
        "change-me",
        "secret",
    }
)
_OLD_JAEGER_PORT: Final = 6831
_OTLP_PORT: Final = 4318


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings(Variables):
    """Every variable in lower case, and what follows from several of them."""

    environment: str
    """``default``, ``dev`` or ``prod``."""
    env_file: Path | None
    """The file that was read, if any."""
    undeclared: tuple[str, ...] = ()
    """Names in that file that no declaration knows: perhaps misspelt."""

    @property
    def is_cluster_mode(self) -> bool:
        """Whether this node is one of several."""
        return self.cluster_enabled or self.deployment_mode == "cluster"

    @property
    def node_name(self) -> str:
        """What this node was called; empty: nothing was chosen."""
        return self.node_id or (
            self.cluster_node_id if self.is_cluster_mode else self.single_instance_id
        )

    @property
    def redis_cluster_nodes_list(self) -> list[str]:
        """Redis Cluster nodes as ``host:port``."""
        return list(self.redis_cluster_nodes)

    @property
    def mysql_cluster_nodes_list(self) -> list[str]:
        """MySQL nodes as ``host:port``."""
        return list(self.mysql_cluster_nodes)

    @property
    def mysql_read_replicas_list(self) -> list[str]:
        """MySQL read replicas as ``host:port``."""
        return list(self.mysql_cluster_read_replicas)

    @property
    def has_redis(self) -> bool:
        """Whether state is shared through Redis."""
        return bool(self.redis_url or self.redis_host or self.redis_cluster_enabled)

    @property
    def uses_shared_secret(self) -> bool:
        """Whether tokens are signed with JWT_SECRET_KEY."""
        return self.jwt_algorithm.startswith("HS")

    @property
    def listen_host(self) -> str:
        """The address ``serve`` binds."""
        return self.host if self.is_cluster_mode else self.single_instance_host or self.host

    @property
    def listen_port(self) -> int:
        """The port ``serve`` binds."""
        return self.port if self.is_cluster_mode else self.single_instance_port or self.port

    @property
    def tracing_endpoint(self) -> str:
        """Where spans are posted (OTLP over HTTP)."""
        port = _OTLP_PORT if self.jaeger_agent_port == _OLD_JAEGER_PORT else self.jaeger_agent_port
        return self.jaeger_endpoint or f"http://{self.jaeger_agent_host}:{port}/v1/traces"

    def log_file(self, log_type: str) -> str:
        """The file lines of *log_type* go to; empty: standard error."""
        named: str = getattr(self, f"log_{log_type}_file")
        if named or not self.log_directory:
            return named
        return str(Path(self.log_directory) / f"{log_type}.log")


@lru_cache(maxsize=8)
def get_settings(env_name: str | None = None, env_file_path: str | None = None) -> Settings:
    """The settings of *env_name*, else of ``ENVIRONMENT``; read once, see :func:`reload_settings`.

    *env_file_path*, else ``ENV_FILE``, is read instead of the environment's own file.
    Raises :class:`SettingsError` naming the variable and what is allowed.
    """
    process = os.environ
    named = env_name or process.get("ENVIRONMENT", "")
    path = _file(env_file_path or process.get("ENV_FILE", ""), env_files.environment_named(named))
    file = env_files.read(path) if path else {}
    environment = env_files.environment_named(named or file.get("ENVIRONMENT", ""))
    declared = env_files.declarations()
    values: dict[str, Any] = {
        name: _value(name.upper(), kind, declaration, (process, file), environment)
        for name, (kind, declaration) in declared.items()
    }
    if values["debug"]:
        for name in ("secret_key", "jwt_secret_key"):
            values[name] = values[name] or DEVELOPMENT_KEY
    values["var_directory"] = env_files.PROJECT_DIRECTORY / values["var_directory"]
    settings = Settings(
        environment=environment, env_file=path, undeclared=_undeclared(file), **values
    )
    _refuse_known_secrets(settings)
    return settings


def reload_settings(env_name: str | None = None) -> Settings:
    """Read everything again."""
    get_settings.cache_clear()
    return get_settings(env_name)


def get_available_environments() -> list[str]:
    """The environments that have a file of their own."""
    return env_files.environments_with_a_file()


def _file(asked: str, environment: str) -> Path | None:
    if asked:
        return Path(asked)
    for path in (env_files.file_of(environment), env_files.file_of("default")):
        if path.is_file():
            return path
    return None


def _value(
    name: str,
    kind: object,
    declaration: Declaration,
    sources: tuple[Mapping[str, str], ...],
    environment: str,
) -> object:
    for source in sources:
        text = _text(name, declaration, source)
        if text is None:
            continue
        if text == "":
            break
        try:
            return parse(text, kind, declaration)
        except ValueError:
            shown = "(not shown)" if declaration.secret else ascii(text)[1:-1]
            raise SettingsError(f"{name}={shown}: {allowed(kind, declaration)}") from None
    return declaration.by_environment.get(environment, declaration.default)


def _text(name: str, declaration: Declaration, source: Mapping[str, str]) -> str | None:
    """The text of a variable in *source*, or of the file its ``NAME_FILE`` points to."""
    file = source.get(f"{name}_FILE", "") if declaration.secret else ""
    if not file:
        return source.get(name)
    if source.get(name):
        raise SettingsError(f"{name}_FILE={file}: not together with {name}; keep one of them")
    try:
        return Path(file).read_text("utf-8").removesuffix("\n")
    except (OSError, UnicodeDecodeError):
        raise SettingsError(f"{name}_FILE={file}: path of a readable UTF-8 text file") from None


def _undeclared(file: Mapping[str, str]) -> tuple[str, ...]:
    known = {"ENVIRONMENT", "ENV_FILE"}
    for name, (_, declaration) in env_files.declarations().items():
        known.add(name.upper())
        if declaration.secret:
            known.add(f"{name.upper()}_FILE")
    return tuple(sorted(file.keys() - known))


def _refuse_known_secrets(settings: Settings) -> None:
    if settings.debug:
        return
    secrets = {"SECRET_KEY": settings.secret_key}
    if settings.uses_shared_secret:
        secrets["JWT_SECRET_KEY"] = settings.jwt_secret_key
    for name, value in secrets.items():
        if value.strip().lower() in _KNOWN_SECRETS or value.startswith("django-insecure-"):
            raise SettingsError(
                f"{name}={'(a known example)' if value else ''}: a random secret while DEBUG is "
                "off; `python manage.py create_env` writes a file that has one"
            )
