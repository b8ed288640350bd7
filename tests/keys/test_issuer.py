"""The gateway's own keys, the command that makes them, and the tokens they sign."""

from __future__ import annotations

import stat
import time
from dataclasses import dataclass, replace
from io import StringIO
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from django.conf import settings as django_settings
from django.contrib.auth.models import Group, User
from django.core.management import CommandError, call_command

from audit.models import AuditEntry
from gateway_project.variables import ALGORITHMS as CONFIGURABLE
from keys.errors import InvalidToken, UnusableKey
from keys.issuer import Holder, Issuer
from keys.key_pairs import store_key, stored_keys, superseded
from keys.key_ring import KeyRing, directory_of
from keys.signatures import ALGORITHMS
from keys.signing_keys import PrivateKey, generate_rsa_key_pair
from keys.tokens import TokenVerifier
from tests.keys.forge import NOW, SECRET
from tests.keys.shelf import Clock
from tests.keys.test_jwks import EC, ED, OTHER_EC, RSA

ALICE = Holder("7", ("editors",), ("routing.view_route",))


@dataclass(frozen=True)
class Given:
    """The settings a ring reads."""

    jwt_algorithm: str = "ES256"
    jwt_secret_key: str = ""
    jwt_private_key: str = ""
    jwt_public_key: str = ""
    var_directory: Path = Path("/nowhere")


def issue(ring: KeyRing) -> str:
    return Issuer(ring, "gateway", 600, "apis").issue(ALICE, "session", "id", NOW)


def verify(ring: KeyRing, text: str) -> str:
    return TokenVerifier(ring.key_for, now=Clock(NOW)).verify(text).subject


def test_what_may_be_configured_is_what_can_be_verified() -> None:
    assert set(CONFIGURABLE) == ALGORITHMS


@pytest.mark.parametrize("algorithm", ["HS256", "HS384", "HS512"])
def test_a_shared_secret_signs_and_is_not_published(algorithm: str) -> None:
    ring = KeyRing(Given(algorithm, SECRET + SECRET))
    assert verify(ring, issue(ring)) == "7"
    assert ring.published() == ()
    assert "kid" not in jwt.get_unverified_header(issue(ring))


@pytest.mark.parametrize(
    ("algorithm", "key"), [("RS256", RSA), ("ES256", EC), ("EdDSA", ED)], ids=["RSA", "EC", "Ed"]
)
def test_a_stored_key_signs_is_named_and_is_published(
    tmp_path: Path, algorithm: str, key: Any
) -> None:
    given = Given(algorithm, var_directory=tmp_path)
    store_key(directory_of(given), key, NOW)
    ring = KeyRing(given)
    text = issue(ring)
    assert verify(ring, text) == "7"
    [published] = ring.published()
    assert jwt.get_unverified_header(text) == {
        "alg": algorithm, "kid": published["kid"], "typ": "at+jwt"
    }  # fmt: skip
    assert (
        jwt.decode(
            text,
            jwt.PyJWK(dict(published)),
            [algorithm],
            audience="apis",
            options={"verify_exp": False},
        )["sid"]
        == "session"
    )


def test_a_configured_private_key_wins_over_the_directory(tmp_path: Path) -> None:
    given = Given(jwt_private_key=generate_pem(), var_directory=tmp_path)
    store_key(directory_of(given), EC, NOW)
    ring = KeyRing(given)
    assert verify(ring, issue(ring)) == "7"
    assert len(ring.published()) == 1
    with pytest.raises(InvalidToken):
        verify(KeyRing(Given(var_directory=tmp_path)), issue(ring))


def generate_pem() -> str:
    return OTHER_EC.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()


def test_an_old_public_key_may_stand_beside_a_new_private_one() -> None:
    old, old_public = generate_rsa_key_pair(2048)
    new, _ = generate_rsa_key_pair(2048)
    before = issue(KeyRing(Given("RS256", jwt_private_key=old)))
    ring = KeyRing(Given("RS256", jwt_private_key=new, jwt_public_key=old_public))
    assert verify(ring, before) == verify(ring, issue(ring)) == "7"
    nameless = jwt.encode({"sub": "8", "exp": NOW + 9}, old, "RS256")
    assert verify(ring, nameless) == "8"
    assert len(ring.published()) == 2


def test_a_public_key_alone_verifies_and_signs_nothing() -> None:
    _, public = generate_rsa_key_pair(2048)
    ring = KeyRing(Given("RS256", jwt_public_key=public))
    assert ring.can_verify
    with pytest.raises(UnusableKey):
        issue(ring)


def test_a_new_key_is_published_at_once_and_signs_later(tmp_path: Path) -> None:
    clock = Clock(NOW)
    given = Given(var_directory=tmp_path)
    old = store_key(directory_of(given), EC, NOW - 10)
    ring = KeyRing(given, clock)
    new = store_key(directory_of(given), OTHER_EC, NOW + 300)
    assert ring.reload()
    assert not ring.reload()
    assert len(ring.published()) == 2
    assert jwt.get_unverified_header(issue(ring))["kid"] == old.signing.kid
    clock.seconds += 300
    assert jwt.get_unverified_header(issue(ring))["kid"] == new.signing.kid


def test_a_removed_key_verifies_nothing_any_more(tmp_path: Path) -> None:
    given = Given(var_directory=tmp_path)
    stored = store_key(directory_of(given), EC, NOW)
    ring = KeyRing(given)
    text = issue(ring)
    stored.path.unlink()
    assert ring.reload()
    with pytest.raises(InvalidToken):
        verify(ring, text)
    with pytest.raises(UnusableKey):
        issue(ring)


def test_a_broken_file_closes_only_itself(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    directory = directory_of(Given(var_directory=tmp_path))
    broken = store_key(directory, EC, NOW)
    store_key(directory, OTHER_EC, NOW)
    broken.path.write_text("no key")
    (directory / "notes.txt").write_text("no key either")
    assert len(stored_keys(directory)) == 1
    assert broken.path.name in caplog.text


def test_a_key_file_is_for_its_owner_alone(tmp_path: Path) -> None:
    stored = store_key(tmp_path / "keys", EC, NOW)
    assert stat.S_IMODE(stored.path.stat().st_mode) == 0o600
    assert stat.S_IMODE(stored.path.parent.stat().st_mode) == 0o700
    assert list(stored.path.parent.iterdir()) == [stored.path]
    assert "PRIVATE" not in repr(stored)


def test_a_key_is_superseded_by_a_later_one_of_the_algorithm_in_use(tmp_path: Path) -> None:
    keys: tuple[PrivateKey, ...] = (RSA, EC, ED, OTHER_EC)
    for number, key in enumerate(keys):
        store_key(tmp_path, key, NOW + number * 100)
    stored = stored_keys(tmp_path)
    assert superseded(stored, "ES256", NOW + 99) == []
    assert superseded(stored, "ES256", NOW + 100) == stored[:1]
    assert superseded(stored, "ES256", NOW + 300) == stored[:3]


def test_more_roles_than_a_header_can_carry_are_cut_in_order(db: None) -> None:
    user = User.objects.create_user("alice")
    groups = Group.objects.bulk_create(Group(name=f"{n:03} {'x' * 90}") for n in range(50))
    user.groups.set(groups)
    held = Holder.of(user)
    assert held.roles == tuple(group.name for group in groups[: len(held.roles)])
    assert 5 < len(held.roles) < 15


def test_a_token_of_a_superuser_fits_into_a_header(db: None) -> None:
    user = User.objects.create_superuser("root", password="x")
    ring = KeyRing(Given("HS256", SECRET))
    text = Issuer(ring, "gateway", 600).issue(Holder.of(user), "session", "id", NOW)
    assert len(text) < 6_500
    assert verify(ring, text) == str(user.pk)


def run(settings: Any, tmp_path: Path, *options: str, algorithm: str = "ES256") -> str:
    settings.GATEWAY = replace(
        django_settings.GATEWAY, var_directory=tmp_path, jwt_algorithm=algorithm
    )
    output = StringIO()
    call_command("generate_keys", *options, stdout=output, stderr=StringIO())
    return output.getvalue().strip()


def test_the_command_makes_a_key_that_signs_and_then_its_successor(
    db: None, settings: Any, tmp_path: Path
) -> None:
    first, second = run(settings, tmp_path), run(settings, tmp_path)
    third = run(settings, tmp_path, "--now")
    keys = {key.signing.kid: key for key in stored_keys(tmp_path / "keys")}
    assert set(keys) == {first, second, third}
    assert keys[first].signs_from <= time.time() < keys[second].signs_from
    assert keys[third].signs_from <= time.time()
    assert list(AuditEntry.objects.values_list("object_name", flat=True).order_by("id")) == [
        first, second, third
    ]  # fmt: skip


@pytest.mark.parametrize(("algorithm", "made"), [("EdDSA", "EdDSA"), ("HS256", "ES256")])
def test_the_command_makes_what_the_settings_ask_for(
    db: None, settings: Any, tmp_path: Path, algorithm: str, made: str
) -> None:
    run(settings, tmp_path, algorithm=algorithm)
    [key] = stored_keys(tmp_path / "keys")
    assert key.signing.algorithm == made


def test_the_command_retires_what_was_replaced_long_ago(
    db: None, settings: Any, tmp_path: Path
) -> None:
    now = time.time()
    old, middle, _ = (
        store_key(tmp_path / "keys", ec.generate_private_key(ec.SECP256R1()), now - age)
        for age in (900_000, 800_000, 100)
    )
    assert run(settings, tmp_path, "--retire-after", "2h") == old.signing.kid
    assert not old.path.exists()
    assert middle.path.exists()
    with pytest.raises(CommandError, match="not sooner"):
        run(settings, tmp_path, "--retire-after", "5m")
