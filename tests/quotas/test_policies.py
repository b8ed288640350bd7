"""What applies to a consumer besides the limits of routes, and how it reaches its caller."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from django.core.exceptions import ValidationError

from keys.caller import Caller
from keys.models import ApiKey, Consumer
from keys.store import fetch_records, read_epoch
from quotas.bucket import Decision
from quotas.errors import LimiterUnavailable
from quotas.limiter import Limiter
from quotas.meter import Meter
from quotas.models import Plan, PlanMembership, RateLimit
from quotas.policies import policy_of, rules_for
from quotas.rules import RouteLimits, compile_limits
from quotas.stores.memory import MemoryStore
from routing.document import LimitSpec
from tests.models import world
from tests.support.plans import plan_of

pytestmark = pytest.mark.django_db


@pytest.fixture
def acme() -> Consumer:
    return Consumer.objects.create(name="acme")


def caller_of(consumer: Consumer) -> Caller:
    key = ApiKey.objects.filter(consumer=consumer).first() or ApiKey.objects.issue(consumer)[0]
    return fetch_records([key.digest])[key.digest].caller


def limits_of_route(*own: int, everywhere: int = 1000) -> RouteLimits:
    route = plan_of("r", *(LimitSpec(limit=one) for one in own))
    return compile_limits(route, [LimitSpec(limit=everywhere)])


def applying(consumer: Consumer) -> list[int]:
    rules = rules_for(limits_of_route(5), policy_of(caller_of(consumer)))
    return [rule.limit for rule in rules]


def test_without_limits_of_its_own_those_of_the_route_and_of_all_apply(acme: Consumer) -> None:
    assert applying(acme) == [5, 1000]


def test_a_consumers_limit_applies_besides_the_routes(acme: Consumer) -> None:
    RateLimit.objects.create(consumer=acme, limit=50)
    assert applying(acme) == [5, 50, 1000]


def test_an_overriding_limit_takes_the_place_of_the_routes_alone(acme: Consumer) -> None:
    RateLimit.objects.create(consumer=acme, limit=50, override=True)
    assert applying(acme) == [50, 1000]


def test_a_plan_applies_by_day_and_month(acme: Consumer) -> None:
    plan = Plan.objects.create(name="bronze", daily=10, monthly=100)
    PlanMembership.objects.create(consumer=acme, plan=plan)
    rules = policy_of(caller_of(acme)).rules
    assert [(rule.window, rule.limit, rule.plan) for rule in rules] == [
        ("day", 10, "bronze"),
        ("month", 100, "bronze"),
    ]


@pytest.mark.parametrize("change", ["save", "update", "delete", "member"])
def test_a_change_of_what_applies_is_a_change_of_keys(acme: Consumer, change: str) -> None:
    limit = RateLimit.objects.create(consumer=acme, limit=50)
    before = read_epoch()
    match change:
        case "save":
            limit.save()
        case "update":
            RateLimit.objects.update(limit=60)
        case "delete":
            limit.delete()
        case _:
            plan = Plan.objects.create(name="bronze")
            PlanMembership.objects.create(consumer=acme, plan=plan)
    assert read_epoch() > before


async def spend(consumer_limits: list[Any], caller: Caller) -> Decision | None:
    meter = Meter(Limiter(MemoryStore()))
    return await meter.spend(limits_of_route(*consumer_limits), caller, "192.0.2.1", [])


@pytest.mark.django_db(transaction=True)
def test_a_limit_edited_past_the_checks_lets_nothing_pass(acme: Consumer) -> None:
    RateLimit.objects.create(consumer=acme, limit=50, by="moon")
    caller = caller_of(acme)
    with pytest.raises(LimiterUnavailable, match="do not compile"):
        asyncio.run(spend([5], caller))


@pytest.mark.parametrize(
    "fields",
    [
        {"override": True, "limit": 5},
        {"limit": 5, "cost": 6},
        {"limit": 50, "burst": 5, "cost": 6},
        {"limit": 5, "cost": 0},
    ],
)
def test_a_limit_that_makes_no_sense_is_refused(fields: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        RateLimit(**fields).full_clean()


def test_a_limit_is_of_a_route_or_of_a_consumer(acme: Consumer) -> None:
    with pytest.raises(ValidationError, match="or of a consumer"):
        RateLimit(limit=5, consumer=acme, route=world.route()).full_clean()
