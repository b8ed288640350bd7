"""Who is calling: credentials of every kind, good, bad and several at once."""

from __future__ import annotations

import json

import pytest

from tests.conformance.case import assert_problem, head
from tests.conformance.front import Front
from tests.conformance.origin import Origin
from tests.conformance.token_table import EXPIRED, GOOD, GOOD_TOKENS, INVALID
from tests.support.process import GatewayProcess
from tests.support.raw import Reply

pytestmark = pytest.mark.usefixtures("gateway")
PRIVATE = "/open/private/a"


def ask(front: Front, *lines: str, target: str = PRIVATE) -> Reply:
    with front.connect() as client:
        client.send(head(f"GET {target}", *(line.replace("<KEY>", front.key) for line in lines)))
        return client.read_reply()


def assert_refused(reply: Reply, origin: Origin, code: str) -> None:
    assert (reply.status, assert_problem(reply)) == (401, code)
    assert reply.get("www-authenticate")
    assert not origin.heads


@pytest.mark.parametrize("name", INVALID)
def test_a_token_nobody_should_believe(front: Front, origin: Origin, name: str) -> None:
    assert_refused(ask(front, f"Authorization: Bearer {INVALID[name]}"), origin, "invalid_token")


@pytest.mark.parametrize("name", EXPIRED)
def test_a_token_that_was_good(front: Front, origin: Origin, name: str) -> None:
    assert_refused(ask(front, f"Authorization: Bearer {EXPIRED[name]}"), origin, "expired_token")


@pytest.mark.parametrize("name", GOOD_TOKENS)
def test_a_good_token_becomes_headers(front: Front, origin: Origin, name: str) -> None:
    token, expected = GOOD_TOKENS[name]
    assert ask(front, f"Authorization: Bearer {token}").status == 200
    received = origin.whole[0].received
    assert {header: received.all(header) for header in expected} == expected
    assert received.all("authorization") == []


@pytest.mark.parametrize("scheme", ["bearer", "BEARER", "Bearer "])
def test_the_scheme_is_read_as_http_says(front: Front, scheme: str) -> None:
    assert ask(front, f"Authorization: {scheme} {GOOD}").status == 200


OFFERS = {
    "nothing": ((), "missing_credentials"),
    "an unknown key": (("X-API-Key: gw_nonsense",), "invalid_api_key"),
    "an empty key": (("X-API-Key:",), "invalid_api_key"),
    "half a key": (("X-API-Key: gw_",), "invalid_api_key"),
    "a key in Latin-1": (("X-API-Key: caf\xe9",), "invalid_api_key"),
    "a key of 7 KB": (("X-API-Key: " + "k" * 7000,), "invalid_api_key"),
    "a key and a blank more": (("X-API-Key: <KEY> x",), "invalid_api_key"),
    "two good keys": (("X-API-Key: <KEY>", "X-API-Key: <KEY>"), "invalid_api_key"),
    "a list of keys": (("X-API-Key: <KEY>, <KEY>",), "invalid_api_key"),
    "a key as a bearer": (("Authorization: Bearer <KEY>",), "invalid_token"),
    "a key under an alias": (("X_API_Key: <KEY>",), "missing_credentials"),
    "an empty bearer": (("Authorization: Bearer",), "invalid_token"),
    "a bearer of blanks": (("Authorization: Bearer  ",), "invalid_token"),
    "a bearer with a blank": ((f"Authorization: Bearer {GOOD} x",), "invalid_token"),
    "another scheme": ((f"Authorization: Token {GOOD}",), "missing_credentials"),
    "Basic": (("Authorization: Basic dTpw",), "missing_credentials"),
    "two bearers": ((f"Authorization: Bearer {GOOD}",) * 2, "invalid_token"),
    "a bearer and Basic": (
        (f"Authorization: Bearer {GOOD}", "Authorization: Basic dTpw"),
        "invalid_token",
    ),
    "Basic and a bearer": (
        ("Authorization: Basic dTpw", f"Authorization: Bearer {GOOD}"),
        "invalid_token",
    ),
    "a bad bearer beside a good key": (
        ("Authorization: Bearer a.b.c", "X-API-Key: <KEY>"),
        "invalid_token",
    ),
    "an expired bearer beside a good key": (
        (f"Authorization: Bearer {EXPIRED['exp past']}", "X-API-Key: <KEY>"),
        "expired_token",
    ),
}


@pytest.mark.parametrize("name", OFFERS)
def test_an_offer_that_is_refused(front: Front, origin: Origin, name: str) -> None:
    lines, code = OFFERS[name]
    assert_refused(ask(front, *lines), origin, code)


def test_a_bad_key_beside_a_good_bearer_is_refused(front: Front, origin: Origin) -> None:
    reply = ask(front, f"Authorization: Bearer {GOOD}", "X-API-Key: gw_nonsense")
    assert_refused(reply, origin, "invalid_api_key")


def test_a_good_bearer_comes_before_a_good_key(front: Front, origin: Origin) -> None:
    assert ask(front, f"Authorization: Bearer {GOOD}", "X-API-Key: <KEY>").status == 200
    received = origin.whole[0].received
    assert received.all("x-auth-method") == ["jwt"]
    assert received.all("x-consumer") == []
    assert received.all("x-api-key") == []


@pytest.mark.parametrize(
    ("target", "line", "code"),
    [
        ("/only-jwt", "X-API-Key: <KEY>", "invalid_api_key"),
        ("/only-key", f"Authorization: Bearer {GOOD}", "invalid_token"),
        ("/only-jwt?access_token=a", "Accept: */*", "missing_credentials"),
        (f"{PRIVATE}?api_key=<KEY>", "Accept: */*", "missing_credentials"),
        (f"{PRIVATE}?access_token={GOOD}", "Cookie: access_token=a", "missing_credentials"),
    ],
    ids=["key for tokens", "token for keys", "query", "key in the query", "token in the query"],
)
def test_a_credential_of_the_wrong_kind_or_place(
    front: Front, origin: Origin, target: str, line: str, code: str
) -> None:
    assert_refused(ask(front, line, target=target.replace("<KEY>", front.key)), origin, code)


@pytest.mark.parametrize("target", ["/only-jwt", "/with-token"])
def test_a_used_token_travels_only_where_the_route_says_so(
    front: Front, origin: Origin, target: str
) -> None:
    assert ask(front, f"Authorization: Bearer {GOOD}", target=target).status == 200
    travels = [f"Bearer {GOOD}"] if target == "/with-token" else []
    assert origin.whole[0].received.all("authorization") == travels


def test_a_token_of_a_megabyte_is_refused_unread(front: Front, origin: Origin) -> None:
    with front.connect() as client:
        client.send(head(f"GET {PRIVATE}", f"Authorization: Bearer {'x' * 1_000_000}"))
        assert client.read_reply().status == 431
    assert not origin.heads


def test_a_refresh_token_is_no_access_token_nor_the_reverse(
    gateway: GatewayProcess, front: Front, origin: Origin
) -> None:
    program = (
        "from django.contrib.auth.models import User; "
        "User.objects.filter(username='ada').exists() or User.objects.create_user('ada', "
        "password='pass word 1')"
    )
    gateway.manage("shell", "-v", "0", "-c", program)

    def post(target: str, **fields: str) -> Reply:
        return gateway.request(
            "POST", target, "Content-Type: application/json", body=json.dumps(fields).encode()
        )

    pair = json.loads(post("/auth/token", username="ada", password="pass word 1").body)
    assert ask(front, f"Authorization: Bearer {pair['access']}").status == 200
    assert ask(front, f"Authorization: Bearer {pair['refresh']}").status == 401
    assert post("/auth/refresh", refresh=pair["access"]).status == 401
    assert post("/auth/refresh", refresh=pair["refresh"]).status == 200
    assert post("/auth/refresh", refresh=pair["refresh"]).status == 401
