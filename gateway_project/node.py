"""One worker: everything it runs, put together from the settings, started and stopped in order."""

from __future__ import annotations

import logging
import os
import socket
from typing import TYPE_CHECKING

from django.conf import settings as django_settings

from gateway_project import access_log
from gateway_project.control_plane import control_plane_port
from gateway_project.probes import Check, Probes
from gateway_project.shared_redis import SharedRedis
from keys.authentication import Authenticator
from keys.claims import TokenRules
from keys.errors import UnusableKey
from keys.lookup import KeyLookup, LookupLimits
from keys.signatures import VerificationKey
from keys.store import fetch_records, read_epoch, write_last_used
from keys.tokens import TokenVerifier, only_key
from proxying import metrics
from proxying.admission import Bounds
from proxying.breakers import Breakers
from proxying.control_plane import control_plane_plan
from proxying.forwarding import Forwarder
from proxying.gateway import Gateway
from proxying.reporting import BreakerReporter
from proxying.snapshot import Snapshots
from proxying.upstream.native import NativeTransport
from proxying.upstreams import Upstreams
from quotas.limiter import Limiter
from quotas.stores.memory import MemoryStore
from routing.watching import RevisionWatcher
from runtime import redis
from runtime.database import DatabaseThread
from runtime.networks import parse_networks
from runtime.notify import Watcher
from runtime.tasks import TaskOwner

if TYPE_CHECKING:
    from gateway_project.env import Settings

logger = logging.getLogger(__name__)


class Node:
    """The data plane of one process. Made, started and stopped on one event loop."""

    def __init__(self, settings: Settings | None = None) -> None:
        self._settings = settings or django_settings.GATEWAY
        self._owner = TaskOwner()
        self._reader = DatabaseThread("database-reader")
        self._writer = DatabaseThread("database-writer")
        self._watcher = Watcher(self._reader, self._settings.revision_poll_seconds)
        self._reporter = BreakerReporter(_worker_name(self._settings), self._writer)
        self._keys = self._key_lookup()
        self._transport = NativeTransport()
        self._snapshots = Snapshots(Upstreams(self._breakers()))
        self._revisions = RevisionWatcher(
            self._reader, self._settings.var_directory, self._snapshots.install
        )
        self._redis = SharedRedis(self._settings.redis_timeout) if redis.configured() else None
        self._limiter = self._new_limiter() if self._settings.rate_limit_enabled else None
        self.probes = Probes(
            self._snapshots,
            {
                "database": self._database_check,
                "redis": self._redis_check,
                "discovery": self._discovery_check,
            },
        )
        self.gateway = self._gateway()

    async def start(self) -> None:
        """Load the configuration and begin the background work."""
        await self._revisions.start(self._watcher)
        if self._redis is not None:
            await self._redis.start(self._owner)
        self._keys.start(self._owner)
        self._watcher.start(self._owner)
        self._owner.start("breaker reports", self._reporter.keep_writing)

    async def stop(self) -> None:
        """End the background work, write what it holds, close every connection."""
        self.probes.draining = True
        await self._owner.stop()
        await self._transport.close()
        if self._redis is not None:
            await self._redis.close()
        await self._reader.close()
        await self._writer.close()

    def _gateway(self) -> Gateway:
        settings = self._settings
        port = control_plane_port()
        return Gateway(
            bounds=Bounds(
                target=settings.max_target_bytes,
                header_block=settings.max_header_bytes,
                trusted_proxies=parse_networks(settings.trusted_proxies),
            ),
            snapshots=self._snapshots,
            authenticator=Authenticator(self._keys, _token_verifier(settings)),
            limiter=self._limiter,
            forwarder=Forwarder(self._transport, max_body_bytes=settings.max_body_bytes),
            local=self.probes.handlers(metrics=settings.prometheus_enabled),
            control_plane=control_plane_plan(port) if port is not None else None,
            observers=(metrics.observe, access_log.observe),
        )

    def _breakers(self) -> Breakers | None:
        return Breakers([self._reporter]) if self._settings.circuit_breaker_enabled else None

    def _key_lookup(self) -> KeyLookup:
        limits = LookupLimits(
            size=self._settings.key_cache_size,
            stale_seconds=self._settings.key_stale_seconds,
        )
        return KeyLookup(
            fetch_records,
            read_epoch,
            write_last_used,
            reader=self._reader,
            writer=self._writer,
            limits=limits,
        )

    def _new_limiter(self) -> Limiter:
        store = self._redis.buckets if self._redis is not None else MemoryStore()
        return Limiter(store, timeout=self._settings.redis_timeout)

    def _database_check(self) -> Check:
        return "ok" if self._watcher.healthy and self._keys.healthy else "degraded"

    def _redis_check(self) -> Check:
        if self._redis is None:
            return "off"
        return "ok" if self._redis.healthy else "degraded"

    def _discovery_check(self) -> Check:
        return "off"


def _token_verifier(settings: Settings) -> TokenVerifier | None:
    """``None`` where no key is configured: then every bearer token is refused."""
    shared = settings.uses_shared_secret
    text = settings.jwt_secret_key if shared else settings.jwt_public_key
    if not text and not shared:
        text = settings.jwt_private_key
    if not text:
        return None
    try:
        key = VerificationKey.load(settings.jwt_algorithm, text)
    except UnusableKey as error:
        raise SystemExit(f"JWT_ALGORITHM={settings.jwt_algorithm}: {error}") from error
    rules = TokenRules(
        issuer=settings.jwt_issuer,
        audiences=frozenset([settings.jwt_audience] if settings.jwt_audience else []),
        leeway=settings.jwt_leeway_seconds,
    )
    return TokenVerifier(only_key(key), rules)


def _worker_name(settings: Settings) -> str:
    node = settings.node_id or f"{socket.gethostname()}:{settings.listen_port}"
    return f"{node}/{os.getpid()}"[-100:]
