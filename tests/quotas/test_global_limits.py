"""Limits over all routes: in files, in rows, in the document, in every route's rules."""

from __future__ import annotations

import pytest

from keys.models import Consumer
from quotas.models import RateLimit
from quotas.rules import compile_limits
from routing import files, revision
from routing.decoding import decode_document
from routing.difference import Diff
from routing.document import Document, LimitSpec
from routing.errors import ConfigurationError
from routing.reading import compile_rows
from routing.table import build_table, check

pytestmark = pytest.mark.django_db(transaction=True)

BASE = """
services: {s: {instances: [{url: "http://10.0.0.1"}]}}
routes: [{name: a, path: /a, service: s, rate_limit: 5}]
"""
GLOBAL = BASE + "limits: [1000, {limit: 9, per: second, by: ip, on_store_failure: local}]\n"
LIMITS = (
    LimitSpec(limit=1000),
    LimitSpec(limit=9, per="second", by="ip", on_store_failure="local"),
)


def parsed(text: str) -> Document:
    return files.parse([("f.yaml", text)]).document


def applied(text: str, *, prune: bool = False) -> Diff:
    return revision.apply(parsed(text), prune=prune)


def test_they_are_applied_published_and_exported_alike() -> None:
    applied(GLOBAL)
    current = revision.current()
    assert current is not None
    assert decode_document(current.document.encode()).document.limits == LIMITS
    exported = files.dump_yaml(compile_rows(strict=True).document)
    assert parsed(exported) == compile_rows(strict=True).document
    assert not applied(exported)


def test_the_diff_tells_of_them() -> None:
    applied(BASE)
    diff = applied(GLOBAL)
    assert [(one.action.value, one.kind, one.name) for one in diff.changes] == [
        ("+", "limit", "global")
    ]


def test_an_edit_keeps_the_rows_it_does_not_name() -> None:
    applied(GLOBAL)
    before = set(RateLimit.objects.values_list("pk", flat=True))
    applied(BASE + "limits: 2000\n")
    assert set(RateLimit.objects.values_list("pk", flat=True)) < before
    assert compile_rows().document.limits == (LimitSpec(limit=2000),)


def test_a_file_without_them_leaves_them_and_pruning_takes_them_away() -> None:
    applied(GLOBAL)
    applied(BASE)
    assert compile_rows().document.limits == LIMITS
    applied(BASE, prune=True)
    assert compile_rows().document.limits == ()


def test_a_rollback_brings_them_back() -> None:
    applied(GLOBAL)
    applied(BASE, prune=True)
    revision.rollback(1, "lead")
    assert compile_rows().document.limits == LIMITS


def test_limits_of_consumers_and_routes_are_not_among_them() -> None:
    applied(BASE)
    RateLimit.objects.create(consumer=Consumer.objects.create(name="acme"), limit=7)
    assert compile_rows().document.limits == ()


@pytest.mark.parametrize(
    ("limits", "fault"),
    [
        ("[{limit: 5, by: moon}]", "limits[0].by: must be caller"),
        ("[5, {limit: 5, cost: 6}]", "limits[1].cost: must not be more than burst"),
        ("[{limit: 0}]", "limits"),
        ("{limit: 5, colour: red}", "limits.colour: unknown key"),
        ("fast", "limits: expected int, mapping or list"),
    ],
)
def test_a_wrong_one_is_named_and_changes_nothing(limits: str, fault: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        applied(f"{BASE}limits: {limits}\n")
    assert fault in str(caught.value)
    assert not RateLimit.objects.exists()


def test_they_stand_in_one_file_only() -> None:
    texts = [("a.yaml", "limits: 5"), ("b.yaml", "limits: 6")]
    with pytest.raises(ConfigurationError, match=r"given in a\.yaml too"):
        files.parse(texts)


def test_one_that_does_not_compile_closes_every_route() -> None:
    """Nothing passes with a limit missing."""
    bad = Document(
        services=parsed(BASE).services,
        routes=parsed(BASE).routes,
        limits=(LimitSpec(limit=5, by="moon"),),
    )
    table = build_table(bad)
    assert "by" in table.routes["a"].fault
    assert [fault.where for fault in check(bad)] == ["limits[0]"]


def test_the_narrowest_and_the_widest_all_apply() -> None:
    table = build_table(parsed(GLOBAL))
    limits = compile_limits(table.routes["a"], table.limits)
    assert [rule.limit for rule in limits.own + limits.everywhere] == [5, 1000, 9]


def test_without_them_a_document_is_hashed_as_before() -> None:
    assert b"limits" not in parsed(BASE).encode()
