"""From the headers of a request to its caller, or to the reason there is none."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from typing import Any

import pytest

from keys.authentication import Authenticator, Caller, challenge
from keys.caller import KeyRecord
from keys.credentials import CredentialKind
from keys.digest import hash_api_key
from keys.errors import (
    AuthenticationError,
    ExpiredApiKey,
    ExpiredToken,
    InvalidApiKey,
    InvalidToken,
    KeyStoreUnavailable,
    MissingCredentials,
    RevokedApiKey,
    RevokedToken,
)
from keys.signatures import VerificationKey
from keys.tokens import TokenVerifier, only_key
from runtime.networks import parse_networks
from tests.keys.forge import NOW, SECRET, token
from tests.keys.shelf import Clock, acme, record

BOTH = frozenset({"jwt", "api_key"})
KEY = "gw_key"
ANY = "192.0.2.7"


class Drawer:
    """Keys held in a dict: what the memory of a node looks like to the authenticator."""

    def __init__(self, *records: KeyRecord) -> None:
        self.records = {known.digest: known for known in records}
        self.used: list[int] = []
        self.down = False

    def remembered(self, digest: str) -> KeyRecord | None:
        return self.records.get(digest)

    async def find(self, digest: str) -> KeyRecord | None:
        if self.down:
            raise KeyStoreUnavailable
        return self.records.get(digest)

    def note_use(self, key_id: int) -> None:
        self.used.append(key_id)


def good() -> KeyRecord:
    return record(hash_api_key(KEY), key_id=7)


async def identify(
    *headers: tuple[bytes, bytes],
    drawer: Drawer | None = None,
    methods: Collection[str] = BOTH,
    client_ip: str = ANY,
    route: str = "projects",
) -> Caller:
    tokens = TokenVerifier(only_key(VerificationKey.load("HS256", SECRET)), now=Clock(NOW))
    authenticator = Authenticator(drawer or Drawer(good()), tokens, now=Clock(NOW))
    return await authenticator.authenticate(headers, methods, client_ip, route)


def bearer(text: str) -> tuple[bytes, bytes]:
    return b"authorization", b"Bearer " + text.encode()


def api_key(text: str = KEY) -> tuple[bytes, bytes]:
    return b"x-api-key", text.encode()


async def test_an_api_key_speaks_for_its_consumer() -> None:
    drawer = Drawer(good())
    assert await identify(api_key(), drawer=drawer) == acme()
    assert drawer.used == [7]


async def test_a_token_speaks_for_its_subject() -> None:
    caller = await identify(bearer(token(roles="admin", permissions=["read"])))
    assert caller == Caller(
        CredentialKind.JWT, "42", "user:42", roles=("admin",), permissions=("read",)
    )


async def test_a_user_and_a_consumer_of_one_name_are_limited_apart() -> None:
    user, consumer = await identify(bearer(token(sub="acme"))), await identify(api_key())
    assert user.user_id == consumer.user_id
    assert user.identity != consumer.identity


async def test_a_remembered_caller_is_found_without_suspending() -> None:
    for header in (api_key(), bearer(token())):
        journey = identify(header)
        with pytest.raises(StopIteration):
            journey.send(None)


async def test_no_credential_is_missing_and_names_what_is_accepted() -> None:
    with pytest.raises(MissingCredentials) as refused:
        await identify((b"authorization", b"Basic dTpw"), methods={"api_key"})
    assert challenge(refused.value) == 'ApiKey realm="gateway"'


@pytest.mark.parametrize(
    ("headers", "error"),
    [
        ((bearer("a.b.c"), api_key()), InvalidToken),
        ((bearer(token()), api_key("gw_wrong")), InvalidApiKey),
        ((bearer(KEY),), InvalidToken),
        ((api_key("gw_wrong"), (b"authorization", b"Basic dTpw")), InvalidApiKey),
    ],
)
async def test_a_wrong_credential_is_not_made_good_by_another(
    headers: tuple[tuple[bytes, bytes], ...], error: type[AuthenticationError]
) -> None:
    with pytest.raises(error):
        await identify(*headers)


async def test_a_wrong_key_is_wrong_on_a_route_for_tokens_too() -> None:
    with pytest.raises(InvalidApiKey):
        await identify(bearer(token()), api_key("gw_wrong"), methods={"jwt"})
    assert (await identify(bearer(token()), api_key(), methods={"jwt"})).user_id == "42"


async def test_of_two_good_credentials_the_token_says_who_calls() -> None:
    assert (await identify(bearer(token()), api_key())).kind is CredentialKind.JWT


@pytest.mark.parametrize(
    ("headers", "methods", "error"),
    [
        ((bearer(token()),), {"api_key"}, InvalidToken),
        ((bearer(token()), api_key()), {"api_key"}, InvalidToken),
        ((api_key(),), {"jwt"}, InvalidApiKey),
        ((api_key(),), set(), InvalidApiKey),
    ],
)
async def test_a_kind_the_route_does_not_take_is_refused(
    headers: tuple[tuple[bytes, bytes], ...], methods: set[str], error: type[AuthenticationError]
) -> None:
    with pytest.raises(error):
        await identify(*headers, methods=methods)


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"active": False}, RevokedApiKey),
        ({"expires_at": NOW}, ExpiredApiKey),
        ({"active": False, "expires_at": NOW}, RevokedApiKey),
        ({"digest": hash_api_key("gw_other")}, InvalidApiKey),
    ],
)
async def test_a_key_that_is_not_good_any_more_is_refused_and_not_counted_as_used(
    changes: dict[str, Any], error: type[AuthenticationError]
) -> None:
    drawer = Drawer()
    drawer.records[hash_api_key(KEY)] = replace(good(), **changes)
    with pytest.raises(error):
        await identify(api_key(), drawer=drawer)
    assert drawer.used == []


async def test_a_key_works_until_the_second_it_expires() -> None:
    drawer = Drawer(replace(good(), expires_at=NOW + 1))
    assert await identify(api_key(), drawer=drawer) == acme()


@pytest.mark.parametrize(
    ("client_ip", "route", "accepted"),
    [
        ("192.0.2.7", "projects", True),
        ("::ffff:192.0.2.7", "projects", True),
        ("198.51.100.1", "projects", False),
        ("", "projects", False),
        ("192.0.2.7", "billing", False),
        ("192.0.2.7", "", False),
    ],
)
async def test_a_key_is_good_only_on_its_routes_and_from_its_networks(
    client_ip: str, route: str, accepted: bool
) -> None:
    caller = replace(
        acme(),
        allowed_networks=parse_networks(["192.0.2.0/24"]),
        allowed_routes=frozenset({"projects"}),
    )
    drawer = Drawer(replace(good(), caller=caller))
    if accepted:
        assert await identify(api_key(), drawer=drawer, client_ip=client_ip, route=route) is caller
        return
    with pytest.raises(InvalidApiKey):
        await identify(api_key(), drawer=drawer, client_ip=client_ip, route=route)


async def test_who_calls_from_elsewhere_does_not_learn_that_the_key_was_revoked() -> None:
    caller = replace(acme(), allowed_networks=())
    drawer = Drawer(replace(good(), caller=caller, active=False))
    with pytest.raises(InvalidApiKey):
        await identify(api_key(), drawer=drawer)


async def test_a_store_that_cannot_tell_is_neither_yes_nor_no() -> None:
    drawer = Drawer()
    drawer.down = True
    with pytest.raises(KeyStoreUnavailable):
        await identify(api_key(), drawer=drawer)


async def test_refusals_beyond_the_rate_of_an_address_are_held_back_and_good_callers_are_not() -> (
    None
):
    authenticator = Authenticator(Drawer(good()), None, failures_per_second=2, clock=Clock(NOW))

    def waits(key: str, client_ip: str) -> bool:
        journey = authenticator.authenticate([api_key(key)], BOTH, client_ip, "projects")
        try:
            journey.send(None)
        except (StopIteration, InvalidApiKey):
            return False
        journey.close()
        return True

    assert [waits("gw_wrong", ANY) for _ in range(4)] == [False, False, False, True]
    assert not waits("gw_wrong", "198.51.100.9")
    assert not waits(KEY, ANY)


async def test_without_a_key_to_verify_with_every_token_is_refused() -> None:
    with pytest.raises(InvalidToken):
        await Authenticator(Drawer(), None).authenticate_jwt(token())


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (MissingCredentials(), 'Bearer realm="gateway", ApiKey realm="gateway"'),
        (MissingCredentials({"jwt"}), 'Bearer realm="gateway"'),
        (MissingCredentials(BOTH), 'Bearer realm="gateway", ApiKey realm="gateway"'),
        (InvalidApiKey("why"), 'ApiKey realm="gateway"'),
        (RevokedApiKey(), 'ApiKey realm="gateway"'),
        (
            InvalidToken("why"),
            'Bearer realm="gateway", error="invalid_token", '
            'error_description="The token is not valid."',
        ),
        (
            ExpiredToken(),
            'Bearer realm="gateway", error="invalid_token", '
            'error_description="The token has expired."',
        ),
        (
            RevokedToken(),
            'Bearer realm="gateway", error="invalid_token", '
            'error_description="The token has been revoked."',
        ),
    ],
)
def test_the_challenge_says_what_would_be_accepted(
    error: AuthenticationError, expected: str
) -> None:
    assert challenge(error) == expected
