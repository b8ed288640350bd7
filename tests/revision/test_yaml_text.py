"""YAML is read as version 1.2 has it, within bounds, and written so that no version misreads it."""

from __future__ import annotations

import pytest
import yaml
from hypothesis import example, given
from hypothesis import strategies as st

from routing.yaml_text import YamlTextError, dump_yaml_text, load_yaml

TEXT = st.text(st.characters(exclude_categories=["Cs"]))


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("on: [connect]", {"on": ["connect"]}),
        ("a: yes", {"a": "yes"}),
        ("a: no", {"a": "no"}),
        ("a: true", {"a": True}),
        ("a: 1:30", {"a": "1:30"}),
        ("a: 010", {"a": 10}),
        ("a: 0o17", {"a": 15}),
        ("a: 2020-01-01", {"a": "2020-01-01"}),
        ("a: 1e3", {"a": 1000.0}),
        ("a: ~", {"a": None}),
        ("a: &x {b: 1}\nc: {<<: *x, d: 2}", {"a": {"b": 1}, "c": {"b": 1, "d": 2}}),
        ("a: {b: &b {<<: &a {x: 1}, x: 2}}\nc: {<<: *b}", {"a": {"b": {"x": 2}}, "c": {"x": 2}}),
    ],
)
def test_plain_scalars_follow_the_core_schema(text: str, value: object) -> None:
    assert load_yaml(text) == value


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: [1,\n b: }", "line 2"),
        ("a: 1\na: 2", "line 2, column 1: duplicate key 'a', first given on line 1"),
        ("1: a", "line 1, column 1: key '1' is not text"),
        ("[a]: b", "is not text"),
        ("a: !!python/object:os.system {}", "is not allowed"),
        ("a: !!int ten", "not a int"),
        ("a: *missing", "undefined alias"),
        ("a: &a [*a]", "contains itself"),
        ("a: 1\n---\nb: 2", "single document"),
        ("a: \x00", "not allowed"),
        ("[" * 100_000, "nested over 40 deep"),
    ],
)
def test_what_is_refused_is_named_with_its_place(text: str, message: str) -> None:
    with pytest.raises(YamlTextError, match=message):
        load_yaml(text)


@pytest.mark.parametrize("item", ["[{}]", "{{<<: [{}]}}"])
def test_aliases_cannot_expand_without_bound(item: str) -> None:
    lines = ["a0: &a0 {x: 1}"]
    lines += [
        f"a{level}: &a{level} {item.format(','.join([f'*a{level - 1}'] * 10))}"
        for level in range(1, 10)
    ]
    with pytest.raises(YamlTextError, match="expand too far"):
        load_yaml("\n".join(lines))


@given(TEXT, TEXT)
@example("on", "0o17")
@example("1_000", "1e3")
@example("~", "1:30")
def test_any_text_survives_writing_for_readers_of_both_versions(key: str, value: str) -> None:
    written = dump_yaml_text({key: value, "list": [value], "deep": {"value": value}})
    expected = {key: value, "list": [value], "deep": {"value": value}}
    assert load_yaml(written) == expected
    assert yaml.safe_load(written) == expected
