"""Lists in claims, and which texts may become a header."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keys.claims import TokenRules, is_plain, read_claims
from keys.errors import TokenRefused
from tests.keys.forge import CLAIMS, NOW


def roles(value: object) -> tuple[str, ...]:
    return read_claims(CLAIMS | {"roles": value}, TokenRules(), NOW).roles


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, ()),
        ("", ()),
        ([], ()),
        ("admin", ("admin",)),
        ("admin user", ("admin", "user")),
        ("admin,user", ("admin", "user")),
        ("admin, user", ("admin", "user")),
        (["admin", "project manager"], ("admin", "project manager")),
        (["käufer"], ("käufer",)),
    ],
)
def test_roles_are_a_list_or_text_with_blanks_or_commas(
    value: object, expected: tuple[str, ...]
) -> None:
    assert roles(value) == expected


@pytest.mark.parametrize("text", ["a", "a b", "auth0|42", "CN=Ann,O=Acme", "é", "日本"])
def test_visible_text_may_become_a_header(text: str) -> None:
    assert is_plain(text)


@pytest.mark.parametrize(
    "text",
    ["", " ", " a", "a ", "a\r", "a\nb", "a\x00", "a\tb", "a\x7f", "\u2028", "\xa0a", "\ud800"],
)
def test_text_that_would_mean_something_else_as_a_header_may_not(text: str) -> None:
    assert not is_plain(text)


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=10),
    lambda inside: st.lists(inside, max_size=3) | st.dictionaries(st.text(), inside, max_size=2),
    max_leaves=5,
)
names = st.sampled_from(["sub", "exp", "nbf", "iat", "roles", "permissions", "jti", "sid", "typ"])


@given(st.dictionaries(names, anything))
def test_any_claims_are_refused_or_fit_into_headers(claims: dict[str, Any]) -> None:
    try:
        token = read_claims(CLAIMS | claims, TokenRules(), NOW)
    except TokenRefused:
        return
    items = (*token.roles, *token.permissions)
    assert all(is_plain(text) for text in (token.subject, *items))
    assert all("," not in item for item in items)
