"""Access tokens: what is accepted, what is remembered, and every forgery we know of."""

from __future__ import annotations

import jwt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from keys.claims import AccessToken, TokenRules
from keys.errors import (
    ExpiredToken,
    InvalidToken,
    KeyStoreUnavailable,
    RevokedToken,
    TokenRefused,
)
from keys.signatures import VerificationKey
from keys.signing_keys import generate_rsa_key_pair
from keys.tokens import TokenVerifier, only_key
from tests.keys.forge import CLAIMS, HEADER, NOW, SECRET, headed, segment, signed, token
from tests.keys.shelf import Clock

RULES = TokenRules(issuer="https://issuer.example", audiences=frozenset({"gateway"}))
GOOD = token()
BODY, SIGNATURE = GOOD.rsplit(".", 1)


def verifier(rules: TokenRules | None = None, clock: Clock | None = None) -> TokenVerifier:
    key = VerificationKey.load("HS256", SECRET)
    return TokenVerifier(only_key(key), rules, now=clock or Clock(NOW))


@pytest.fixture(scope="module")
def rsa() -> tuple[str, str]:
    return generate_rsa_key_pair(2048)


def test_a_good_token_gives_its_facts() -> None:
    found = verifier().verify(token(roles=["admin"], permissions="a b", jti="j", sid="s", iat=NOW))
    assert found == AccessToken("42", ("admin",), ("a", "b"), NOW + 600, NOW, "", "j", "s")


@pytest.mark.parametrize("typ", ["JWT", "jwt", "at+jwt", "application/at+jwt", ...])
def test_the_types_of_access_tokens_are_accepted(typ: object) -> None:
    assert verifier().verify(headed(typ=typ)).subject == "42"


@pytest.mark.parametrize("kid", ["", "key-1", "abc+/=", "https://issuer.example/keys#1"[:-2]])
def test_an_ordinary_key_name_does_not_matter_with_one_key(kid: str) -> None:
    assert verifier().verify(headed(kid=kid) if kid else GOOD).subject == "42"


HOSTILE = {
    "empty": "",
    "one part": "abc",
    "two parts": BODY,
    "four parts": GOOD + "." + SIGNATURE,
    "five parts, as encrypted tokens have": "a.b.c.d.e",
    "no signature": BODY + ".",
    "padding": GOOD + "=",
    "a line feed": GOOD + "\n",
    "a character outside the alphabet": GOOD[:-3] + "+" + GOOD[-2:],
    "not ASCII": GOOD + "é",
    "a length no base64 has": f"{BODY}.{SIGNATURE}AA",
    "another spelling of the same signature": GOOD[:-1] + chr(ord(GOOD[-1]) + 1),
    "oversized": GOOD + "A" * 8192,
    "a megabyte": "a" * 1_000_000,
    "a megabyte of parts": "." * 1_000_000,
    "alg none": signed(HEADER | {"alg": "none"}, CLAIMS),
    "alg none without a signature": f"{segment({'alg': 'none'})}.{segment(CLAIMS)}.",
    "alg NoNe": headed(alg="NoNe"),
    "alg missing": headed(alg=...),
    "alg null": headed(alg=None),
    "alg a list": headed(alg=["HS256"]),
    "alg in lower case": headed(alg="hs256"),
    "another alg of the family": headed(alg="HS512"),
    "an asymmetric alg": headed(alg="RS256"),
    "signed with the empty key": signed(HEADER, CLAIMS, b""),
    "signed with another key": signed(HEADER, CLAIMS, b"another"),
    "changed claims": f"{segment(HEADER)}.{segment(CLAIMS | {'sub': '1'})}.{SIGNATURE}",
    "header no object": signed([1], CLAIMS),
    "header no JSON": signed(b"{", CLAIMS),
    "header not UTF-8": signed(b'{"alg":"HS256","x":"\xff"}', CLAIMS),
    "header in UTF-16": signed('{"alg":"HS256"}'.encode("utf-16"), CLAIMS),
    "header with a doubled name": signed(b'{"alg":"none","alg":"HS256"}', CLAIMS),
    "header of deep JSON": signed(b"[" * 2_500 + b"]" * 2_500, CLAIMS),
    "jwk": headed(jwk={"kty": "oct", "k": "AA"}),
    "jku": headed(jku="https://evil.example/keys"),
    "x5u": headed(x5u="https://evil.example/cert"),
    "x5c": headed(x5c=["MIIB"]),
    "unknown crit": headed(crit=["exp"], exp=1),
    "crit empty": headed(crit=[]),
    "b64 false": headed(b64=False, crit=["b64"]),
    "b64 true": headed(b64=True),
    "kid a path": headed(kid="../../../../dev/null"),
    "kid a query": headed(kid="' UNION SELECT 'key"),
    "kid a number": headed(kid=1),
    "kid null": headed(kid=None),
    "kid empty": headed(kid=""),
    "kid with a line feed": headed(kid="a\nb"),
    "kid long": headed(kid="k" * 257),
    "typ of a refresh token": headed(typ="refresh+jwt"),
    "typ of a logout token": headed(typ="logout+jwt"),
    "typ no text": headed(typ=1),
    "claims no object": signed(HEADER, ["sub"]),
    "claims no JSON": signed(HEADER, b"sub=42"),
    "claims empty": signed(HEADER, b""),
    "claims of deep JSON": signed(HEADER, b'{"a":' * 1_000 + b"1" + b"}" * 1_000),
    "claims with NaN": signed(HEADER, b'{"sub":"42","exp":NaN}'),
    "claims with a doubled name": signed(HEADER, b'{"sub":"1","sub":"42","exp":9999999999}'),
    "claims with an endless number": signed(HEADER, b'{"sub":"42","exp":' + b"9" * 5_000 + b"}"),
    "exp missing": token(exp=...),
    "exp null": token(exp=None),
    "exp a float": token(exp=NOW + 600.5),
    "exp a whole float": token(exp=float(NOW + 600)),
    "exp a string": token(exp=str(NOW + 600)),
    "exp true": token(exp=True),
    "exp huge": token(exp=10**30),
    "exp infinite": signed(HEADER, b'{"sub":"42","exp":Infinity}'),
    "exp with an exponent": signed(HEADER, b'{"sub":"42","exp":1e308}'),
    "exp negative": token(exp=-1),
    "exp a list": token(exp=[NOW + 600]),
    "nbf ahead": token(nbf=NOW + 1),
    "nbf a string": token(nbf="0"),
    "iat a string": token(iat="0"),
    "sub missing": token(sub=...),
    "sub null": token(sub=None),
    "sub a number": token(sub=42),
    "sub empty": token(sub=""),
    "sub long": token(sub="s" * 257),
    "sub with CR LF": token(sub="42\r\nX-Roles: admin"),
    "sub with NUL": token(sub="42\x00"),
    "sub with a line separator": token(sub="42\u2028"),
    "sub with a lone surrogate": token(sub="42\ud800"),
    "sub with edge blanks": token(sub=" 42"),
    "roles with a comma inside one": token(roles=["user,admin"]),
    "roles with CR LF": token(roles=["user\r\nX-User-Id: 1"]),
    "roles as text with a line feed": token(roles="user\nadmin"),
    "roles with an empty one": token(roles=["user", ""]),
    "roles with a number": token(roles=["user", 1]),
    "roles an object": token(roles={"admin": True}),
    "roles of 100 KB": token(roles="y" * 100_000),
    "jti a number": token(jti=1),
    "a refresh token": token(token_type="refresh"),
    "a refresh token by typ": token(typ="Refresh"),
    "an identity token": token(token_use="id"),
    "a refresh token by type": token(type="refresh"),
    "a kind that is no text": token(token_type=["access"]),
}


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE.keys())
def test_a_hostile_token_is_refused(text: str) -> None:
    tokens = verifier()
    with pytest.raises(InvalidToken):
        tokens.verify(text)
    assert len(tokens) == 0


ELSEWHERE = {
    "no iss": {"aud": "gateway"},
    "iss a prefix": {"iss": "https://issuer.exampl", "aud": "gateway"},
    "iss with the right one as prefix": {"iss": "https://issuer.example.evil", "aud": "gateway"},
    "iss a list": {"iss": ["https://issuer.example"], "aud": "gateway"},
    "no aud": {"iss": RULES.issuer},
    "aud a substring": {"iss": RULES.issuer, "aud": "gate"},
    "aud around the right one": {"iss": RULES.issuer, "aud": "my-gateway-2"},
    "aud other ones": {"iss": RULES.issuer, "aud": ["billing", "admin"]},
    "aud an object": {"iss": RULES.issuer, "aud": {"gateway": 1}},
    "aud mixed": {"iss": RULES.issuer, "aud": ["gateway", 1]},
    "aud empty": {"iss": RULES.issuer, "aud": []},
}


@pytest.mark.parametrize("claims", ELSEWHERE.values(), ids=ELSEWHERE.keys())
def test_a_token_of_another_issuer_or_for_another_audience_is_refused(
    claims: dict[str, object],
) -> None:
    with pytest.raises(InvalidToken):
        verifier(RULES).verify(token(**claims))


@pytest.mark.parametrize("aud", ["gateway", ["other", "gateway"]])
def test_the_right_issuer_and_audience_are_accepted(aud: object) -> None:
    assert verifier(RULES).verify(token(iss=RULES.issuer, aud=aud)).issuer == RULES.issuer


def test_issuer_and_audience_do_not_matter_when_none_is_configured() -> None:
    assert verifier().verify(token(iss="anyone", aud="anybody")).subject == "42"


def test_a_token_expires_at_the_second_of_its_exp() -> None:
    with pytest.raises(ExpiredToken):
        verifier().verify(token(exp=NOW))
    assert verifier().verify(token(exp=NOW + 1)).expires_at == NOW + 1


def test_leeway_moves_exp_and_nbf() -> None:
    tolerant = TokenRules(leeway=10)
    assert verifier(tolerant).verify(token(exp=NOW - 9, nbf=NOW + 10)).subject == "42"
    with pytest.raises(ExpiredToken):
        verifier(tolerant).verify(token(exp=NOW - 10))


def test_a_remembered_token_expires_too() -> None:
    clock = Clock(NOW)
    tokens = verifier(clock=clock)
    tokens.verify(GOOD)
    assert len(tokens) == 1
    clock.seconds += 600
    with pytest.raises(ExpiredToken):
        tokens.verify(GOOD)
    assert len(tokens) == 0


def test_a_remembered_token_keeps_its_leeway() -> None:
    clock = Clock(NOW)
    tokens = verifier(TokenRules(leeway=30), clock)
    tokens.verify(GOOD)
    clock.seconds += 620
    assert tokens.verify(GOOD).subject == "42"
    assert tokens.verify(GOOD).subject == "42"


def test_the_memory_of_tokens_is_bounded() -> None:
    key = VerificationKey.load("HS256", SECRET)
    tokens = TokenVerifier(only_key(key), size=3, now=Clock(NOW))
    for number in range(10):
        tokens.verify(token(sub=f"user-{number}"))
    assert len(tokens) == 3


def test_revocation_is_asked_on_every_use() -> None:
    revoked: set[str] = set()
    key = VerificationKey.load("HS256", SECRET)
    tokens = TokenVerifier(
        only_key(key), revoked=lambda found: found.session_id in revoked, now=Clock(NOW)
    )
    tokens.verify(token(sid="session"))
    revoked.add("session")
    with pytest.raises(RevokedToken):
        tokens.verify(token(sid="session"))


def test_a_revocation_list_that_cannot_tell_lets_nobody_in() -> None:
    def unavailable(_token: AccessToken) -> bool:
        raise KeyStoreUnavailable

    key = VerificationKey.load("HS256", SECRET)
    tokens = TokenVerifier(only_key(key), revoked=unavailable, now=Clock(NOW))
    with pytest.raises(KeyStoreUnavailable):
        tokens.verify(GOOD)


def test_forgetting_makes_changed_keys_count() -> None:
    keys = {"": VerificationKey.load("HS256", SECRET)}
    tokens = TokenVerifier(keys.get, now=Clock(NOW))
    tokens.verify(GOOD)
    keys.clear()
    assert tokens.verify(GOOD).subject == "42"
    tokens.forget()
    with pytest.raises(InvalidToken):
        tokens.verify(GOOD)


def test_the_key_is_chosen_by_its_name() -> None:
    keys = {"one": VerificationKey.load("HS256", SECRET, kid="one")}
    tokens = TokenVerifier(keys.get, now=Clock(NOW))
    assert tokens.verify(headed(kid="one")).subject == "42"
    with pytest.raises(InvalidToken):
        tokens.verify(headed(kid="two"))


def test_an_asymmetric_token_is_verified(rsa: tuple[str, str]) -> None:
    private, public = rsa
    tokens = TokenVerifier(only_key(VerificationKey.load("RS256", public)), now=Clock(NOW))
    assert tokens.verify(jwt.encode(CLAIMS, private, "RS256")).subject == "42"


def test_a_token_signed_with_the_public_key_as_secret_is_refused(rsa: tuple[str, str]) -> None:
    _, public = rsa
    tokens = TokenVerifier(only_key(VerificationKey.load("RS256", public)), now=Clock(NOW))
    for alg in ("HS256", "RS256"):
        with pytest.raises(InvalidToken):
            tokens.verify(signed(HEADER | {"alg": alg}, CLAIMS, public.encode()))


@given(st.text(alphabet=st.sampled_from('abAB01-_=.{}" \n é'), max_size=40))
def test_any_text_is_refused_with_a_sentence_that_does_not_quote_it(text: str) -> None:
    with pytest.raises(TokenRefused) as refused:
        verifier().verify(text)
    assert str(refused.value) == refused.value.sentence


@given(st.integers(0, len(GOOD) - 1), st.sampled_from("aB3-_."))
def test_a_token_with_any_character_changed_is_refused(place: int, character: str) -> None:
    changed = GOOD[:place] + character + GOOD[place + 1 :]
    if changed != GOOD:
        with pytest.raises(TokenRefused):
            verifier().verify(changed)
