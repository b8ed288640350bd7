"""Who shares a bucket, and how that becomes a key."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keys.caller import Caller
from keys.credentials import CredentialKind
from quotas.bucket import Rule
from quotas.errors import BadRule
from quotas.rules import (
    compile_consumer_rules,
    compile_limits,
    compile_rules,
    identifiers,
    parse_by,
    subject,
)
from routing.document import LimitSpec
from tests.support.plans import plan_of

ALICE = Caller(kind=CredentialKind.JWT, user_id="alice", identity="user:alice")
ACME = Caller(
    kind=CredentialKind.API_KEY, user_id="acme", identity="consumer:acme", consumer="acme", key_id=7
)


def rules_of(*limits: LimitSpec, name: str = "projects") -> tuple[Rule, ...]:
    return compile_rules(plan_of(name, *limits))


def by(kind: str) -> Rule:
    return rules_of(LimitSpec(limit=1, by=kind))[0]


def test_a_limit_becomes_a_rule_with_its_numbers() -> None:
    (rule,) = rules_of(LimitSpec(limit=100, per="hour", burst=20, mode="shadow"))
    assert (rule.limit, rule.period_us, rule.capacity) == (100, 3_600_000_000, 20)
    assert (rule.mode, rule.on_store_failure, rule.by, rule.route) == (
        "shadow",
        "open",
        "caller",
        "projects",
    )


def test_an_edited_limit_keeps_its_buckets() -> None:
    before = rules_of(LimitSpec(limit=100), LimitSpec(limit=5, per="second"))
    after = rules_of(LimitSpec(limit=200, burst=5, mode="shadow"), LimitSpec(limit=9, per="second"))
    assert [rule.key_prefix for rule in before] == [rule.key_prefix for rule in after]


def test_every_rule_has_buckets_of_its_own() -> None:
    limit = LimitSpec(limit=1)
    rules = rules_of(limit, limit, LimitSpec(limit=1, per="day"), LimitSpec(limit=1, by="ip"))
    others = rules_of(limit, name="others")
    assert len({rule.key_prefix for rule in rules + others}) == 5


def test_the_buckets_of_one_request_share_a_slot_of_a_cluster() -> None:
    rules = rules_of(LimitSpec(limit=1), LimitSpec(limit=1, by="header:X-A"))
    keys = identifiers(rules, ACME, "192.0.2.1", [(b"x-a", b"{other}")])
    tags = {key[key.index("{") : key.index("}")] for key in keys}
    assert len(tags) == 1


@pytest.mark.parametrize(
    ("kind", "caller", "expected"),
    [
        ("caller", ALICE, "user:alice"),
        ("caller", ACME, "consumer:acme"),
        ("caller", None, "ip:192.0.2.1"),
        ("user", ALICE, "user:alice"),
        ("user", ACME, "consumer:acme"),
        ("user", None, "ip:192.0.2.1"),
        ("api_key", ACME, "api_key:7"),
        ("api_key", ALICE, "user:alice"),
        ("api_key", None, "ip:192.0.2.1"),
        ("ip", ALICE, "ip:192.0.2.1"),
        ("route", ALICE, "route:"),
        ("header:X-Tenant", ALICE, "header:blue"),
        ("header:X-Missing", ALICE, "user:alice"),
        ("header:X-Missing", None, "ip:192.0.2.1"),
        ("header:X-Empty", ACME, "consumer:acme"),
    ],
)
def test_a_rule_counts_by_what_it_says(kind: str, caller: Caller | None, expected: str) -> None:
    headers = [(b"accept", b"*/*"), (b"x-tenant", b"blue"), (b"x-empty", b"")]
    assert subject(by(kind), caller, "192.0.2.1", headers) == expected


def test_one_ipv6_network_shares_a_bucket() -> None:
    first, second, other = (
        identifiers([by("ip")], None, address, [])
        for address in ("2001:db8::1", "2001:db8::ffff", "2001:db8:0:1::1")
    )
    assert first == second != other


@given(
    st.lists(
        st.binary(max_size=40)
        | st.sampled_from([b"a:b", b"a", b"b", b"{x}", b"{y}", b"x" * 10240]),
        min_size=2,
        max_size=2,
        unique=True,
    )
)
def test_different_header_values_have_different_keys_of_one_length(values: list[bytes]) -> None:
    rule = by("header:X-Tenant")
    keys = [identifiers([rule], None, "", [(b"x-tenant", value)])[0] for value in values]
    assert len(set(keys)) == 2
    assert {len(key) for key in keys} == {len("quota:{}::") + 3 * 32}


@pytest.mark.parametrize(
    ("one", "other"), [("e\u0301", "\u00e9"), ("alice", "Alice"), ("a", "a\0")]
)
def test_names_that_look_alike_stay_apart(one: str, other: str) -> None:
    keys = {
        identifiers([by("caller")], Caller(CredentialKind.JWT, name, f"user:{name}"), "", [])
        for name in (one, other)
    }
    assert len(keys) == 2


@pytest.mark.parametrize("wrong", ["", "header", "header:", "header:X Y", "header:a:b", "IP"])
def test_an_unknown_by_does_not_compile(wrong: str) -> None:
    with pytest.raises(BadRule, match="none of caller, user, api_key, ip, route, header"):
        parse_by(wrong)


def everywhere(*limits: LimitSpec, route: str = "projects") -> tuple[Rule, ...]:
    return compile_limits(plan_of(route, LimitSpec(limit=5)), limits).everywhere


def test_a_limit_over_all_routes_has_one_bucket_for_a_caller() -> None:
    limit = LimitSpec(limit=1)
    keys = [
        identifiers(everywhere(limit, route=route), ACME, "", [], route) for route in ("a", "b")
    ]
    assert keys[0] == keys[1]


def test_a_limit_over_all_routes_by_route_has_one_for_each_route() -> None:
    limit = LimitSpec(limit=1, by="route")
    keys = {identifiers(everywhere(limit, route=route), ACME, "", [], route) for route in "ab"}
    assert len(keys) == 2


def test_callers_share_no_bucket_of_a_limit_over_all_routes() -> None:
    rules = everywhere(LimitSpec(limit=1))
    callers = (ACME, ALICE, None)
    assert len({identifiers(rules, caller, "192.0.2.1", []) for caller in callers}) == 3


def test_a_consumers_buckets_lie_with_its_buckets_over_all_routes() -> None:
    """One slot of a cluster for everything that is counted for the caller."""
    own = compile_consumer_rules(ACME.identity, [LimitSpec(limit=1), LimitSpec(limit=1, by="ip")])
    keys = identifiers(own + everywhere(LimitSpec(limit=1)), ACME, "192.0.2.1", [])
    assert len({key[: key.index("}")] for key in keys}) == 1


def test_consumers_share_no_bucket_whatever_their_limits_count_by() -> None:
    limits = [LimitSpec(limit=1, by="ip"), LimitSpec(limit=1, by="route")]
    keys = [
        key
        for who in ("consumer:acme", "consumer:globex")
        for key in identifiers(compile_consumer_rules(who, limits), ACME, "192.0.2.1", [], "r")
    ]
    assert len(set(keys)) == 4
