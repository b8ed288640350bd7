"""The token endpoints as a client sees them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings as django_settings
from django.contrib.auth.models import Group, Permission, User
from django.core.cache import cache
from django.test import Client

from audit.models import AuditEntry
from keys.assembly import _desk
from keys.claims import AccessToken, TokenRules
from keys.errors import KeyStoreUnavailable
from keys.refresh.memory import MemoryStore
from keys.revocation import RevokedSession
from keys.signatures import VerificationKey
from keys.tokens import TokenVerifier, only_key
from tests import servers

pytestmark = pytest.mark.django_db

PASSWORD = "correct horse battery staple"
GATEWAY = django_settings.GATEWAY


@pytest.fixture(autouse=True)
def fresh() -> Iterator[None]:
    """Nobody is throttled or locked out by the test before."""
    cache.clear()
    _desk.cache_clear()
    yield
    _desk.cache_clear()


@pytest.fixture
def alice() -> User:
    alice = User.objects.create_user("alice", password=PASSWORD)
    group = Group.objects.create(name="editors")
    group.permissions.add(Permission.objects.get(codename="view_route"))
    Group.objects.create(name="no, header")
    alice.groups.set(Group.objects.all())
    return alice


def configure(settings: Any, **changes: Any) -> None:
    settings.GATEWAY = replace(GATEWAY, **changes)


def post(path: str, **content: object) -> Any:
    return Client().post(path, json.dumps(content), content_type="application/json")


def sign_in(name: str = "alice", password: str = PASSWORD) -> dict[str, Any]:
    answer = post("/auth/token", username=name, password=password)
    assert answer.status_code == 200, answer.content
    pair: dict[str, Any] = answer.json()
    return pair


def refreshed(text: str) -> dict[str, Any]:
    answer = post("/auth/refresh", refresh=text)
    assert answer.status_code == 200, answer.content
    pair: dict[str, Any] = answer.json()
    return pair


def verified(access: str, rules: TokenRules | None = None) -> AccessToken:
    key = VerificationKey.load("HS256", GATEWAY.jwt_secret_key)
    return TokenVerifier(only_key(key), rules).verify(access)


def code(answer: Any, status: int) -> str:
    assert answer.status_code == status, answer.content
    assert answer["Content-Type"] == "application/problem+json"
    assert answer["Cache-Control"] == "no-store"
    assert answer["X-Gateway-Error"] == answer.json()["code"]
    return str(answer["X-Gateway-Error"])


def audited() -> list[tuple[str, str, str]]:
    rows = AuditEntry.objects.order_by("id").exclude(action__regex="^(user|group)[.]")
    return list(rows.values_list("action", "actor", "outcome"))


def test_a_user_gets_a_token_the_gateway_accepts(alice: User) -> None:
    pair = sign_in()
    token = verified(pair["access"])
    assert (pair["token_type"], pair["expires_in"]) == ("Bearer", 1800)
    assert (token.subject, token.issuer) == (str(alice.pk), "gateway")
    assert (token.roles, token.permissions) == (("editors",), ("routing.view_route",))
    assert token.issued_at is not None
    assert token.expires_at == token.issued_at + 1800
    assert token.session_id
    assert token.token_id


def test_issuer_and_audience_are_written_as_they_are_checked(alice: User, settings: Any) -> None:
    configure(settings, jwt_issuer="https://gw.example", jwt_audience="apis")
    rules = TokenRules("https://gw.example", frozenset({"apis"}))
    assert verified(sign_in()["access"], rules).subject == str(alice.pk)


def test_a_wrong_password_and_an_unknown_user_look_alike(alice: User) -> None:
    wrong = post("/auth/token", username="alice", password="wrong")
    unknown = post("/auth/token", username="mallory", password="wrong")
    assert code(wrong, 401) == code(unknown, 401) == "invalid_credentials"
    assert wrong.json() | {"request_id": ""} == unknown.json() | {"request_id": ""}
    assert wrong["WWW-Authenticate"] == 'Bearer realm="gateway"'


def test_an_inactive_user_gets_nothing(alice: User) -> None:
    User.objects.update(is_active=False)
    answer = post("/auth/token", username="alice", password=PASSWORD)
    assert code(answer, 401) == "invalid_credentials"


def test_repeated_failures_lock_out_even_the_right_password(alice: User) -> None:
    for _ in range(9):
        assert post("/auth/token", username="alice", password="wrong").status_code == 401
    for password in ("wrong", PASSWORD):
        locked = post("/auth/token", username="alice", password=password)
        assert code(locked, 429) == "rate_limited"
        assert int(locked["Retry-After"]) == 900


def test_a_success_forgets_the_failures_before(alice: User) -> None:
    for _ in range(2):
        for _ in range(9):
            post("/auth/token", username="alice", password="wrong")
        sign_in()


def test_an_address_may_only_try_so_often(alice: User, settings: Any) -> None:
    configure(settings, auth_requests_per_minute=3)
    statuses = [
        post("/auth/token", username=name, password="x").status_code for name in ("a", "b", "c")
    ]
    assert statuses == [401, 401, 401]
    throttled = post("/auth/token", username="alice", password=PASSWORD)
    assert code(throttled, 429) == "rate_limited"
    assert 1 <= int(throttled["Retry-After"]) <= 60


def test_an_address_may_refresh_ten_times_as_often(settings: Any) -> None:
    configure(settings, auth_requests_per_minute=1)
    statuses = [post("/auth/refresh", refresh="x").status_code for _ in range(11)]
    assert statuses == [401] * 10 + [429]
    assert post("/auth/revoke", refresh="x").status_code == 429


def test_switched_off_no_password_is_taken(alice: User, settings: Any) -> None:
    configure(settings, auth_token_enabled=False)
    answer = post("/auth/token", username="alice", password=PASSWORD)
    assert code(answer, 404) == "route_not_found"


@pytest.mark.parametrize(
    "body",
    [b"", b"[]", b"{", b'{"username": 1, "password": "x"}', b'{"username": "", "password": "x"}',
     b'{"username": "alice"}', b"[" * 10_000, b"\xff", b'{"username": "\xff"}',
     b'{"username": "\\ud800", "password": "x"}', b'{"username": "alice", "password": "\\ud800"}'],
)  # fmt: skip
def test_what_is_no_request_for_a_token_is_a_bad_request(body: bytes) -> None:
    answer = Client().post("/auth/token", body, content_type="application/json")
    assert code(answer, 400) == "bad_request"


def test_a_large_body_is_refused_unread() -> None:
    answer = Client().post("/auth/refresh", b" " * 20_000, content_type="application/json")
    assert code(answer, 413) == "body_too_large"


@pytest.mark.parametrize("path", ["/auth/token", "/auth/refresh", "/auth/revoke"])
def test_other_methods_are_told_which_one_is_allowed(path: str) -> None:
    answer = Client().get(path)
    assert code(answer, 405) == "method_not_allowed"
    assert answer["Allow"] == "POST"


def test_a_refresh_gives_a_new_pair_of_the_same_session(alice: User) -> None:
    first = sign_in()
    second = refreshed(first["refresh"])
    assert second["refresh"] != first["refresh"]
    before, after = verified(first["access"]), verified(second["access"])
    assert after.session_id == before.session_id
    assert after.token_id != before.token_id


def test_a_refresh_reads_roles_anew(alice: User) -> None:
    pair = sign_in()
    alice.groups.set([Group.objects.create(name="admins")])
    assert verified(refreshed(pair["refresh"])["access"]).roles == ("admins",)


def test_a_spent_token_that_comes_again_ends_the_session(alice: User) -> None:
    first = sign_in()
    second = refreshed(first["refresh"])
    assert code(post("/auth/refresh", refresh=first["refresh"]), 401) == "revoked_token"
    assert code(post("/auth/refresh", refresh=second["refresh"]), 401) == "revoked_token"
    assert RevokedSession.objects.get().name == verified(first["access"]).session_id
    assert ("token.reused", "alice", "refused") in audited()


def test_within_the_grace_the_same_pair_comes_again(alice: User, settings: Any) -> None:
    configure(settings, jwt_refresh_grace_seconds=10)
    first = sign_in()
    assert refreshed(first["refresh"]) == refreshed(first["refresh"])


def test_without_rotation_the_refresh_token_stays(alice: User, settings: Any) -> None:
    configure(settings, jwt_refresh_rotation_enabled=False)
    first = sign_in()
    second = refreshed(first["refresh"])
    assert second["refresh"] == first["refresh"]
    assert verified(second["access"]).token_id != verified(first["access"]).token_id


def test_an_access_token_is_never_a_refresh_token_nor_the_reverse(alice: User) -> None:
    pair = sign_in()
    assert code(post("/auth/refresh", refresh=pair["access"]), 401) == "invalid_token"
    with pytest.raises(Exception, match="not valid"):
        verified(pair["refresh"])


def test_a_made_up_token_of_a_known_session_harms_nobody(alice: User) -> None:
    pair = sign_in()
    first = refreshed(pair["refresh"])["refresh"]
    head, generation, middle, tag = first.split(".")
    forged = f"{head}.0.{middle}.{tag}"
    assert code(post("/auth/refresh", refresh=forged), 401) == "invalid_token"
    post("/auth/revoke", refresh=forged)
    assert generation == "1"
    refreshed(first)


@pytest.mark.parametrize("change", ["password", "inactive", "deleted"])
def test_whoever_may_not_sign_in_any_more_cannot_refresh(alice: User, change: str) -> None:
    pair = sign_in()
    if change == "password":
        alice.set_password("another")
        alice.save()
    elif change == "inactive":
        User.objects.update(is_active=False)
    else:
        alice.delete()
    assert code(post("/auth/refresh", refresh=pair["refresh"]), 401) == "revoked_token"
    assert RevokedSession.objects.get().name == verified(pair["access"]).session_id


def test_revoking_is_idempotent_and_says_nothing(alice: User) -> None:
    pair = sign_in()
    for text in (pair["refresh"], pair["refresh"], "no token", pair["access"]):
        answer = post("/auth/revoke", refresh=text)
        assert (answer.status_code, answer.content) == (204, b"")
    assert code(post("/auth/refresh", refresh=pair["refresh"]), 401) == "revoked_token"
    assert RevokedSession.objects.count() == 1


@pytest.mark.parametrize("path", ["/auth/token", "/auth/refresh", "/auth/revoke"])
def test_a_store_that_is_away_is_never_a_pass(
    alice: User, monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    pair = sign_in()

    def away(*_: object) -> None:
        raise KeyStoreUnavailable("away")

    for name in ("open", "owner", "rotate"):
        monkeypatch.setattr(MemoryStore, name, away)
    answer = post(path, username="alice", password=PASSWORD, refresh=pair["refresh"])
    assert code(answer, 503) == "key_store_unavailable"
    assert answer["Retry-After"] == "1"


@pytest.mark.services
def test_with_redis_sessions_survive_the_process_and_need_it(
    alice: User, settings: Any, tmp_path: Path
) -> None:
    with servers.redis(tmp_path) as server:
        settings.REDIS = {"url": server.url, "timeout": 5.0, "prefix": "gw:"}
        pair = sign_in()
        _desk.cache_clear()
        second = refreshed(pair["refresh"])
    answer = post("/auth/refresh", refresh=second["refresh"])
    assert code(answer, 503) == "key_store_unavailable"
    assert verified(second["access"]).subject == str(alice.pk)


def test_every_event_is_audited_and_no_credential_is(alice: User) -> None:
    pair = sign_in()
    post("/auth/token", username=PASSWORD, password="wrong")
    again = refreshed(pair["refresh"])
    post("/auth/revoke", refresh=again["refresh"])
    assert audited() == [
        ("login.succeeded", "alice", "success"),
        ("token.issued", "alice", "success"),
        ("login.failed", "", "refused"),
        ("token.refreshed", "alice", "success"),
        ("token.revoked", "alice", "success"),
    ]
    text = repr(list(AuditEntry.objects.values()))
    for secret in (PASSWORD, pair["access"], pair["refresh"], again["refresh"]):
        assert secret not in text
    assert AuditEntry.objects.filter(client_ip="127.0.0.1").count() == 5
