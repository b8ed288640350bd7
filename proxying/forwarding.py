"""Forward: attempts on the outside, breaker and in-flight count inside, one deadline around.

Each attempt goes to another instance while one exists and gives back what it holds on every way
out. Leans on the transport seam in ``proxying.upstream`` and on the pure ``proxying.retry``.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine
from dataclasses import replace
from random import Random
from typing import Any

from keys.caller import Caller
from keys.credentials import CredentialKind
from keys.identity_token import IdentitySigner
from proxying import affinity
from proxying.answering import http_date, limit_headers
from proxying.attempt import Attempt
from proxying.errors import RouteMisconfigured
from proxying.exchange import EMPTY, Answer, Begun, Body, Exchange, Headers
from proxying.headers import Forwarding, request_headers, response_headers, values_of
from proxying.hedging import race
from proxying.retry import parse_retry_after
from proxying.snapshot import Plan
from proxying.trailers import passed_on
from proxying.upload import Upload
from proxying.upstream.base import (
    Timeouts,
    Transport,
    UpstreamAnswer,
    UpstreamError,
    UpstreamRequest,
)
from proxying.upstream.upgrade import UPGRADE, Switched
from proxying.upstreams import Upstream

_METHODS_WITH_BODY = frozenset(("POST", "PUT", "PATCH"))
_BODILESS = frozenset((101, 204))


class Forwarder:
    """Carries exchanges to upstreams over *transport*.

    *max_body_bytes* is the node's bound for request bodies where the route sets none. *signer*
    signs the caller's identity for services that ask for it.
    """

    def __init__(
        self,
        transport: Transport,
        *,
        max_body_bytes: int,
        signer: IdentitySigner | None = None,
        clock: Callable[[], float] = time.monotonic,
        random: Random | None = None,
    ) -> None:
        self._transport = transport
        self._max_body_bytes = max_body_bytes
        self._signer = signer
        self._clock = clock
        self._random = random or Random()

    async def forward(self, exchange: Exchange, plan: Plan) -> Answer:
        """The upstream's answer, streaming. Raises ``ProxyError``, ``UpstreamError``, ``BadPath``
        or, when the client leaves during its upload, ``ClientGone``.
        """
        upload = self._upload(exchange, plan)
        forwarding = _Forwarding(exchange, plan, upload, self._identity(exchange.caller, plan))
        upstream = plan.upstream
        upstream.budget.note_request(self._clock())
        begun = exchange.begun
        resumed = self._resumed(begun, upstream)
        attempt = (
            resumed
            or upstream.begin(exchange, self._clock)
            or await upstream.wait(exchange, self._clock)
        )
        try:
            if begun is not None and resumed is not None:
                await forwarding.resume(attempt, begun, self._clock())
            elif upstream.retry.hedge_after is None:
                await forwarding.send(attempt, self._transport, self._clock())
            else:
                attempt = await self._hedged(forwarding, attempt, upstream.retry.hedge_after)
            while self._worth_another(forwarding, attempt):
                await asyncio.sleep(self._pause(forwarding, attempt))
                following = upstream.begin_again(exchange, forwarding.tried, self._clock())
                if following is None:
                    break
                attempt.close()
                attempt = following
                await forwarding.send(attempt, self._transport, self._clock())
            return forwarding.answer(attempt)
        except BaseException:
            attempt.close()
            raise

    def _resumed(self, begun: Begun | None, upstream: Upstream) -> Attempt | None:
        """The attempt that the fast path began, if there is one that may go on."""
        if begun is None or begun.upstream is None:
            return None
        attempt = upstream.resume(begun.instance, self._clock)
        if attempt is None:
            begun.close()
        return attempt

    async def _hedged(self, forwarding: _Forwarding, attempt: Attempt, after: float) -> Attempt:
        """Make the first attempt, and where it may be repeated and takes more than *after* seconds,
        a second beside it; the attempt that answered.
        """
        exchange, upstream = forwarding.exchange, forwarding.plan.upstream
        if exchange.method != "GET" or exchange.body.size != 0 or exchange.websocket_key:
            await forwarding.send(attempt, self._transport, self._clock())
            return attempt

        def another() -> Attempt | None:
            now = self._clock()
            if not upstream.has_another(forwarding.tried, now) or not upstream.budget.withdraw(now):
                return None
            return upstream.begin_elsewhere(exchange, forwarding.tried, now)

        def send(one: Attempt) -> Coroutine[Any, Any, None]:
            return forwarding.send(one, self._transport, self._clock())

        winner = await race(attempt, send, another, after)
        exchange.instance = winner.instance.url
        return winner

    def _upload(self, exchange: Exchange, plan: Plan) -> Upload | None:
        if exchange.body.size == 0:
            return None
        limit = plan.route.max_body_bytes
        return Upload(exchange, self._max_body_bytes if limit is None else limit)

    def _identity(self, caller: Caller | None, plan: Plan) -> Headers:
        """What the upstream is told of the caller. A service that asks for a signature and cannot
        have one gets no request at all: it might believe what is not there.
        """
        headers = identity_headers(caller)
        service = plan.route.service
        if caller is None or not service.spec.signed_identity:
            return headers
        token = self._signer.token(caller, service.name) if self._signer else None
        if token is None:
            raise RouteMisconfigured("its service asks for a signed identity and no key signs one")
        return [*headers, (b"x-gateway-identity", token)]

    def _worth_another(self, forwarding: _Forwarding, attempt: Attempt) -> bool:
        """Whether policy, deadline and budget allow it, in this order: the budget is taken from.

        The budget keeps retries from multiplying the load on a failing service. One that could not
        be connected to has no load of this request, so asking another instead is free.
        """
        cause = attempt.cause
        if cause is None or forwarding.out_of_time(self._clock()):
            return False
        upstream, exchange = forwarding.plan.upstream, forwarding.exchange
        allowed = upstream.retry.may_retry(
            exchange.method,
            cause,
            exchange.attempts,
            body_replayable=forwarding.replayable,
            bytes_sent=0 if cause == "connect" else 1,
            keyed=forwarding.keyed,
        )
        if allowed and cause == "connect" and upstream.has_another(forwarding.tried, self._clock()):
            return True
        return allowed and upstream.budget.withdraw(self._clock())

    def _pause(self, forwarding: _Forwarding, attempt: Attempt) -> float:
        asked = values_of(attempt.answer.headers, b"retry-after") if attempt.answer else []
        pause = forwarding.plan.upstream.retry.delay(
            forwarding.exchange.attempts,
            self._random,
            parse_retry_after(asked[0], time.time()) if asked else None,
        )
        return min(pause, forwarding.time_left(self._clock()))


class _Forwarding:
    """One exchange on its way up: the request as the upstream sees it, and its deadline."""

    __slots__ = ("_deadline", "_request", "_timeouts", "_upload", "exchange", "plan", "tried")

    def __init__(
        self, exchange: Exchange, plan: Plan, upload: Upload | None, identity: Headers
    ) -> None:
        self.exchange = exchange
        self.plan = plan
        self.tried: list[str] = []
        self._upload = upload
        self._timeouts = plan.timeouts
        self._deadline = 0.0
        self._request = _request(exchange, plan, upload or EMPTY, identity)

    async def send(self, attempt: Attempt, transport: Transport, now: float) -> None:
        """Make *attempt*; the clock of the whole starts with the first one."""
        if not self._deadline:
            self._deadline = now + self._timeouts.total
        elif self._upload is not None:
            self._upload.rewind()
        self.exchange.attempts += 1
        self.exchange.instance = attempt.instance.url
        self.tried.append(attempt.instance.url)
        if len(self.tried) > 1:
            # The attempt before may still be under way: what it sends stays as it is.
            self._request = replace(self._request, headers=self._request.headers.copy())
        self._request.headers[0] = (b"host", self._host(attempt))
        origin, timeouts = attempt.instance.origin, self._timeouts_at(now)
        await attempt.wait(transport.send(origin, self._request, timeouts))
        self.exchange.upstream_seconds += attempt.seconds

    async def resume(self, attempt: Attempt, begun: Begun, now: float) -> None:
        """Go on with *attempt*, which the fast path made."""
        self._deadline = now - begun.waited + self._timeouts.total
        self.exchange.attempts += 1
        self.exchange.instance = attempt.instance.url
        self.tried.append(attempt.instance.url)
        self._request.headers[0] = (b"host", self._host(attempt))
        answer = begun.carry_on(attempt.instance.origin, begun, self._timeouts)
        await attempt.wait(answer, begun.waited)
        self.exchange.upstream_seconds += attempt.seconds

    def answer(self, attempt: Attempt) -> Answer:
        """What the client gets of the attempt that stands; raises what it failed with."""
        received = attempt.answer
        if received is None:
            raise attempt.failure or ValueError("the attempt was not made")
        headers = response_headers(
            received.headers,
            request_id=self.exchange.request_id,
            limits=limit_headers(self.exchange.decision),
            date=http_date(),
            bodiless=received.status in _BODILESS,
            ours=self.plan.ours,
        )
        headers.extend(self._stay(attempt))
        relay = _Relay(self.exchange, attempt, received)
        if isinstance(received, Switched):
            headers.extend(UPGRADE)
            return Answer(received.status, headers, relay, relay.close, received.far_end)
        return Answer(received.status, headers, relay, relay.close, trailers=relay.trailers)

    def _stay(self, attempt: Attempt) -> Headers:
        """The cookie that keeps the client with this instance, where it does not have it yet."""
        name = self.plan.upstream.sticky_cookie
        mark = attempt.instance.mark
        if not name or affinity.cookie(self.exchange.headers, name.encode("ascii")) == mark:
            return []
        return [affinity.set_cookie(name, mark, self.exchange.scheme)]

    @property
    def keyed(self) -> bool:
        """Whether the client promises that the request may be repeated."""
        return bool(values_of(self.exchange.headers, b"idempotency-key"))

    @property
    def replayable(self) -> bool:
        """Whether the request can be sent again from its first byte."""
        return self._upload is None or self._upload.replayable

    def time_left(self, now: float) -> float:
        """Seconds until the deadline, not below zero."""
        return max(0.0, self._deadline - now)

    def out_of_time(self, now: float) -> bool:
        """Whether the deadline has passed."""
        return now >= self._deadline

    def _timeouts_at(self, now: float) -> Timeouts:
        if len(self.tried) == 1:
            return self._timeouts
        given = self._timeouts
        return Timeouts(given.connect, given.first_byte, given.read, self.time_left(now))

    def _host(self, attempt: Attempt) -> bytes:
        if self.plan.route.preserve_host and self.exchange.authority:
            return self.exchange.authority
        return attempt.instance.origin.authority


class _Relay:
    """The answer's body on its way down."""

    __slots__ = ("_attempt", "_body", "_exchange", "size")

    def __init__(self, exchange: Exchange, attempt: Attempt, body: UpstreamAnswer) -> None:
        self._exchange = exchange
        self._attempt = attempt
        self._body = body
        self.size = body.size

    async def read(self) -> bytes:
        """The next piece; raises ``UpstreamError`` when the answer breaks off."""
        try:
            piece = await self._body.read()
        except UpstreamError as failure:
            self._attempt.broke(failure)
            raise
        self._exchange.sent += len(piece)
        return piece

    def trailers(self) -> Headers:
        """Those of the answer that may travel on."""
        received = self._body.trailers
        return passed_on(received) if received else received

    def close(self, error: BaseException | None) -> None:
        """The exchange is over, delivered whole or not."""
        self._attempt.close()


def _request(exchange: Exchange, plan: Plan, body: Body, identity: Headers) -> UpstreamRequest:
    if exchange.canonical is None:
        raise ValueError("the exchange was not admitted")
    target = plan.route.upstream_path(exchange.canonical).encode("ascii")
    if exchange.query is not None:
        target += b"?" + exchange.query
    headers = request_headers(
        exchange.headers,
        host=b"",
        forwarding=Forwarding(
            peer=exchange.peer.encode(),
            scheme=exchange.scheme.encode(),
            host=exchange.authority,
            port=b"%d" % exchange.port,
            trusted=exchange.trusted,
        ),
        request_id=exchange.request_id,
        traceparent=exchange.traceparent,
        identity=identity,
        keep_authorization=plan.route.forward_authorization or not _by_token(exchange.caller),
    )
    sent_length = exchange.method in _METHODS_WITH_BODY and bool(
        values_of(exchange.headers, b"content-length")
    )
    return UpstreamRequest(exchange.method, target, headers, body, force_length=sent_length)


def _by_token(caller: Caller | None) -> bool:
    return caller is not None and caller.kind == CredentialKind.JWT


def identity_headers(caller: Caller | None) -> Headers:
    """What the upstream is told about the verified caller (CONTRACT §5)."""
    if caller is None:
        return []
    values = (
        (b"x-user-id", caller.user_id),
        (b"x-consumer", caller.consumer),
        (b"x-roles", ",".join(caller.roles)),
        (b"x-permissions", ",".join(caller.permissions)),
        (b"x-auth-method", caller.kind.value),
    )
    return [(name, value.encode()) for name, value in values if value]
