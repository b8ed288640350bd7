"""Every environment variable the gateway reads, declared once.

A field's name in capitals is the variable; its annotation is the type; ``docs/settings.md`` and
the files written by ``create_env`` are made from these lines. Reading them is ``env``'s work.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from gateway_project.declaring import Group, node, url_with
from gateway_project.node_variables import DEVELOPMENT_KEY, NodeVariables
from keys.issuers import check_jwks_url, parse_issuer

ALGORITHMS: Final = ("HS256", "HS384", "HS512", "RS256", "ES256", "EdDSA")

_PORT: Final[dict[str, Any]] = {"minimum": 1, "maximum": 65535}
_SECONDS: Final[dict[str, Any]] = {"minimum": 0, "maximum": 86400}
_COUNT: Final[dict[str, Any]] = {"minimum": 1, "maximum": 1_000_000_000}
_NODES: Final[dict[str, Any]] = {
    "check": node,
    "rule": "comma-separated list of host:port",
}
_NODE: Final[dict[str, Any]] = {"check": node, "rule": "host:port"}
_HTTP: Final[dict[str, Any]] = {
    "check": url_with("http", "https"),
    "rule": "http:// or https:// URL",
}
_KEY: Final[dict[str, Any]] = {"secret": True, "generated": True}

_database = Group("Database")
_redis = Group("Redis")
_tokens = Group("Tokens and keys")
_limits = Group("Limits and breakers")
_discovery = Group("Service discovery")
_single = Group("Single instance")
_cluster = Group("Cluster")


@dataclass(frozen=True, slots=True, kw_only=True)
class Variables(NodeVariables):
    """The values of every variable, one attribute each, in lower case."""

    database_url: str = _database(
        "",
        "`mysql://`, `postgres://` or `sqlite:///` URL (a relative file is in the project); wins "
        "over MYSQL_*. Empty and no MYSQL_HOST: SQLite at VAR_DIRECTORY/gateway.sqlite3.",
        secret=True,
        check=url_with("mysql", "postgres", "postgresql", "sqlite"),
        rule="mysql://, postgres:// or sqlite:/// URL",
    )
    database_max_age: int = _database(60, "Seconds a database connection is kept.", **_SECONDS)
    database_connect_timeout: int = _database(
        3, "Seconds to connect to the database.", minimum=1, maximum=300
    )
    database_read_timeout: int = _database(
        10, "Seconds to wait for an answer of the database.", minimum=1, maximum=300
    )
    mysql_host: str = _database("", "MySQL or MariaDB host; empty: no MySQL.")
    mysql_port: int = _database(3306, "MySQL port.", **_PORT)
    mysql_user: str = _database("gateway", "MySQL user.")
    mysql_password: str = _database("", "MySQL password.", secret=True)
    mysql_database: str = _database("gateway_db", "MySQL database.")

    redis_url: str = _redis(
        "",
        "`redis://`, `rediss://` or `unix://` URL; wins over REDIS_HOST. Empty and no "
        "REDIS_HOST: in-process stores.",
        secret=True,
        check=url_with("redis", "rediss", "unix"),
        rule="redis://, rediss:// or unix:// URL",
    )
    redis_host: str = _redis("", "Redis host; empty: no Redis.")
    redis_port: int = _redis(6379, "Redis port.", **_PORT)
    redis_password: str = _redis("", "Redis password.", secret=True)
    redis_db: int = _redis(0, "Number of the Redis database.", minimum=0, maximum=1023)
    redis_timeout: float = _redis(
        0.1, "Seconds a request waits for Redis.", minimum=0.001, maximum=10
    )
    redis_max_connections: int = _redis(
        50, "Redis connections per worker.", minimum=1, maximum=10_000
    )
    redis_prefix: str = _redis("gateway:", "What every Redis key and channel begins with.")

    auth_token_enabled: bool = _tokens(
        True,
        "Whether `POST /auth/token` issues tokens to Django users.",
        by_environment={"prod": False},
    )
    auth_requests_per_minute: int = _tokens(
        60,
        "Sign-ins at `/auth/token` that one address may try in a minute; ten times as many "
        "refreshes and revocations.",
        **_COUNT,
    )
    auth_failures_per_second: int = _tokens(
        500,
        "Wrong credentials of one address that a worker refuses at once in a second; further "
        "refusals wait, at most a second. 0: none waits.",
        minimum=0,
        maximum=1_000_000,
    )
    jwt_algorithm: str = _tokens("HS256", "Algorithm of access tokens.", choices=ALGORITHMS)
    jwt_secret_key: str = _tokens(
        "",
        "Signs and verifies tokens with HS algorithms. With DEBUG off it must be set; with DEBUG "
        "on a known key stands in.",
        by_environment={"dev": DEVELOPMENT_KEY},
        **_KEY,
    )
    jwt_private_key: str = _tokens(
        "",
        "PEM key that signs tokens with RS256, ES256 and EdDSA. Empty: the keys that "
        "`generate_keys` put into VAR_DIRECTORY/keys.",
        secret=True,
    )
    jwt_public_key: str = _tokens(
        "",
        "PEM key that verifies them too, for example the one before; may be left empty.",
        secret=True,
    )
    jwt_jwks_url: str = _tokens(
        "",
        "Key set of the external issuer that JWT_ISSUER names.",
        check=check_jwks_url,
        rule="https:// URL, or http:// on a loopback address",
    )
    jwt_issuers: tuple[str, ...] = _tokens(
        (),
        "Further external issuers.",
        check=parse_issuer,
        rule="comma-separated list of issuer=jwks_url[|audience][|RS256+ES256+EdDSA]; the URL is "
        "https://, or http:// on a loopback address",
    )
    jwt_issuer: str = _tokens(
        "",
        "Required `iss`; empty: not checked. With JWT_JWKS_URL it names the external issuer, and "
        "the gateway's own tokens say `gateway`.",
    )
    jwt_audience: str = _tokens("", "Required `aud`; empty: not checked.")
    jwt_leeway_seconds: int = _tokens(
        0, "Seconds of clock difference that are forgiven.", minimum=0, maximum=300
    )
    jwt_expiration_minutes: int = _tokens(
        30, "Minutes an access token lives.", minimum=1, maximum=525_600
    )
    jwt_refresh_expiration_days: int = _tokens(
        7, "Days a refresh token lives.", minimum=1, maximum=3650
    )
    jwt_refresh_rotation_enabled: bool = _tokens(
        True, "Whether a refresh token is spent by its use."
    )
    jwt_refresh_grace_seconds: int = _tokens(
        0,
        "Seconds a spent refresh token may be used again (lost answers); 0: never.",
        minimum=0,
        maximum=60,
    )
    key_cache_size: int = _tokens(100_000, "API keys a worker remembers.", **_COUNT)
    key_cache_seconds: float = _tokens(
        4.0,
        "Seconds an API key is believed without a look at the database.",
        **_SECONDS,
    )
    key_stale_seconds: float = _tokens(
        3600.0,
        "Seconds a known API key is still believed while the database is away.",
        **_SECONDS,
    )

    rate_limit_enabled: bool = _limits(True, "Whether rate limits are applied.")
    rate_limit_mysql_enabled: bool = _limits(
        True, "Whether the use of limits is recorded in the database."
    )
    rate_limit_mysql_async: bool = _limits(
        True,
        "Whether records are written in the background; false: before the answer of the "
        "request that fills a batch.",
    )
    rate_limit_record_seconds: float = _limits(
        5.0, "Seconds within which limit records are in the database.", minimum=0.1, maximum=3600
    )
    rate_limit_per_worker: bool = _limits(
        False, "Lets several workers run without Redis, each with limits of its own."
    )
    circuit_breaker_enabled: bool = _limits(True, "Whether breakers are applied.")

    service_discovery_type: str = _discovery(
        "static",
        "Where instances come from. So far only `static`, the configuration, has an effect.",
        choices=("static", "consul", "nacos", "etcd"),
    )
    discovery_interval: float = _discovery(
        5.0, "Seconds between two looks at the registry.", minimum=0.1, maximum=3600
    )
    consul_host: str = _discovery("127.0.0.1", "Consul host.")
    consul_port: int = _discovery(8500, "Consul port.", **_PORT)
    consul_scheme: str = _discovery("http", "How Consul is spoken to.", choices=("http", "https"))
    consul_token: str = _discovery("", "Consul ACL token.", secret=True)
    consul_datacenter: str = _discovery("", "Consul datacenter; empty: the agent's.")
    nacos_server: str = _discovery("127.0.0.1:8848", "Nacos server.", **_NODE)
    nacos_namespace: str = _discovery("", "Nacos namespace; empty: public.")
    nacos_group: str = _discovery("DEFAULT_GROUP", "Nacos group.")
    nacos_username: str = _discovery("", "Nacos user; empty: no login.")
    nacos_password: str = _discovery("", "Nacos password.", secret=True)
    nacos_cluster_enabled: bool = _discovery(False, "Whether NACOS_CLUSTER_NODES are used.")
    nacos_cluster_nodes: tuple[str, ...] = _discovery((), "Nacos servers.", **_NODES)
    etcd_url: str = _discovery("http://127.0.0.1:2379", "etcd address.", **_HTTP)
    etcd_prefix: str = _discovery("/services/", "etcd prefix under which instances are found.")
    etcd_username: str = _discovery("", "etcd user; empty: no login.")
    etcd_password: str = _discovery("", "etcd password.", secret=True)

    deployment_mode: str = _single(
        "single",
        "One node, or one of several; CLUSTER_ENABLED=true means cluster too.",
        choices=("single", "cluster"),
    )
    single_instance_id: str = _single(
        "", "Identifier of a single node; NODE_ID wins. Empty: made from host name and port."
    )
    single_instance_host: str = _single("", "Address a single node listens on; empty: HOST.")
    single_instance_port: int = _single(
        0, "Port a single node listens on; 0: PORT.", minimum=0, maximum=65535
    )

    cluster_enabled: bool = _cluster(False, "Same as DEPLOYMENT_MODE=cluster.")
    cluster_name: str = _cluster("gateway-cluster", "Name of the cluster.")
    cluster_node_id: str = _cluster(
        "",
        "Identifier of this node; needed in a cluster of more than one. NODE_ID wins.",
    )
    cluster_node_count: int = _cluster(1, "Number of nodes.", minimum=1, maximum=10_000)
    cluster_coordinator_host: str = _cluster(
        "", "Host of the coordinator (etcd or Consul); empty: the discovery's."
    )
    cluster_coordinator_port: int = _cluster(2379, "Port of the coordinator.", **_PORT)
    cluster_heartbeat_interval: float = _cluster(
        5.0, "Seconds between two signs of life.", minimum=0.1, maximum=300
    )
    cluster_election_timeout: float = _cluster(
        15.0,
        "Seconds without a sign of life after which a leader is replaced.",
        minimum=1,
        maximum=3600,
    )
    cluster_replication_factor: int = _cluster(
        1,
        "Copies of shared state; the stores' own setting decides.",
        minimum=1,
        maximum=100,
    )
    cluster_consensus_algorithm: str = _cluster(
        "raft",
        "Consensus of the coordinator; etcd and Consul have Raft.",
        choices=("raft",),
    )
    cluster_shared_storage_path: str = _cluster("", "Directory all nodes share; empty: none.")
    cluster_enable_leader_election: bool = _cluster(
        True, "Whether one node alone does the periodic work."
    )
    redis_cluster_enabled: bool = _cluster(
        False, "Whether REDIS_CLUSTER_NODES are used instead of REDIS_URL."
    )
    redis_cluster_nodes: tuple[str, ...] = _cluster((), "Redis Cluster nodes.", **_NODES)
    redis_cluster_password: str = _cluster("", "Redis Cluster password.", secret=True)
    redis_cluster_socket_timeout: float = _cluster(
        0.1, "Seconds a request waits for Redis Cluster.", minimum=0.001, maximum=10
    )
    redis_cluster_max_connections: int = _cluster(
        50, "Connections per node and worker.", minimum=1, maximum=10_000
    )
    mysql_cluster_enabled: bool = _cluster(
        False, "Whether MYSQL_CLUSTER_NODES are used instead of MYSQL_HOST."
    )
    mysql_cluster_nodes: tuple[str, ...] = _cluster(
        (),
        "MySQL nodes; the first one writes unless MYSQL_CLUSTER_WRITE_NODE is set.",
        **_NODES,
    )
    mysql_cluster_read_replicas: tuple[str, ...] = _cluster(
        (), "MySQL read replicas. So far everything is read where it is written.", **_NODES
    )
    mysql_cluster_write_node: str = _cluster("", "MySQL node that writes.", **_NODE)
    mysql_cluster_load_balance_strategy: str = _cluster(
        "round_robin",
        "How a read replica is chosen.",
        choices=("round_robin", "random"),
    )
    mysql_cluster_connection_timeout: int = _cluster(
        3, "Seconds to connect to a MySQL node.", minimum=1, maximum=300
    )
    mysql_cluster_max_retries: int = _cluster(
        2, "Replicas tried before the writing node is asked.", minimum=0, maximum=10
    )
