"""Why a request takes the route it takes. Pure: reads a table, decides nothing."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from routing.matching import Entry, Result, Router, host_key
from routing.paths import CanonicalPath
from routing.plans import RoutePlan
from routing.table import Table


@dataclass(frozen=True, slots=True)
class Loser:
    """A route that was not taken: the predicate that decided, and how.

    ``near`` tells routes whose path matches from those that are simply somewhere else.
    """

    name: str
    predicate: str
    reason: str
    near: bool = True


@dataclass(frozen=True, slots=True)
class Explanation:
    """What the table says to one request. ``winner`` is there when the result is FULL."""

    result: Result
    winner: RoutePlan | None
    allow: tuple[str, ...]
    losers: tuple[Loser, ...]


def explain(table: Table, method: str, host: str, path: CanonicalPath) -> Explanation:
    """Match the request and ask every other route why it was not the one."""
    match = table.match(method, host, path)
    winner = match.route if match.result is Result.FULL else None
    losers = tuple(
        _lost(plan, winner, method, host, path)
        for plan in table.get_all_routes()
        if plan is not winner
    )
    return Explanation(match.result, winner, match.allow, losers)


def _lost(
    plan: RoutePlan, winner: RoutePlan | None, method: str, host: str, path: CanonicalPath
) -> Loser:
    if _alone(plan, ()).match(method, host, path).result is Result.NONE:
        return Loser(plan.name, "path", f"{plan.spec.path} does not match", near=False)
    result = _alone(plan, plan.hosts).match(method, host, path).result
    if result is Result.NONE:
        return Loser(plan.name, "host", f"only for {', '.join(plan.hosts)}")
    if result is Result.PARTIAL or winner is None:
        return Loser(plan.name, "method", f"only {', '.join(plan.allow)}")
    return Loser(plan.name, *_outranked(plan, winner, host))


def _alone(plan: RoutePlan, hosts: Iterable[str]) -> Router[RoutePlan]:
    entry = Entry(
        plan,
        plan.name,
        plan.pattern,
        tuple(hosts),
        plan.methods,
        plan.priority,
        plan.merge_slashes,
    )
    return Router.build([entry])


def _outranked(plan: RoutePlan, winner: RoutePlan, host: str) -> tuple[str, str]:
    if _host_rank(plan, host) != _host_rank(winner, host):
        return "host", f"{winner.name} names the host more closely"
    if plan.priority != winner.priority:
        return "priority", f"{plan.priority} is below {winner.priority} of {winner.name}"
    if plan.pattern.specificity != winner.pattern.specificity:
        return "path", f"{winner.spec.path} of {winner.name} is more specific"
    return "name", f"{winner.name} comes first"


def _host_rank(plan: RoutePlan, host: str) -> tuple[int, int]:
    """Lower is closer: exact, then the longest wildcard, then none."""
    name = host_key(host)
    if name in plan.hosts:
        return (0, 0)
    suffixes = (one[1:] for one in plan.hosts if one.startswith("*."))
    longest = max((len(one) for one in suffixes if name.endswith(one)), default=0)
    return (1, -longest) if longest else (2, 0)
