"""Variables of the node itself: where it listens, whom it trusts, what it writes down.

``variables`` adds what it works with. See there for what a line means.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from gateway_project.declaring import Group, network, url_with

DEVELOPMENT_KEY: Final = "insecure-development-key-never-use-it-in-production"
"""The known value that is refused when DEBUG is off."""
LOG_TYPES: Final = ("request", "error", "access", "audit", "application")

_VAR: Final = Path("var")
_PORT: Final[dict[str, Any]] = {"minimum": 1, "maximum": 65535}
_SECONDS: Final[dict[str, Any]] = {"minimum": 0, "maximum": 86400}
_HTTP: Final[dict[str, Any]] = {
    "check": url_with("http", "https"),
    "rule": "http:// or https:// URL",
}
_KEY: Final[dict[str, Any]] = {"secret": True, "generated": True}

_server = Group("Server")
_security = Group("Security")
_requests = Group("Requests")
_logs = Group("Logs")
_observing = Group("Metrics and traces")


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeVariables:
    """The values, one attribute per variable, in lower case."""

    host: str = _server("0.0.0.0", "Address to listen on.")
    port: int = _server(8001, "Port to listen on.", **_PORT)
    workers: int = _server(1, "Data-plane processes of `serve`.", minimum=1, maximum=256)
    compiled_data_plane: str = _server(
        "auto",
        "Whether the compiled data plane and the fast path (`make native`) are run: where there "
        "are any, never, or always (without the compiled data plane the start is refused).",
        choices=("auto", "off", "required"),
    )
    drain_seconds: int = _server(
        15, "Seconds running requests get to finish when the gateway stops.", **_SECONDS
    )
    drain_accept_seconds: float = _server(
        3,
        "Seconds a gateway that is told to stop goes on accepting, while `/ready` says `draining`.",
        **_SECONDS,
    )
    admin_port: int = _server(
        0,
        "Loopback port of the control-plane process under `serve`; 0 takes a free one.",
        minimum=0,
        maximum=65535,
    )
    var_directory: Path = _server(
        _VAR,
        "Directory of the SQLite file, the last good document, metrics and sockets; "
        "relative to the project. Two gateways on one machine use two.",
    )
    node_id: str = _server(
        "",
        "Name of this node in records and metrics; empty: SINGLE_INSTANCE_ID or CLUSTER_NODE_ID, "
        "else made from host name and port.",
    )
    publish: str = _server(
        "auto",
        "Whether a saved change is published at once or by hand.",
        choices=("auto", "manual"),
    )
    revision_poll_seconds: float = _server(
        0.5, "Seconds between two looks for a new revision.", minimum=0.05, maximum=60
    )
    revisions_kept: int = _server(
        200, "Number of old revisions that are kept.", minimum=2, maximum=100_000
    )

    debug: bool = _security(
        False,
        "Django's debug mode; never on a reachable host.",
        by_environment={"dev": True},
    )
    secret_key: str = _security(
        "",
        "Signs sessions and forms. With DEBUG off it must be set; with DEBUG on a known key stands "
        "in.",
        by_environment={"dev": DEVELOPMENT_KEY},
        **_KEY,
    )
    allowed_hosts: tuple[str, ...] = _security(
        ("localhost", "127.0.0.1", "[::1]"),
        "Host names the admin and the API answer to; proxied routes have `hosts`.",
    )
    csrf_trusted_origins: tuple[str, ...] = _security(
        (),
        "Origins whose forms the admin accepts, for example `https://gateway.example.com`.",
        check=url_with("http", "https"),
        rule="comma-separated list of http:// or https:// origins",
    )
    admin_exposed: bool = _security(
        True,
        "Whether `/admin/` and `/api/gateway/` are reached through PORT. If not, they are answered "
        "404 there, and `serve` has them at 127.0.0.1 and ADMIN_PORT alone.",
    )
    admin_https: bool = _security(
        False,
        "Whether the admin is reached over HTTPS: cookies become secure, HSTS is sent.",
        by_environment={"prod": True},
    )
    trusted_proxies: tuple[str, ...] = _security(
        (),
        "Networks whose X-Forwarded headers are believed.",
        check=network,
        rule="comma-separated list of addresses or CIDR networks",
    )

    max_body_bytes: int = _requests(
        10_485_760,
        "Bytes of a request body; routes may say otherwise.",
        minimum=0,
        maximum=2**53,
    )
    max_header_bytes: int = _requests(
        65_536, "Bytes of a request's header block.", minimum=1024, maximum=1_048_576
    )
    max_target_bytes: int = _requests(
        8192, "Bytes of a request target.", minimum=256, maximum=65_536
    )
    websocket_idle_seconds: float = _requests(
        300,
        "Seconds without a byte either way after which a WebSocket is closed.",
        minimum=0.1,
        maximum=86400,
    )
    websocket_max_per_caller: int = _requests(
        1000,
        "WebSockets one caller, or one address on a public route, may have open at a worker.",
        minimum=1,
        maximum=1_000_000,
    )
    upstream_transport: str = _requests(
        "native", "What speaks to upstreams.", choices=("native", "httpx")
    )
    upstream_allowed_networks: tuple[str, ...] = _requests(
        (),
        "Networks upstreams must be in, looked at when saving and when connecting; empty: any "
        "that UPSTREAM_DENIED_NETWORKS does not name.",
        check=network,
        rule="comma-separated list of addresses or CIDR networks",
    )
    upstream_denied_networks: tuple[str, ...] = _requests(
        (
            "169.254.0.0/16",
            "fe80::/10",
            "fd00:ec2::254",
            "fd20:ce::254",
            "100.100.100.200",
            "168.63.129.16",
        ),
        "Networks no upstream may be in, whatever is allowed: link-local addresses and those that "
        "hand out a cloud machine's credentials.",
        check=network,
        rule="comma-separated list of addresses or CIDR networks",
    )

    log_level: str = _logs(
        "INFO",
        "Lowest level that is written. Request lines are INFO; access and audit lines are "
        "written at any level.",
        by_environment={"dev": "DEBUG"},
        choices=("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"),
    )
    log_format: str = _logs(
        "json",
        "Form of a line.",
        by_environment={"dev": "text"},
        choices=("json", "text"),
    )
    log_directory: str = _logs(
        "", "Directory of the five log files; empty: everything to standard error."
    )
    log_request_file: str = _logs("", "File of request lines; empty: request.log in LOG_DIRECTORY.")
    log_error_file: str = _logs("", "File of errors; empty: error.log in LOG_DIRECTORY.")
    log_access_file: str = _logs(
        "", "File of authentication lines; empty: access.log in LOG_DIRECTORY."
    )
    log_audit_file: str = _logs("", "File of audit lines; empty: audit.log in LOG_DIRECTORY.")
    log_application_file: str = _logs(
        "", "File of all other lines; empty: application.log in LOG_DIRECTORY."
    )
    log_max_bytes: int = _logs(
        10_485_760, "Bytes at which a file is rotated.", minimum=4096, maximum=2**40
    )
    log_backup_count: int = _logs(5, "Rotated files that are kept.", minimum=0, maximum=1000)
    log_queue_size: int = _logs(
        50_000,
        "Lines that may wait to be written; more are counted and dropped.",
        minimum=100,
        maximum=10_000_000,
    )

    prometheus_enabled: bool = _observing(True, "Whether `/metrics` answers.")
    metrics_port: int = _observing(
        0,
        "Port of its own for `/metrics`; 0: the gateway's port.",
        minimum=0,
        maximum=65535,
    )
    tracing_enabled: bool = _observing(
        False, "Whether spans are exported. So far none are; `traceparent` is always passed on."
    )
    jaeger_agent_host: str = _observing("localhost", "Host that takes spans (OTLP over HTTP).")
    jaeger_agent_port: int = _observing(
        4318,
        "OTLP port of Jaeger; 6831, the port of its removed agent, is read as 4318.",
        **_PORT,
    )
    jaeger_endpoint: str = _observing("", "Whole OTLP URL; wins over host and port.", **_HTTP)
    tracing_service_name: str = _observing("gateway", "Service name in spans.")
    tracing_sample_ratio: float = _observing(
        1.0,
        "Share of requests without a sampled parent that are traced.",
        minimum=0,
        maximum=1,
    )
