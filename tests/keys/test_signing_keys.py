"""Keys as text: made, read, and refused when they cannot serve."""

from __future__ import annotations

import base64
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, RSAPublicKey
from hypothesis import example, given, strategies

from keys.ciphers import refuse_public
from keys.errors import UnusableKey
from keys.signatures import VerificationKey, is_no_public_key
from keys.signing_keys import generate_rsa_key_pair, load_private_key, load_public_key
from keys.tokens import TokenVerifier, only_key
from tests.keys.forge import CLAIMS, NOW, SECRET
from tests.keys.shelf import Clock

PRIVATE, PUBLIC = generate_rsa_key_pair(2048)


def pem(key: Any) -> str:
    """A private key as PEM text."""
    text: bytes = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    return text.decode()


def der(public: str) -> bytes:
    return load_public_key(public).public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )


def armoured(content: bytes) -> str:
    """*content* as base64 without lines."""
    return base64.b64encode(content).decode()


EC_P256 = pem(ec.generate_private_key(ec.SECP256R1()))
EC_P384 = pem(ec.generate_private_key(ec.SECP384R1()))
ED25519 = pem(ed25519.Ed25519PrivateKey.generate())
ED448 = pem(ed448.Ed448PrivateKey.generate())
JWK = '{"kty": "RSA", "n": "AQAB", "e": "AQAB"}'


def test_a_generated_pair_belongs_together() -> None:
    private, public = load_private_key(PRIVATE), load_public_key(PUBLIC)
    assert isinstance(private, RSAPrivateKey)
    assert isinstance(public, RSAPublicKey)
    assert private.public_key() == public


def test_a_private_key_can_be_encrypted() -> None:
    private, _ = generate_rsa_key_pair(2048, password="pass")
    assert "ENCRYPTED" in private
    assert isinstance(load_private_key(private, "pass"), RSAPrivateKey)
    for wrong in ("", "other"):
        with pytest.raises(UnusableKey):
            load_private_key(private, wrong)


def test_small_keys_are_neither_made_nor_read() -> None:
    with pytest.raises(UnusableKey):
        generate_rsa_key_pair(1024)


@pytest.mark.parametrize("text", ["", "no key", PUBLIC, ED448])
def test_what_is_no_private_key_is_refused(text: str) -> None:
    with pytest.raises(UnusableKey):
        load_private_key(text)


@pytest.mark.parametrize("text", ["", "no key", PRIVATE])
def test_what_is_no_public_key_is_refused(text: str) -> None:
    with pytest.raises(UnusableKey):
        load_public_key(text)


@pytest.mark.parametrize(
    ("algorithm", "key"),
    [
        ("HS256", SECRET),
        ("HS384", SECRET),
        ("HS512", SECRET * 2),
        ("RS256", PRIVATE),
        ("ES256", EC_P256),
        ("EdDSA", ED25519),
    ],
)
def test_every_algorithm_verifies_what_it_signed(algorithm: str, key: str) -> None:
    verifier = TokenVerifier(only_key(VerificationKey.load(algorithm, key)), now=Clock(NOW))
    assert verifier.verify(jwt.encode(CLAIMS, key, algorithm)).subject == "42"


@pytest.mark.parametrize(
    ("algorithm", "key"),
    [
        ("HS256", ""),
        ("HS256", PUBLIC),
        ("HS256", PRIVATE),
        ("HS256", armoured(der(PUBLIC))),
        ("HS256", JWK),
        ("HS512", "ssh-rsa AAAAB3NzaC1yc2E"),
        ("RS256", SECRET),
        ("RS256", EC_P256),
        ("ES256", PUBLIC),
        ("ES256", EC_P384),
        ("EdDSA", EC_P256),
        ("EdDSA", ED448),
        ("none", ""),
        ("HS1", SECRET),
    ],
)
def test_a_key_that_does_not_fit_its_algorithm_is_refused(algorithm: str, key: str) -> None:
    with pytest.raises(UnusableKey):
        VerificationKey.load(algorithm, key)


FORMS = (
    "0\x03\x02\x01\x01",
    "MAMCAQE",
    "ssh-rsa ",
    "-----BEGIN PUBLIC KEY-----\n",
    '{"kty":"oct"}',
    "[",
)


@given(strategies.lists(strategies.sampled_from(FORMS) | strategies.text(max_size=9)).map("".join))
@example(armoured(PUBLIC.encode()))
@example(armoured(JWK.encode()))
@example(armoured(b"ssh-rsa AAAAB3NzaC1yc2E"))
def test_a_secret_without_a_closer_look_would_pass_one(secret: str) -> None:
    for text in (secret, armoured(secret.encode())):
        if is_no_public_key(text):
            refuse_public("HS256", text)


def test_a_usual_secret_needs_no_closer_look() -> None:
    assert is_no_public_key(SECRET)


def test_no_representation_shows_the_key() -> None:
    assert SECRET not in repr(VerificationKey.load("HS256", SECRET))
