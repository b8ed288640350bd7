"""From limits to rules (once per publish), and from a request to its buckets' keys.

A key of a route's limit is ``quota:{<route>}:<rule>:<identifier>``, each part hashed
(BLAKE2b-128); of a limit over all routes ``quota:{<identifier>}:<rule>``; of a consumer's
``quota:{<consumer>}:<rule>:<identifier>``. Nothing a client sends can shape a key or make it long.
The hash tag decides on the slot in a Redis Cluster: as a rule a request has buckets in one for its
route and in one for its caller. The rule part holds neither limit, burst, cost nor mode: a live
edit keeps every level. Leans on ``runtime.networks`` for what counts as one address.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import TYPE_CHECKING, get_args

from quotas.bucket import SECOND, By, Rule
from quotas.errors import BadRule
from runtime.networks import limit_key

if TYPE_CHECKING:
    from keys.caller import Caller
    from routing.document import LimitSpec
    from routing.plans import RoutePlan

PERIODS = {"second": 1, "minute": 60, "hour": 3_600, "day": 86_400}
"""Seconds."""

_HEADER = re.compile(r"header:(?P<name>[!#$%&'*+.^_`|~0-9A-Za-z-]+)")
_SIMPLE: dict[str, By] = {by: by for by in get_args(By) if by != "header"}


@dataclass(frozen=True, slots=True)
class RouteLimits:
    """The rules of one route's requests: its own, and those of every route. Compiled at publish."""

    route: str
    own: tuple[Rule, ...] = ()
    everywhere: tuple[Rule, ...] = ()


def compile_limits(route: RoutePlan, everywhere: Sequence[LimitSpec] = ()) -> RouteLimits:
    """What applies to *route*, given the limits over all routes. Raises ``BadRule``."""
    tag = _digest(route.name)
    rules = []
    for spec, family in zip(everywhere, _families("global", everywhere), strict=True):
        shared = spec.by != "route"
        prefix = family if shared else f"quota:{{{tag}}}:{family}:"
        rules.append(_rule(prefix, spec, route.name, shared=shared))
    return RouteLimits(route.name, compile_rules(route), tuple(rules))


def compile_rules(route: RoutePlan) -> tuple[Rule, ...]:
    """The rules of *route* alone, in its order. Raises ``BadRule``."""
    tag = _digest(route.name)
    return tuple(
        _rule(f"quota:{{{tag}}}:{family}:", spec, route.name)
        for spec, family in zip(route.limits, _families("", route.limits), strict=True)
    )


def compile_consumer_rules(identity: str, limits: Sequence[LimitSpec]) -> tuple[Rule, ...]:
    """The rules of the consumer whose caller has *identity*. Raises ``BadRule``."""
    return tuple(
        _rule(f"{consumer_prefix(identity)}{family}:", spec, "")
        for spec, family in zip(limits, _families("consumer", limits), strict=True)
    )


def consumer_prefix(identity: str) -> str:
    """What the keys of a consumer's buckets begin with."""
    return f"quota:{{{_digest(identity)}}}:"


def quota_key(rule: Rule, identity: str) -> str:
    """The key of a consumer's quota of a calendar period."""
    return rule.key_prefix + _digest(identity)


def _families(scope: str, limits: Sequence[LimitSpec]) -> Iterator[str]:
    """A name for each limit that an edit of its numbers does not change."""
    seen: Counter[tuple[str, str]] = Counter()
    for spec in limits:
        family = (spec.by, spec.per)
        yield _digest(f"{scope} {spec.by} {spec.per} {seen[family]}".lstrip())
        seen[family] += 1


def parse_by(by: str) -> tuple[By, bytes]:
    """What a limit counts by, and the lower-case header name for ``header:Name``.

    Raises ``BadRule``, naming what is allowed.
    """
    if by in _SIMPLE:
        return _SIMPLE[by], b""
    header = _HEADER.fullmatch(by)
    if header is None:
        raise BadRule(f"by: {by!r} is none of {', '.join(_SIMPLE)}, header:<name of a header>")
    return "header", header["name"].lower().encode()


def identifiers(
    rules: Sequence[Rule],
    caller: Caller | None,
    client: str,
    headers: Iterable[tuple[bytes, bytes]],
    route: str = "",
) -> tuple[str, ...]:
    """The key of each rule's bucket for this request.

    *client* is the client's address, *headers* have lower-case names, *route* is the name of the
    request's route.
    """
    return tuple(_key(rule, subject(rule, caller, client, headers, route)) for rule in rules)


def _key(rule: Rule, who: str) -> str:
    digest = _digest(who)
    return f"quota:{{{digest}}}:{rule.key_prefix}" if rule.shared else rule.key_prefix + digest


def subject(
    rule: Rule,
    caller: Caller | None,
    client: str,
    headers: Iterable[tuple[bytes, bytes]],
    route: str = "",
) -> str:
    """Who shares a bucket of *rule*, readable: ``user:7``, ``api_key:3``, ``ip:192.0.2.1``, …

    Different ones never read the same: up to its first colon it says what follows. A request
    without what the rule counts by (no key, no such header or an empty one) falls back to its
    caller, then to its address. It is as long as the client cares to make it.
    """
    match rule.by:
        case "route":
            return f"route:{route}"
        case "header" if value := _value(rule.header, headers):
            return f"header:{value}"
        case "ip":
            return caller_of(None, client)
        case "api_key" if caller is not None and caller.key_id is not None:
            return f"api_key:{caller.key_id}"
    return caller_of(caller, client)


def _value(name: bytes, headers: Iterable[tuple[bytes, bytes]]) -> str:
    return b", ".join(value for key, value in headers if key == name).decode("latin-1")


def caller_of(caller: Caller | None, client: str) -> str:
    """Whom a request is counted for: its caller, else its address."""
    return f"ip:{limit_key(client)}" if caller is None else caller.identity


def _rule(prefix: str, spec: LimitSpec, route: str, *, shared: bool = False) -> Rule:
    kind, header = parse_by(spec.by)
    return Rule(
        key_prefix=prefix,
        limit=spec.limit,
        period_us=PERIODS[spec.per] * SECOND,
        capacity=spec.capacity,
        mode=spec.mode,
        on_store_failure=spec.on_store_failure,
        by=kind,
        route=route,
        header=header,
        cost=spec.cost,
        shared=shared,
    )


def _digest(text: str) -> str:
    return blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()
