"""API keys as text and as digest."""

from __future__ import annotations

import hashlib
import re

from hypothesis import given
from hypothesis import strategies as st

from keys.digest import generate_api_key, hash_api_key, verify_api_key


def test_a_key_has_a_recognisable_head_and_256_random_bits() -> None:
    key = generate_api_key()
    assert re.fullmatch(r"gw_[A-Za-z0-9_-]{43}", key.text)


def test_the_prefix_is_the_first_twelve_characters() -> None:
    key = generate_api_key()
    assert key.prefix == key.text[:12]


def test_no_two_keys_are_equal() -> None:
    assert len({generate_api_key().text for _ in range(1_000)}) == 1_000


def test_the_representation_does_not_show_the_key() -> None:
    key = generate_api_key()
    assert key.text not in repr(key)


@given(st.text())
def test_the_digest_is_sha256_in_hexadecimal(text: str) -> None:
    assert hash_api_key(text) == hashlib.sha256(text.encode()).hexdigest()


@given(st.text(), st.text())
def test_a_digest_verifies_its_own_text_only(text: str, other: str) -> None:
    digest = hash_api_key(text)
    assert verify_api_key(text, digest)
    assert verify_api_key(other, digest) == (other == text)


@given(st.text())
def test_a_stored_text_that_is_no_digest_verifies_nothing(stored: str) -> None:
    assert not verify_api_key("gw_key", stored)
