"""``explain METHOD URL``: what the gateway would do with a request; sends nothing (CONTRACT §1)."""

from __future__ import annotations

import re
from argparse import ArgumentParser
from collections.abc import Iterator
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from routing.document import LimitSpec
from routing.errors import BadPath, ConfigurationError
from routing.explaining import Explanation, Loser, explain
from routing.matching import host_key
from routing.paths import CanonicalPath, canonical
from routing.plans import InstancePlan, RoutePlan, ServicePlan
from routing.reading import compile_rows
from routing.reserved import is_reserved
from routing.revision import current
from routing.table import Table, build_table
from routing.watching import build

_LISTED = 10
_URL = re.compile(
    r"(?:https?://(?P<host>[\w.-]+(?::\d+)?|\[[0-9A-Fa-f:.]+\](?::\d+)?))?(?P<path>/[^?#]*)?(?:[?#].*)?",
    re.DOTALL | re.ASCII,
)
_METHOD = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")  # RFC 9110, 5.6.2: a token


class Command(BaseCommand):
    """Reads the current revision, or the rows before anything was published."""

    help = "Show which route a request takes and why, its policies and its instances."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("method", metavar="METHOD")
        parser.add_argument("url", metavar="URL", help="a path, or http://host/path")
        parser.add_argument(
            "-H", "--header", action="append", default=[], metavar="'Name: value'", dest="headers"
        )

    def handle(self, *_: Any, **options: Any) -> None:
        headers = dict(_header(text) for text in options["headers"])
        method = options["method"].upper()
        if not _METHOD.fullmatch(method):
            raise CommandError(f"METHOD {options['method']!r}: expected a name such as GET")
        host, target = _taken_apart(options["url"])
        host = host_key(headers.get("host", host))
        try:
            path = canonical(target)
        except BadPath as error:
            self.stdout.write(f"400 bad_path: {error}")
            return
        self.stdout.write(f"request    {method} {path.text}" + (f" for {host}" if host else ""))
        if is_reserved(path.text):
            self.stdout.write("reserved   the gateway answers this path itself")
            return
        table = _table()
        explanation = explain(table, method, host, path)
        for line in (*_outcome(table, explanation, path, headers), *_losers(explanation.losers)):
            self.stdout.write(line)


def _header(text: str) -> tuple[str, str]:
    name, colon, value = text.partition(":")
    if not colon or not name.strip():
        raise CommandError(f"-H {text!r}: expected 'Name: value'")
    return name.strip().lower(), value.strip()


def _taken_apart(url: str) -> tuple[str, bytes]:
    """Host and raw path of *url*, nothing decoded: what a client would put on the wire."""
    parts = _URL.fullmatch(url)
    if parts is None:
        raise CommandError(f"URL {url!r}: expected /path or http://host/path")
    return parts["host"] or "", (parts["path"] or "/").encode()


def _table() -> Table:
    published = current()
    if published is None:
        return build_table(compile_rows().document)
    try:
        return build(published.document.encode())
    except ConfigurationError as error:
        raise CommandError(str(error)) from None


def _outcome(
    table: Table, explanation: Explanation, path: CanonicalPath, headers: dict[str, str]
) -> Iterator[str]:
    winner = explanation.winner
    if winner is None and explanation.allow:
        yield f"405 method_not_allowed: allowed are {', '.join(explanation.allow)}"
    elif winner is None:
        yield "404 route_not_found"
    elif winner.fault:
        yield f"route      {winner.name} ({winner.spec.path})"
        yield f"503 route_misconfigured: {winner.fault}"
    else:
        yield f"route      {winner.name} ({winner.spec.path})"
        yield from _policies(table, winner, headers)
        yield from _forwarding(table, winner, path)


def _policies(table: Table, plan: RoutePlan, headers: dict[str, str]) -> Iterator[str]:
    own = plan.max_body_bytes
    yield f"body       at most {settings.GATEWAY.max_body_bytes if own is None else own} bytes"
    if plan.auth_methods:
        offered = "Bearer token" if "authorization" in headers else "no credential"
        offered = "API key" if "x-api-key" in headers and offered != "Bearer token" else offered
        accepted = " or ".join(sorted(plan.auth_methods))
        yield f"identify   {accepted} required; this request brings {offered}"
    else:
        yield "identify   public"
    yield from _spending(table, plan)


def _spending(table: Table, plan: RoutePlan) -> Iterator[str]:
    if not settings.GATEWAY.rate_limit_enabled:
        yield "spend      no limit: RATE_LIMIT_ENABLED is false"
        return
    for limit in plan.limits:
        yield f"spend      {_limit(limit)}"
    for limit in table.limits:
        yield f"spend      {_limit(limit)}, over all routes"
    if not plan.limits and not table.limits:
        yield "spend      no limit"


def _limit(limit: LimitSpec) -> str:
    shadow = ", only counted" if limit.mode == "shadow" else ""
    return f"{limit.limit} per {limit.per}, burst {limit.capacity}, by {limit.by}{shadow}"


def _forwarding(table: Table, plan: RoutePlan, path: CanonicalPath) -> Iterator[str]:
    service = plan.service
    try:
        yield f"forward    {plan.upstream_path(path)} to {service.name}, {service.spec.balancer}"
    except BadPath as error:
        yield f"400 bad_path: {error}"
        return
    connect, first_byte, read, total = plan.seconds
    yield (
        f"timeouts   connect {connect:g} s, first byte {first_byte:g} s, read {read:g} s, "
        f"total {total:g} s"
    )
    retry = service.spec.retry
    yield f"retry      {retry.attempts} attempts, on {', '.join(retry.on)}"
    yield f"breaker    {_breaker(service)}"
    yield from _instances(table.get_instances(service.name))


def _breaker(service: ServicePlan) -> str:
    breaker = service.spec.breaker
    if not settings.GATEWAY.circuit_breaker_enabled:
        return "none: CIRCUIT_BREAKER_ENABLED is false"
    return "none" if breaker is None else f"{breaker.failure_threshold} failures"


def _instances(instances: tuple[InstancePlan, ...]) -> Iterator[str]:
    for one in instances:
        state = "candidate" if one.healthy and one.weight else "not used"
        reason = "" if one.healthy else ", marked unhealthy"
        reason += "" if one.weight else ", drained"
        yield f"instance   {one.url} weight {one.weight}: {state}{reason}"
    if not instances:
        yield "instance   none in the configuration"


def _losers(losers: tuple[Loser, ...]) -> Iterator[str]:
    elsewhere = [one for one in losers if not one.near]
    for one in (*(one for one in losers if one.near), *elsewhere[:_LISTED]):
        yield f"lost       {one.name} by {one.predicate}: {one.reason}"
    if len(elsewhere) > _LISTED:
        yield f"lost       {len(elsewhere) - _LISTED} more routes by path"
