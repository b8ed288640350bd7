"""The mapping that forgets."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keys.bounded import Bounded


@given(st.integers(1, 5), st.lists(st.integers(0, 9)))
def test_never_holds_more_than_its_size_and_always_the_newest(size: int, keys: list[int]) -> None:
    bounded: Bounded[int, int] = Bounded(size)
    for key in keys:
        bounded.put(key, key)
    newest = list(dict.fromkeys(reversed(keys)))[:size]
    assert len(bounded) == len(newest)
    assert [bounded.get(key) for key in newest] == newest


def test_reading_an_entry_keeps_it() -> None:
    bounded: Bounded[str, int] = Bounded(2)
    bounded.put("a", 1)
    bounded.put("b", 2)
    bounded.get("a")
    bounded.put("c", 3)
    assert bounded.get("a") == 1
    assert bounded.get("b") is None


def test_a_size_below_one_is_refused() -> None:
    with pytest.raises(ValueError):
        Bounded(0)
