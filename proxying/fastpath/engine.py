"""The fast path as a worker sees it: what the engine hands over is adopted, what it served counted.

The engine (``native/``) carries plain requests in a thread of its own; this is its other half on
the event loop. What is in doubt comes here and takes the usual journey; a connection goes back once
such a request was served and the engine has learnt how. Nothing is decided in the engine: routes,
callers and limits are taught (:mod:`proxying.fastpath.teaching`), which instances may be asked is
told whenever it changes, and every answer it passes on is counted here as if it were our own.
"""

from __future__ import annotations

import asyncio
import logging
import os
import socket
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

from keys.lookup import KeyLookup
from proxying.bindings.edge import EdgeProtocol
from proxying.exchange import Begun, CarryOn, Exchange
from proxying.fastpath.counting import Books
from proxying.fastpath.directory import MOST_INSTANCES, Directory
from proxying.fastpath.freshness import Freshness, ReadMarks
from proxying.fastpath.library import Library
from proxying.fastpath.messages import Command, Event, Reader, Writer
from proxying.fastpath.redis_gift import RedisGift
from proxying.fastpath.rules import Bounds, configuration
from proxying.fastpath.teaching import Lesson, Teacher
from proxying.services import Upstreams
from proxying.snapshot import Snapshots
from proxying.wire.resolve import AddressRule, connected_socket
from quotas.bucket import Decision
from quotas.meter import Meter
from routing.plans import RoutePlan
from routing.table import Table
from runtime import tally
from runtime.tasks import TaskOwner

logger = logging.getLogger(__name__)

_TICK = 0.1
_WHOLE = 2.0
"""Between two countings of accounts and keys; who writes them down asks for another one before."""
_MOST_RETURNS = 8
"""How often a connection goes back that asked for what the engine can never serve."""
_CONNECT_SECONDS = 10.0


class FastPath:
    """One worker's. Lives on the event loop that :meth:`start` is called on."""

    def __init__(
        self,
        library: Path,
        *,
        snapshots: Snapshots,
        upstreams: Upstreams,
        keys: KeyLookup,
        read_marks: ReadMarks,
        meter: Meter | None,
        carry_on: CarryOn,
        permitted: AddressRule | None,
        redis: RedisGift | None,
        bounds: Bounds,
        write_lines: Callable[[bytes], None] | None,
    ) -> None:
        self._snapshots = snapshots
        self._services_in_use = upstreams
        self._keys = keys
        self._carry_on = carry_on
        self._permitted = permitted
        self._redis = redis
        self._write_lines = write_lines
        self._teacher = Teacher(keys, limited=meter is not None)
        self._directory = Directory(self._tell)
        self._bell = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        lines = write_lines is not None
        self._engine = Library(
            library, configuration(self._bell, self._directory.loads, MOST_INSTANCES, lines, bounds)
        )
        self._loop = asyncio.get_running_loop()
        self._connect: Callable[[], EdgeProtocol] | None = None
        self._owner = TaskOwner()
        self._tasks: set[asyncio.Task[None]] = set()
        self._leaving = False
        self._ended = asyncio.Event()
        self._redis_lost = asyncio.Event()
        self._meter = meter
        self._books = Books(meter, keys.note_use, self._directory)
        self._freshness = Freshness(read_marks, self._forget_callers)
        self._known: dict[RoutePlan, int] = {}
        self._revision = 0
        self._table: Table | None = None

    # --- from beginning to end ------------------------------------------------------------------

    def start(self, listeners: list[socket.socket], connect: Callable[[], EdgeProtocol]) -> None:
        """Serve from *listeners*; *connect* makes the protocol of a connection that comes here."""
        self._connect = connect
        self._loop.add_reader(self._bell, self._hear)
        self._begin_revision()
        current = self._snapshots.current
        self._table = current.table if current is not None else None
        self._keys.changed = self._forget_callers
        self._services_in_use.changed = self._directory.tell_changes
        tally.add_source(self._fold)
        if self._meter is not None:
            self._meter.gather_from(self._fold_whole)
        self._owner.start("fast path", self._keep_telling)
        self._owner.start("fast path keys", self._freshness.keep)
        if self._redis is not None:
            self._owner.start("fast path Redis", self._keep_redis)
        for listener in listeners:
            self._tell(Writer(Command.LISTEN).i32(os.dup(listener.fileno())))

    def leave_off(self) -> None:
        """Begin to stop accepting, and to take every connection over, whatever it is about."""
        self._leaving = True
        self._tell(Writer(Command.RETIRE))

    async def retire(self) -> None:
        """Until all of that is done."""
        self.leave_off()
        await self._ended.wait()
        await self._owner.stop()
        self._keys.changed = self._services_in_use.changed = None
        while self._tasks:
            await asyncio.wait(self._tasks)
        self._fold_whole()
        tally.remove_source(self._fold)
        if self._meter is not None:
            self._meter.gather_from(None)
        self._loop.remove_reader(self._bell)
        self._engine.stop()
        os.close(self._bell)

    def follow(self, table: Table) -> None:
        """*table* is served from now on. Where its routes or the limits over all of them are other
        ones, nothing that was taught counts any more.
        """
        last, self._table = self._table, table
        if last is None or last.router is not table.router or last.limits != table.limits:
            self._begin_revision()

    def _begin_revision(self) -> None:
        self._revision += 1
        self._forget_accounts()
        self._known.clear()
        self._directory.forget()
        self._tell(Writer(Command.REVISION).u32(self._revision))

    def takes_back(self, returns: int) -> bool:
        """Whether the engine would take a connection that asked *returns* times for more."""
        return not self._leaving and returns < _MOST_RETURNS

    def take_back(self, transport: asyncio.Transport, returns: int) -> bool:
        """Whether the engine takes an idle connection, which asked *returns* times for more."""
        if not self.takes_back(returns) or transport.get_write_buffer_size():
            return False
        transport.pause_reading()
        descriptor = os.dup(transport.get_extra_info("socket").fileno())
        transport.abort()
        self._tell(Writer(Command.RETURN).i32(descriptor).u32(returns))
        return True

    def _tell(self, message: Writer) -> None:
        self._engine.tell(message.message())

    def _fold(self, *, whole: bool = False) -> None:
        """Count what was served since this was asked last, and write the lines; whose it was only
        where it is to be *whole*.
        """
        ledger = self._engine.fold(whole=whole)
        lines = self._books.enter(ledger, whole=whole) if ledger else b""
        if lines and self._write_lines is not None:
            self._write_lines(lines)

    def _fold_whole(self) -> None:
        self._fold(whole=True)

    async def _keep_telling(self) -> None:
        whole_at = 0.0
        while True:
            now = self._loop.time()
            whole = now >= whole_at
            whole_at = now + _WHOLE if whole else whole_at
            self._fold(whole=whole)
            self._tell(Writer(Command.CONFIRMED).f64(self._keys.confirmed_for))
            self._directory.look_around()
            await asyncio.sleep(_TICK)

    # --- what the engine says -------------------------------------------------------------------

    def _hear(self) -> None:
        try:
            os.eventfd_read(self._bell)
        except BlockingIOError:
            return
        while message := self._engine.hear():
            self._handle(Reader(message))

    def _handle(self, message: Reader) -> None:
        match message.number("B"):
            case Event.ADOPT:
                descriptor, returns = message.numbers("iI")
                self._adopt(descriptor, returns, message.blob(), message.blob(), None)
            case Event.RESUME:
                self._resume(message)
            case Event.NEED:
                self._begin(self._connect_to(message.number("I")))
            case Event.REDIS_LOST:
                self._teacher.limits = False
                self._redis_lost.set()
            case Event.LINES:
                self._fold()
            case Event.ENDED:
                self._ended.set()

    def _begin(self, work: Coroutine[Any, Any, None]) -> None:
        task = self._loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._has_ended)

    def _has_ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            logger.error("a connection of the fast path was lost", exc_info=error)

    def _adopt(
        self, descriptor: int, returns: int, early: bytes, unsent: bytes, begun: Begun | None
    ) -> None:
        self._begin(self._adopted(socket.socket(fileno=descriptor), returns, early, unsent, begun))

    async def _adopted(
        self, sock: socket.socket, returns: int, early: bytes, unsent: bytes, begun: Begun | None
    ) -> None:
        if self._connect is None:
            raise RuntimeError("not started")
        protocol = self._connect()
        protocol.returns = returns
        protocol.bring(early, unsent, begun)
        try:
            await self._loop.connect_accepted_socket(lambda: protocol, sock)
        except OSError:
            sock.close()
            if begun is not None:
                begun.close()
        else:
            protocol.go_on()

    def _resume(self, message: Reader) -> None:
        # What it served before is to be counted before what may be a failure.
        self._fold()
        descriptor, returns = message.numbers("iI")
        head, request_id, traceparent = message.blob(), message.blob(), message.blob()
        elapsed = message.seconds()
        account, spent, *told = message.numbers("IBqqq")
        upstream, instance = message.numbers("iI")
        waited = message.seconds()
        reused, received = message.number("B"), message.blob()
        asked = self._directory.instance(instance)
        begun = Begun(
            request_id=request_id,
            traceparent=traceparent,
            elapsed=elapsed,
            spent=bool(spent),
            decision=self._decision(account, told) if spent else None,
            instance=asked.url if asked is not None else "",
            upstream=socket.socket(fileno=upstream) if upstream >= 0 else None,
            received=received,
            waited=waited,
            reused=bool(reused),
            carry_on=self._carry_on,
        )
        self._adopt(descriptor, returns, head, b"", begun)

    def _decision(self, account: int, told: list[int]) -> Decision:
        limit, remaining, reset = told
        return Decision(True, limit, remaining, reset, 0, self._books.rule_of(account))

    async def _connect_to(self, number: int) -> None:
        """A connection to an instance, by the rules for all of them; -1 where none can be had."""
        instance = self._directory.instance(number)
        descriptor = -1
        if instance is not None:
            origin = instance.origin
            allowed = self._permitted if origin.link.guarded else None
            try:
                async with asyncio.timeout(_CONNECT_SECONDS):
                    sock = await connected_socket(origin.host, origin.port, allowed)
                descriptor = -1 if self._leaving else sock.detach()
            except (OSError, UnicodeError, TimeoutError) as error:
                logger.debug("no connection to %s for the fast path: %s", instance.url, error)
        self._tell(Writer(Command.CONNECTED).u32(number).i32(descriptor))

    async def _keep_redis(self) -> None:
        """Give the engine a connection to Redis, and another one whenever it loses it."""
        gift = self._redis
        while gift is not None:
            try:
                descriptor = await gift.connection()
            except (OSError, TimeoutError, ValueError) as error:
                logger.debug("no Redis for the fast path: %s", error)
            else:
                self._redis_lost.clear()
                self._tell(Writer(Command.REDIS).i32(descriptor))
                self._teacher.limits = True
                await self._redis_lost.wait()
            await asyncio.sleep(1.0)

    # --- what the engine learns -----------------------------------------------------------------

    def observe(self, exchange: Exchange, status: int, seconds: float) -> None:
        """Teach what can be taught of an exchange that ended, if its connection may go back."""
        exchange.plain = exchange.plain and status < 500 and self._learns(exchange)

    def _learns(self, exchange: Exchange) -> bool:
        route, begun = exchange.route, exchange.begun
        snapshot = self._snapshots.current
        if route is None or snapshot is None or (begun is not None and begun.instance):
            return False  # What was in doubt of an answer may be in doubt of the next one.
        plan = snapshot.plans.get(route.name)
        if plan is None or plan.route is not route:
            return False
        lesson = self._teacher.lesson(exchange, plan)
        return lesson is not None and self._teach(lesson)

    def _teach(self, lesson: Lesson) -> bool:
        """Whether there was room for it."""
        service = self._directory.enter(lesson.plan.upstream)
        if service is None:
            return False
        plan = self._known.setdefault(lesson.plan.route, len(self._known))
        if self._books.is_full or self._freshness.is_full:
            self._forget_callers()
        rule = lesson.rules[0] if lesson.rules else None
        account = self._books.account(lesson.plan, lesson.caller, lesson.client, rule)
        if lesson.record is not None:
            self._freshness.note(lesson.record)
        rows = self._books.route_rows(lesson.plan)
        prefix = self._redis.prefix if self._redis is not None else ""
        numbers = plan, service, account
        self._engine.tell(lesson.message(self._revision, numbers, rows, prefix))
        return True

    def _forget_callers(self) -> None:
        self._tell(Writer(Command.FORGET_CALLERS))
        self._forget_accounts()

    def _forget_accounts(self) -> None:
        self._fold_whole()
        self._books.forget_accounts()
        self._freshness.forget()
