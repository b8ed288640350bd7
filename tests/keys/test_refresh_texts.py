"""Refresh tokens as text: ours are recognised, inventions are not, successors are repeatable."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from keys.refresh.texts import TokenPress

PRESS = TokenPress("a secret of the tests")
FIRST = PRESS.first()
ALPHABET = "ABCabc019-_."


def test_a_token_is_read_back() -> None:
    assert PRESS.read(FIRST.text) == FIRST
    successor = PRESS.successor(FIRST, "salt")
    assert PRESS.read(successor.text) == successor
    assert successor.generation == 1


def test_a_successor_depends_on_its_predecessor_and_the_salt() -> None:
    assert PRESS.successor(FIRST, "salt") == PRESS.successor(FIRST, "salt")
    others = {PRESS.successor(FIRST, "other"), PRESS.successor(PRESS.first(), "salt")}
    assert PRESS.successor(FIRST, "salt") not in others


def test_another_gateway_s_token_is_none_of_ours() -> None:
    assert TokenPress("another secret").read(FIRST.text) is None


def test_a_token_shows_itself_nowhere() -> None:
    assert FIRST.text not in repr(FIRST)


@given(st.integers(0, len(FIRST.text) - 1), st.sampled_from(ALPHABET))
def test_a_token_with_any_character_changed_is_none_of_ours(place: int, character: str) -> None:
    changed = FIRST.text[:place] + character + FIRST.text[place + 1 :]
    assert changed == FIRST.text or PRESS.read(changed) is None


@given(st.text(max_size=120))
def test_any_text_is_none_of_ours(text: str) -> None:
    assert PRESS.read(text) is None
    assert PRESS.read(f"gwr_{text}") is None
