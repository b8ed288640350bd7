"""One worker: everything it runs, put together from the settings, started and stopped in order."""

from __future__ import annotations

import logging
import socket
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

from django.conf import settings as django_settings

from audit.refusals import RefusalLog
from gateway_project import access_log, refusal_log
from gateway_project.control_plane import control_plane_port
from gateway_project.fast_side import fast_path_library, redis_gift
from gateway_project.health_side import HealthSide, worker_name
from gateway_project.logs import request_log
from gateway_project.probes import Check, Probes
from gateway_project.quota_side import QuotaSide
from gateway_project.token_side import TokenSide
from keys.authentication import Authenticator
from keys.lookup import KeyLookup, LookupLimits
from keys.models import TOPIC as KEYS_CHANGED
from keys.store import fetch_records, read_epoch, read_marks, write_last_used
from proxying import metrics
from proxying.admission import Bounds
from proxying.bindings.edge import EdgeProtocol
from proxying.control_plane import control_plane_plan
from proxying.exchange import Exchange
from proxying.forwarding import Forwarder
from proxying.gateway import Gateway, Observer
from proxying.snapshot import Snapshots
from proxying.upstream.base import Transport
from proxying.upstream.transports import Transports, load_transports
from proxying.upstream.upgrade import UpgradeTransport
from proxying.websockets import WebSockets
from routing.address_rules import address_rules
from routing.table import Table
from routing.watching import RevisionWatcher
from runtime import tally
from runtime.database import DatabaseThread
from runtime.networks import parse_networks
from runtime.notify import Watcher
from runtime.redis_place import configured, place
from runtime.tasks import TaskOwner

if TYPE_CHECKING:
    from gateway_project.env import Settings
    from gateway_project.shared_redis import SharedRedis
    from proxying.fastpath.engine import FastPath

logger = logging.getLogger(__name__)


class Node:
    """The data plane of one process. Made, started and stopped on one event loop."""

    def __init__(self, settings: Settings | None = None) -> None:
        self._settings = settings or django_settings.GATEWAY
        self._owner = TaskOwner()
        self._fast_path_library = fast_path_library(self._settings)
        self._fast_path: FastPath | None = None
        self._reader = DatabaseThread("database-reader")
        self._writer = DatabaseThread("database-writer")
        self._watcher = Watcher(self._reader, self._settings.revision_poll_seconds)
        self._refusals = RefusalLog(self._writer, metrics.DROPPED.labels("audit").inc)
        self._keys = self._key_lookup()
        self._tokens = TokenSide(self._settings, self._reader)
        self._permitted = address_rules().permits
        self._transport = Transports(allowed=self._permitted)
        self._health = HealthSide(self._settings, self._reader, self._writer, self._permitted)
        self._snapshots = Snapshots(self._health.upstreams)
        self._revisions = RevisionWatcher(
            self._reader, self._settings.var_directory, self._install, _prepare
        )
        self._redis = _shared_redis() if configured() else None
        self._quotas = QuotaSide(
            self._settings,
            self._redis.buckets if self._redis is not None else None,
            self._writer,
            worker_name(self._settings),
        )
        self.probes = Probes(
            self._snapshots,
            {
                "database": self._database_check,
                "redis": self._redis_check,
                "discovery": self._discovery_check,
            },
        )
        self.gateway = self._gateway()

    def start_fast_path(
        self, listeners: list[socket.socket], connect: Callable[[], EdgeProtocol]
    ) -> FastPath:
        """See :class:`FastPath`. Raises ``OSError``."""
        if self._fast_path_library is None:
            raise OSError("there is no fast path")
        from proxying.fastpath.engine import FastPath
        from proxying.fastpath.rules import Bounds as FastPathBounds

        fast_path = FastPath(
            self._fast_path_library,
            snapshots=self._snapshots,
            upstreams=self._health.upstreams,
            keys=self._keys,
            read_marks=self._read_marks,
            meter=self._quotas.meter,
            carry_on=self._transport.resume,
            permitted=self._permitted,
            redis=redis_gift(self._settings) if self._redis is not None else None,
            bounds=FastPathBounds(
                client_first=self.gateway.bounds.patience.header,
                client_idle=self.gateway.bounds.patience.idle,
                longest_head=self.gateway.bounds.header_block,
                longest_target=self.gateway.bounds.target,
                redis_timeout=place().timeout,
            ),
            write_lines=(request_log if access_log.is_wanted(self._settings.log_level) else None),
        )
        fast_path.start(listeners, connect)
        logger.info("the fast path accepts connections")
        self._fast_path = fast_path
        return fast_path

    async def start(self) -> None:
        """Load the configuration and begin the background work."""
        await self._revisions.start(self._watcher)
        if self._redis is not None:
            await self._redis.start(self._owner)
        self._keys.start(self._owner)
        await self._tokens.start(self._owner, self._watcher)
        self._watcher.watch(KEYS_CHANGED, read_epoch, self._forget_keys)
        self._owner.start("audit of refusals", self._refusals.keep_writing)
        self._watcher.start(self._owner)
        self._quotas.start(self._owner)
        self._health.start(self._owner)
        self._owner.start("metrics", tally.keep_flushing)

    async def stop(self) -> None:
        """End the background work, write what it holds, close every connection."""
        self.probes.draining = True
        await self._owner.stop()
        await self._transport.close()
        await self._health.close()
        if self._redis is not None:
            await self._redis.close()
        await self._quotas.close()
        await self._reader.close()
        await self._writer.close()

    def _gateway(self) -> Gateway:
        settings = self._settings
        port = control_plane_port()
        observers: tuple[Observer, ...] = (metrics.observe,)
        if self._fast_path_library is not None:
            observers += (self._teach,)
        if access_log.is_wanted(settings.log_level):
            observers += (access_log.observe,)
        return Gateway(
            bounds=Bounds(
                target=settings.max_target_bytes,
                header_block=settings.max_header_bytes,
                trusted_proxies=parse_networks(settings.trusted_proxies),
            ),
            snapshots=self._snapshots,
            authenticator=Authenticator(
                self._keys,
                self._tokens.tokens,
                failures_per_second=settings.auth_failures_per_second,
            ),
            meter=self._quotas.meter,
            forwarder=self._forwarder(self._transport),
            websockets=WebSockets(
                self._forwarder(
                    UpgradeTransport(
                        idle_seconds=settings.websocket_idle_seconds, allowed=self._permitted
                    )
                ),
                max_per_caller=settings.websocket_max_per_caller,
            ),
            local=self.probes.handlers(metrics=settings.prometheus_enabled),
            control_plane=control_plane_plan(port) if port is not None else None,
            admin_exposed=settings.admin_exposed,
            observers=observers,
            refusal_observers=(refusal_log.observer(self._refusals),),
        )

    def _teach(self, exchange: Exchange, status: int, seconds: float) -> None:
        if self._fast_path is not None:
            self._fast_path.observe(exchange, status, seconds)

    def _forwarder(self, transport: Transport) -> Forwarder:
        return Forwarder(
            transport,
            max_body_bytes=self._settings.max_body_bytes,
            signer=self._tokens.identity,
        )

    def _install(self, number: int, sha256: str, table: Table) -> None:
        self._snapshots.install(number, sha256, table)
        if self._fast_path is not None:
            self._fast_path.follow(table)
        self._health.adjust(table.services)

    def _key_lookup(self) -> KeyLookup:
        limits = LookupLimits(
            size=self._settings.key_cache_size,
            confirmed_for=self._settings.key_cache_seconds,
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

    async def _read_marks(self, digests: Sequence[str]) -> Mapping[str, int]:
        return await self._reader.run(read_marks, digests)

    async def _forget_keys(self, _: int) -> None:
        self._keys.invalidate()

    def _database_check(self) -> Check:
        return "ok" if self._watcher.healthy and self._keys.healthy else "degraded"

    def _redis_check(self) -> Check:
        if self._redis is None:
            return "off"
        return "ok" if self._redis.healthy else "degraded"

    def _discovery_check(self) -> Check:
        return "off"


def _shared_redis() -> SharedRedis:
    from gateway_project.shared_redis import SharedRedis  # with Redis's library

    return SharedRedis()


def _prepare(table: Table) -> None:
    load_transports(table.services.values())
