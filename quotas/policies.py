"""What applies to a consumer besides the limits of routes: limits of its own and a quota plan.

Read with the consumer's keys (:mod:`keys.policies`), compiled once, kept with the caller. Leans on
the rows and on :mod:`quotas.rules`.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from django.db.models.signals import post_delete, post_save

from keys.caller import Caller
from keys.models import Consumer, KeyEpoch
from keys.policies import provide
from quotas.bucket import SECOND, Rule
from quotas.calendar import Window
from quotas.models import Plan, PlanMembership, RateLimit
from quotas.rules import PERIODS, RouteLimits, compile_consumer_rules, consumer_prefix
from quotas.sections import specs_by
from routing.compiling import limit_findings
from routing.errors import ConfigurationError, Fault
from routing.signals import configuration_changed

_QUOTAS: tuple[Window, ...] = ("day", "month")


@dataclass(frozen=True, slots=True)
class ConsumerPolicy:
    """The compiled rules of one consumer.

    ``replaces``: a route's own limits do not apply to it. With a ``fault`` nothing of it may pass:
    a limit that cannot be applied must not be left out.
    """

    rules: tuple[Rule, ...] = ()
    replaces: bool = False
    fault: str = ""


_NONE = ConsumerPolicy()


def policy_of(caller: Caller | None) -> ConsumerPolicy:
    """What is attached to *caller*."""
    if caller is not None and isinstance(caller.policy, ConsumerPolicy):
        return caller.policy
    return _NONE


def rules_for(limits: RouteLimits, policy: ConsumerPolicy) -> tuple[Rule, ...]:
    """Every rule of one request: the route's, the consumer's, everybody's."""
    own = () if policy.replaces else limits.own
    return own + policy.rules + limits.everywhere


def connect() -> None:
    """Attach policies to callers, and let changes of them reach the workers as changes of keys."""
    provide(read_policies)
    for model in (RateLimit, Plan, PlanMembership):
        for signal in (post_save, post_delete, configuration_changed):
            signal.connect(_changed, sender=model, dispatch_uid=f"policies.{model._meta.label}")


def _changed(using: str, *, instance: Any = None, created: bool = False, **_: Any) -> None:
    # A new limit of a route reaches the workers with the revision; no caller has it yet.
    if created and isinstance(instance, RateLimit) and instance.consumer_id is None:
        return
    KeyEpoch.bump(using)


def read_policies(consumer_ids: Collection[int]) -> Mapping[int, ConsumerPolicy]:
    """The policies of these consumers; four queries at most."""
    rows = RateLimit.objects.filter(consumer_id__in=consumer_ids)
    limits = specs_by(rows, "consumer_id")
    members = PlanMembership.objects.filter(consumer_id__in=consumer_ids).select_related("plan")
    plans = {row.consumer_id: row.plan for row in members}
    if not limits and not plans:
        return {}
    owners = {*limits, *plans}
    overriding = set(rows.filter(override=True).values_list("consumer_id", flat=True))
    names = Consumer.objects.filter(pk__in=owners).values_list("pk", "name")
    return {
        pk: _compiled(f"consumer:{name}", limits.get(pk, ()), pk in overriding, plans.get(pk))
        for pk, name in names
    }


def _compiled(
    identity: str, limits: tuple[Any, ...], replaces: bool, plan: Plan | None
) -> ConsumerPolicy:
    try:
        _check(limits)
        rules = compile_consumer_rules(identity, limits)
        quotas = tuple(_quotas(identity, plan)) if plan else ()
    except ValueError as error:
        return ConsumerPolicy(fault=f"the limits of {identity} do not compile: {error}")
    return ConsumerPolicy(rules + quotas, replaces)


def _check(limits: tuple[Any, ...]) -> None:
    faults = [
        Fault(f"limits[{place}]", *finding)
        for place, limit in enumerate(limits)
        for finding in limit_findings(limit)
    ]
    if faults:
        raise ValueError(str(ConfigurationError(faults)))


def _quotas(identity: str, plan: Plan) -> Iterator[Rule]:
    for window, quota in zip(_QUOTAS, (plan.daily, plan.monthly), strict=True):
        if quota is not None:
            yield Rule(
                key_prefix=f"{consumer_prefix(identity)}{window}:",
                limit=quota,
                period_us=PERIODS["day"] * SECOND,
                capacity=quota,
                window=window,
                plan=plan.name,
            )
