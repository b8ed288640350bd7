"""What the engine may learn of an exchange that Python has just served.

A lesson is the route, the path and the caller of one request: how Python decided about it, good for
a while. It is given only where every later request like it would be decided alike from these facts
alone; whatever needs a look at the request, at a moment or at a policy keeps to Python.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

import msgspec

from keys.caller import Caller, KeyRecord
from keys.credentials import CredentialKind
from keys.digest import hash_api_key
from keys.lookup import KeyLookup
from proxying.exchange import EMPTY, Exchange
from proxying.fastpath.messages import Command, Writer
from proxying.forwarding import identity_headers
from proxying.headers import values_of
from proxying.snapshot import Plan
from proxying.upstreams import Instance, Upstream
from quotas.bucket import Rule
from quotas.policies import policy_of, rules_for
from quotas.rules import identifiers

_LONGEST_GRANT = 3600.0
_SECRET_LOOKING = (b"eyJ", b"gw_")
"""What the request log would make unreadable."""
_NEVER = float("inf")


@dataclass(frozen=True, slots=True)
class Lesson:
    """What is taught of one exchange."""

    plan: Plan
    caller: Caller | None
    client: str
    """Empty where it does not matter who asks."""
    api_key: bytes
    authorization: bytes
    host: str
    path: str
    target: bytes
    rules: tuple[Rule, ...]
    keys: tuple[str, ...]
    seconds: float
    record: KeyRecord | None
    """The caller's API key."""

    def message(
        self, revision: int, numbers: tuple[int, int, int], rows: bytes, prefix: str
    ) -> bytes:
        """For the engine; *numbers* of plan, service and account, *rows* of metrics, *prefix* that
        of Redis.
        """
        plan, service, account = numbers
        route = self.plan.route
        times = self.plan.timeouts
        breaker = route.service.spec.breaker
        slow = breaker.slow_seconds if breaker is not None else None
        to = Writer(Command.LESSON).u32(revision)
        to.u32(plan).u32(service).u8(route.preserve_host).u8(bool(self.client))
        to.f64(min(times.first_byte, times.total)).f64(times.connect)
        to.f64(_NEVER if slow is None else slow)
        to.blob(_line(route=route.name, service=route.service.name)).raw(rows)
        to.u32(plan).blob(self.host.encode()).blob(self.path.encode()).blob(self.target)
        to.u32(plan).blob(self.client.encode()).blob(self.api_key).blob(self.authorization)
        to.u32(account).u8(self.caller is not None).i64(self.record.key_id if self.record else 0)
        to.f64(self.seconds)
        to.blob(b"".join(b"%b: %b\r\n" % one for one in identity_headers(self.caller)))
        to.blob(
            _line(
                user=self.caller.user_id if self.caller else "",
                key=self.caller.key_prefix if self.caller else "",
            )
        )
        to.list(
            zip(self.rules, self.keys, strict=True),
            lambda one, pair: _write_rule(one, pair[0], prefix + pair[1]),
        )
        return to.message()


def _line(**texts: str) -> bytes:
    """Members of a line of the request log."""
    return msgspec.json.encode(texts)[1:-1]


def _write_rule(to: Writer, rule: Rule, key: str) -> None:
    to.blob(key.encode()).i64(rule.limit).i64(rule.full).i64(rule.price)
    to.i64(rule.tick_us).i64(rule.token)


class Teacher:
    """Decides what may be learnt. *limited*: limits apply at all."""

    def __init__(self, keys: KeyLookup, *, limited: bool) -> None:
        self._keys = keys
        self.limits = False
        """Whether the engine can spend from limits now."""
        self._limited = limited

    def lesson(self, exchange: Exchange, plan: Plan) -> Lesson | None:
        """The lesson of *exchange*, which was served by *plan*; ``None``: there is none."""
        if not _is_plain(exchange) or not suits(plan.upstream, plan):
            return None
        rules = self._rules(exchange, plan)
        if rules is None:
            return None
        asks_who = bool(plan.route.auth_methods or rules)
        credentials = _Credentials(exchange) if asks_who else _NOBODY
        record = self._record(exchange.caller, credentials)
        seconds = _seconds(exchange.caller, record)
        if seconds <= 0 or exchange.canonical is None:
            return None
        client = exchange.client if asks_who else ""
        return Lesson(
            plan=plan,
            caller=exchange.caller,
            client=client,
            api_key=credentials.api_key,
            authorization=credentials.authorization,
            host=exchange.host,
            path=exchange.path,
            target=plan.route.upstream_path(exchange.canonical).encode("ascii"),
            rules=rules,
            keys=identifiers(rules, exchange.caller, exchange.client, (), plan.route.name),
            seconds=seconds,
            record=record,
        )

    def _rules(self, exchange: Exchange, plan: Plan) -> tuple[Rule, ...] | None:
        """The limits that apply; ``None`` where the engine cannot spend from all of them."""
        if not self._limited:
            return ()
        policy = policy_of(exchange.caller)
        rules = rules_for(plan.limits, policy)
        if policy.fault or (rules and not self.limits):
            return None
        return rules if all(map(_is_plain_rule, rules)) else None

    def _record(self, caller: Caller | None, credentials: _Credentials) -> KeyRecord | None:
        """The key of *caller*, if it is remembered and confirmed."""
        if caller is None:
            return None
        digest = hash_api_key(credentials.api_key.strip(b" \t").decode("ascii"))
        return self._keys.remembered(digest)


class _Credentials:
    """What a request offers, as the engine sees it."""

    __slots__ = ("api_key", "authorization")

    def __init__(self, exchange: Exchange | None) -> None:
        headers = exchange.headers if exchange is not None else []
        self.api_key = b"".join(values_of(headers, b"x-api-key")[:1])
        self.authorization = b"".join(values_of(headers, b"authorization")[:1])


_NOBODY = _Credentials(None)


def _seconds(caller: Caller | None, record: KeyRecord | None) -> float:
    """For how long the engine may take such a request for the caller's."""
    if caller is None:
        return _LONGEST_GRANT
    if record is None or not record.active:
        return 0.0
    if record.expires_at is None:
        return _LONGEST_GRANT
    return min(_LONGEST_GRANT, record.expires_at - time.time())


def _is_plain(exchange: Exchange) -> bool:
    return (
        exchange.method == "GET"
        and exchange.version == b"1.1"
        and exchange.body is EMPTY
        and exchange.scheme == "http"
        and not exchange.websocket_key
        and not exchange.trusted
        and not exchange.error
        and bool(exchange.host)
        and exchange.target == exchange.path.encode("ascii")
        and not any(mark in exchange.target for mark in _SECRET_LOOKING)
        and (exchange.caller is None or _is_plain_caller(exchange.caller))
    )


def _is_plain_caller(caller: Caller) -> bool:
    return caller.kind is CredentialKind.API_KEY and caller.user_id.isascii()


def _is_plain_rule(rule: Rule) -> bool:
    return rule.enforced and rule.window is None and rule.by != "header"


def suits(upstream: Upstream, plan: Plan) -> bool:
    """Whether nothing about the service asks for more than round robin over plain HTTP."""
    spec = plan.route.service.spec
    return (
        not plan.ours
        and not plan.route.fault
        and spec.balancer == "round_robin"
        and not spec.sticky_cookie
        and not spec.slow_start
        and not spec.signed_identity
        and spec.retry.hedge_after is None
        and spec.overload.max_requests is None
        and not spec.overload.adaptive
        and all(map(_is_plain_instance, upstream.instances))
    )


def _is_plain_instance(instance: Instance) -> bool:
    return instance.origin.scheme == "http" and instance.origin.link.transport == "native"


def usable(upstream: Upstream) -> Sequence[Instance]:
    """The instances that may be asked without a permit: nothing keeps requests from them."""
    if upstream.is_out:
        return ()
    return [one for one in upstream.instances if not one.is_out and one.state.weight]
