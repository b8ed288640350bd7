"""From a route's limits to rules (once per publish), and from a request to its buckets' keys.

A key is ``quota:{<route>}:<rule>:<identifier>``, each part hashed (BLAKE2b-128). Nothing a client
sends can shape a key or make it long, and as the route is the hash tag, all the buckets of one
request live in one slot of a Redis Cluster. The rule part holds neither limit, burst nor mode: a
live edit keeps every level. Leans on ``runtime.networks`` for what counts as one address.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
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


def compile_rules(route: RoutePlan) -> tuple[Rule, ...]:
    """The rules of *route*, in its order. Raises ``BadRule``."""
    tag = _digest(route.name)
    seen: Counter[tuple[str, str]] = Counter()
    rules = []
    for spec in route.limits:
        kind, header = parse_by(spec.by)
        family = (spec.by, spec.per)
        rule = _digest(f"{spec.by} {spec.per} {seen[family]}")
        seen[family] += 1
        rules.append(_rule(f"quota:{{{tag}}}:{rule}:", spec, kind, header, route.name))
    return tuple(rules)


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
) -> tuple[str, ...]:
    """The key of each rule's bucket for this request.

    *client* is the client's address, *headers* have lower-case names.
    """
    return tuple(
        rule.key_prefix + _digest(subject(rule, caller, client, headers)) for rule in rules
    )


def subject(
    rule: Rule,
    caller: Caller | None,
    client: str,
    headers: Iterable[tuple[bytes, bytes]],
) -> str:
    """Who shares a bucket of *rule*, readable: ``user:7``, ``api_key:3``, ``ip:192.0.2.1``, …

    Different ones never read the same: up to its first colon it says what follows. A request
    without what the rule counts by falls back to its caller, then to its address; a missing header
    is an empty value. It is as long as the client cares to make it.
    """
    match rule.by:
        case "route":
            return "route:"
        case "header":
            values = [value for name, value in headers if name == rule.header]
            return f"header:{b', '.join(values).decode('latin-1')}"
        case "api_key" if caller is not None and caller.key_id is not None:
            return f"api_key:{caller.key_id}"
        case "caller" | "user" | "api_key" if caller is not None:
            return caller.identity
    return f"ip:{limit_key(client)}"


def _rule(prefix: str, spec: LimitSpec, kind: By, header: bytes, route: str) -> Rule:
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
    )


def _digest(text: str) -> str:
    return blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()
