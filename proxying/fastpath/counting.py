"""What the engine served, counted as if it had been served here: breakers, limits, uses of keys.

What is only added up the engine adds itself, to rows of metrics that were made for it here.
``native/src/ledger.rs`` is the other side of the ledger that is read here.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple

from keys.caller import Caller
from proxying import metrics
from proxying.fastpath.directory import Directory
from proxying.fastpath.messages import Reader, addresses
from proxying.snapshot import Plan
from quotas.bucket import Decision, Rule
from quotas.meter import Meter
from quotas.metrics import DECISIONS
from quotas.rules import caller_of

_ALLOWED = Decision(True, 0, 0, 0, 0, None)
_MOST_ACCOUNTS = 131_072


class Account(NamedTuple):
    """Whom limited requests of a route are counted for. ``rule`` is one of the limits."""

    plan: Plan
    caller: Caller | None
    client: str
    rule: Rule


@dataclass(slots=True)
class Books:
    """What the numbers in the ledger stand for, and where its counts go."""

    meter: Meter | None
    note_use: Callable[[int], None]
    directory: Directory
    _accounts: dict[int, Account] = field(default_factory=dict, init=False)
    _past: dict[int, Account] = field(default_factory=dict, init=False)
    """Accounts of before, until what was served for them is counted."""
    _numbers: dict[tuple[str, str], int] = field(default_factory=dict, init=False)
    """Of accounts, by route and whom they are for."""
    _last: int = field(default=0, init=False)
    _rows: dict[tuple[str, str], bytes] = field(default_factory=dict, init=False)
    """Of routes and their services: made once, whatever revisions come."""
    _in_flight: int = field(default=0, init=False)

    # --- what is to be counted ------------------------------------------------------------------

    def route_rows(self, plan: Plan) -> bytes:
        """The engine's rows of a route: outcomes, durations, and what limits let pass."""
        route, service = plan.route.name, plan.route.service.name
        rows = self._rows.get((route, service))
        if rows is None:
            outcomes = [
                metrics.REQUESTS.address(route, service, "GET", one, "")
                for one in metrics.PLAIN_CLASSES
            ]
            duration = metrics.DURATION.address(route)
            rows = addresses(*outcomes, duration, DECISIONS.address(route, "allowed"))
            self._rows[route, service] = rows
        return rows

    def account(self, plan: Plan, caller: Caller | None, client: str, rule: Rule | None) -> int:
        """The number of an account; 0 where nobody asks."""
        if rule is None:
            return 0
        key = plan.route.name, caller_of(caller, client)
        number = self._numbers.get(key)
        if number is None:
            self._last = number = self._last % (2**32 - 1) + 1
            self._numbers[key] = number
            self._accounts[number] = Account(plan, caller, client, rule)
        return number

    @property
    def is_full(self) -> bool:
        """Whether there are as many accounts as there may be."""
        return len(self._accounts) >= _MOST_ACCOUNTS

    def rule_of(self, account: int) -> Rule | None:
        """One of the limits of an account."""
        known = self._accounts.get(account) or self._past.get(account)
        return known.rule if known is not None else None

    def forget_accounts(self) -> None:
        """They are no longer given; what the last ones served is counted yet."""
        self._past, self._accounts = self._accounts, {}
        self._numbers.clear()

    # --- counting it ----------------------------------------------------------------------------

    def enter(self, ledger: bytes, *, whole: bool) -> bytes:
        """Count everything in *ledger*; the lines of the request log that are in it."""
        read = Reader(ledger)
        in_flight, dropped = read.numbers("QQ")
        metrics.in_flight.level += in_flight - self._in_flight
        self._in_flight = in_flight
        if dropped:
            metrics.DROPPED.labels("fast path log").inc(dropped)
        for number, answers, successes, slow in read.list("IQQQ"):
            self._count_answers(number, answers, successes, slow)
        lines = read.blob()
        if whole:
            for number, count in read.list("IQ"):
                self._count_account(number, count)
            for (key_id,) in read.list("Q"):
                self.note_use(key_id)
        return lines

    def _count_answers(self, number: int, answers: int, successes: int, slow: int) -> None:
        instance = self.directory.instance(number)
        if instance is None:
            return
        now = time.monotonic()
        upstream = self.directory.upstream(instance.service)
        if upstream is not None:
            upstream.budget.note_request(now, answers)
        if successes:
            for breaker in instance.judges:
                breaker.note_successes(successes, slow, now)

    def _count_account(self, number: int, count: int) -> None:
        account = self._accounts.get(number) or self._past.get(number)
        if account is not None and self.meter is not None:
            limits = account.plan.limits
            self.meter.record(limits, account.caller, account.client, _ALLOWED, count)
