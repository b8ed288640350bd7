"""The production server: uvicorn's supervisor around the gateway's ASGI application."""

from __future__ import annotations

import logging
import signal
import socket
import sys
from dataclasses import dataclass
from importlib import import_module
from types import FrameType
from typing import Final

import uvicorn
from prometheus_client import start_http_server
from uvicorn.config import STARTUP_FAILURE
from uvicorn.supervisors import ChangeReload

from gateway_project import metric_files
from gateway_project.control_plane import ControlPlane
from gateway_project.draining import DrainingConfig, Workers
from gateway_project.env import Settings, SettingsError
from gateway_project.env_files import PROJECT_DIRECTORY
from gateway_project.scheduling import collect_seldom

APPLICATION: Final = "gateway_project.worker:application"
EDGE: Final = "proxying.bindings.edge:EdgeProtocol"
"""By name: workers import it once they are processes of their own."""
_HUNG_SECONDS: Final = 15
"""Without a sign of life of a worker, after which it is replaced."""
logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Tls:
    """Paths of a PEM certificate chain and its key."""

    certificate: str
    key: str


class ServerConfig(DrainingConfig):
    """uvicorn's configuration, and a SIGTERM that ends a process in order.

    uvicorn raises the signal again after a graceful stop; with the default action the process
    would die before its last log lines are written.
    """

    def configure_logging(self) -> None:
        """Called by uvicorn first thing in every process, parent and workers."""
        collect_seldom()
        super().configure_logging()
        signal.signal(signal.SIGTERM, _exit)

    def load(self) -> None:
        """Settings first: by them a worker imports the compiled data plane or the sources."""
        import_module("gateway_project.settings")
        super().load()


def _exit(_signal: int, _frame: FrameType | None) -> None:
    sys.exit(0)


def server_config(
    settings: Settings, *, reload: bool = False, tls: Tls | None = None
) -> ServerConfig:
    """What uvicorn is to do for *settings*."""
    config = ServerConfig(
        app=APPLICATION,
        host=settings.listen_host,
        port=settings.listen_port,
        workers=settings.workers,
        loop="uvloop",
        http=EDGE,
        ws="none",
        lifespan="on",
        interface="asgi3",
        reload=reload,
        reload_dirs=[str(PROJECT_DIRECTORY)] if reload else None,
        server_header=False,
        date_header=False,
        proxy_headers=False,
        access_log=False,
        log_config=None,
        timeout_graceful_shutdown=settings.drain_seconds,
        ssl_certfile=tls.certificate if tls else None,
        ssl_keyfile=tls.key if tls else None,
        timeout_worker_healthcheck=_HUNG_SECONDS,
    )
    config.drain_accept_seconds = settings.drain_accept_seconds
    return config


def serve(config: ServerConfig, control_plane: ControlPlane) -> None:
    """Serve until told to stop. Exits with uvicorn's code when the application cannot start."""
    control_plane.start()
    try:
        if config.should_reload:
            server = uvicorn.Server(config)
            ChangeReload(config, target=server.run, sockets=[config.bind_socket()]).run()
        else:
            workers = Workers(
                config, sockets=[config.bind_socket()], on_stop=control_plane.leave_off
            )
            workers.run()
            if workers.failed:
                sys.exit(STARTUP_FAILURE)
    except KeyboardInterrupt:
        logger.info("stopped from the keyboard")
    finally:
        control_plane.stop()
        metric_files.remove()


def refusal(settings: Settings) -> str:
    """Why these settings cannot be served; empty when they can."""
    if settings.workers > 1 and not settings.has_redis and not settings.rate_limit_per_worker:
        return (
            f"{settings.workers} workers and no Redis: each worker would have limits and refresh "
            "tokens of its own. Set REDIS_URL, or RATE_LIMIT_PER_WORKER=true to accept that, or "
            "use --workers 1."
        )
    return ""


def try_ports(settings: Settings) -> None:
    """Raises :class:`SettingsError` for a port that cannot be had, or is given twice."""
    ports = {"PORT": (settings.listen_host, settings.listen_port)}
    if settings.admin_port:
        ports["ADMIN_PORT"] = ("127.0.0.1", settings.admin_port)
    if settings.metrics_port and settings.prometheus_enabled:
        ports["METRICS_PORT"] = (settings.listen_host, settings.metrics_port)
    taken: dict[int, str] = {}
    for name, (host, port) in ports.items():
        if port in taken:
            raise SettingsError(f"{name}={port}: a port of its own; it is {taken[port]} already")
        taken[port] = name
        try:
            _try_to_bind(host, port)
        except socket.gaierror as error:
            allowed = f"an address or name of this machine ({error.strerror})"
            raise SettingsError(f"HOST={host}: {allowed}") from None
        except OSError as error:
            allowed = f"a port that is free at {host} ({error.strerror})"
            raise SettingsError(f"{name}={port}: {allowed}") from None


def _try_to_bind(host: str, port: int) -> None:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as trial:
        trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        trial.bind((host, port))


def serve_metrics(settings: Settings) -> None:
    """Answer Prometheus on METRICS_PORT too, summed over all workers."""
    if settings.prometheus_enabled and settings.metrics_port:
        # Late: this module is imported before the settings, by which the data plane is chosen.
        exposition = import_module("gateway_project.exposition")
        start_http_server(settings.metrics_port, settings.listen_host, exposition.registry())
