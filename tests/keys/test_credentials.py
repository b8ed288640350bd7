"""Which of a request's headers is the credential that decides."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keys.credentials import Credential, CredentialKind, extract
from keys.errors import AuthenticationError, InvalidApiKey, InvalidToken

TOKEN = Credential(CredentialKind.JWT, "a.b.c")
KEY = Credential(CredentialKind.API_KEY, "gw_key")
BOTH = Credential(CredentialKind.JWT, "a.b.c", "gw_key")
AUTHORIZATION = b"authorization"
API_KEY = b"x-api-key"


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ([], None),
        ([(b"cookie", b"token=a.b.c"), (b"x_api_key", b"gw_key")], None),
        ([(AUTHORIZATION, b"Bearer a.b.c")], TOKEN),
        ([(AUTHORIZATION, b"bEARER   a.b.c  ")], TOKEN),
        ([(AUTHORIZATION, b"Bearer\ta.b.c")], TOKEN),
        ([(API_KEY, b"gw_key")], KEY),
        ([(API_KEY, b" gw_key\t")], KEY),
        ([(AUTHORIZATION, b"Basic dTpw")], None),
        ([(AUTHORIZATION, b"")], None),
        ([(AUTHORIZATION, b"Bearerish a.b.c")], None),
        ([(AUTHORIZATION, b"Basic dTpw"), (API_KEY, b"gw_key")], KEY),
        ([(API_KEY, b"gw_key"), (AUTHORIZATION, b"Bearer a.b.c")], BOTH),
    ],
)
def test_the_bearer_token_decides_then_the_api_key(
    headers: list[tuple[bytes, bytes]], expected: Credential | None
) -> None:
    assert extract(headers) == expected


def test_a_bearer_value_is_a_token_even_if_it_looks_like_an_api_key() -> None:
    credential = extract([(AUTHORIZATION, b"Bearer gw_key")])
    assert credential is not None
    assert credential.kind is CredentialKind.JWT


@pytest.mark.parametrize(
    ("headers", "error"),
    [
        ([(AUTHORIZATION, b"Bearer a.b.c")] * 2, InvalidToken),
        ([(AUTHORIZATION, b"Basic dTpw"), (AUTHORIZATION, b"Bearer a.b.c")], InvalidToken),
        ([(AUTHORIZATION, b"Basic dTpw")] * 2, InvalidToken),
        ([(API_KEY, b"gw_key")] * 2, InvalidApiKey),
        ([(AUTHORIZATION, b"Bearer")], InvalidToken),
        ([(AUTHORIZATION, b"Bearer ")], InvalidToken),
        ([(AUTHORIZATION, b"Bearer "), (API_KEY, b"gw_key")], InvalidToken),
        ([(AUTHORIZATION, b"Bearer a.b.c, Bearer d.e.f")], InvalidToken),
        ([(AUTHORIZATION, b"Bearer a.b.\xc3\xa9")], InvalidToken),
        ([(AUTHORIZATION, b"Bearer a.b\x00.c")], InvalidToken),
        ([(AUTHORIZATION, b"Bearer " + b"a" * 8193)], InvalidToken),
        ([(API_KEY, b"")], InvalidApiKey),
        ([(API_KEY, b"gw_\xc3\xa9")], InvalidApiKey),
        ([(API_KEY, b"gw_key gw_key")], InvalidApiKey),
        ([(API_KEY, b"k" * 257)], InvalidApiKey),
        ([(API_KEY, b"gw_\xff"), (AUTHORIZATION, b"Bearer a.b.c")], InvalidApiKey),
    ],
)
def test_a_credential_that_cannot_be_one_is_refused(
    headers: list[tuple[bytes, bytes]], error: type[AuthenticationError]
) -> None:
    with pytest.raises(error):
        extract(headers)


@pytest.mark.parametrize(
    "header", [(AUTHORIZATION, b"Bearer " + b"a" * 8192), (API_KEY, b"k" * 256)]
)
def test_the_largest_credential_allowed_is_taken(header: tuple[bytes, bytes]) -> None:
    assert extract([header]) is not None


def test_no_representation_shows_the_credential() -> None:
    assert "gw_key" not in repr(KEY)


names = st.sampled_from([AUTHORIZATION, API_KEY, b"accept"])
values = st.binary(max_size=20) | st.binary(max_size=20).map(lambda value: b"Bearer " + value)


@given(st.lists(st.tuples(names, values), max_size=4))
def test_any_headers_give_visible_text_nothing_or_a_refusal(
    headers: list[tuple[bytes, bytes]],
) -> None:
    try:
        credential = extract(headers)
    except AuthenticationError:
        return
    if credential is not None:
        assert all("!" <= character <= "~" for character in credential.text)


def test_a_refusal_does_not_quote_the_credential() -> None:
    with pytest.raises(InvalidApiKey) as refused:
        extract([(API_KEY, b"gw_secret gw_secret")])
    assert "gw_secret" not in str(refused.value) + refused.value.reason
