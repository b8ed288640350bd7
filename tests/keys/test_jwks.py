"""Key sets: ours written and published, others' read, fetched and kept."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Awaitable
from pathlib import Path
from random import Random
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from keys.authentication import Authenticator
from keys.caller import KeyRecord
from keys.claims import AccessToken, TokenRules
from keys.errors import InvalidToken, KeyStoreUnavailable, UnusableKey
from keys.issuers import Authority, ExternalIssuer, Issuers, parse_issuer
from keys.jwks import public_jwk, read_jwks, thumbprint
from keys.key_cache import KeyCache
from keys.key_sets import KeySet
from keys.signatures import ALGORITHMS, VerificationKey
from keys.signing_keys import PrivateKey
from keys.tokens import TokenVerifier, only_key
from runtime.tasks import TaskOwner
from tests.keys.forge import SECRET
from tests.keys.shelf import Clock

EC, OTHER_EC = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
RSA = rsa.generate_private_key(65537, 2048)
ED = ed25519.Ed25519PrivateKey.generate()
ALL = frozenset({"RS256", "ES256", "EdDSA"})
ISSUER = "https://issuer.example"


def key_set(*keys: PrivateKey) -> bytes:
    return json.dumps({"keys": [public_jwk(key.public_key()) for key in keys]}).encode()


def signed(key: PrivateKey, kid: str = "", **claims: Any) -> str:
    jwk = public_jwk(key.public_key())
    claims = {"iss": ISSUER, "sub": "42", "exp": int(time.time()) + 600} | claims
    content = {name: value for name, value in claims.items() if value is not ...}
    return jwt.encode(content, key, jwk["alg"], {"kid": kid or jwk["kid"]})


def test_a_thumbprint_is_the_one_of_the_rfc() -> None:
    """RFC 7638 section 3.1."""
    modulus = (
        "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECP"
        "ebWKRXjBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY"
        "368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0f"
        "M4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw"
    )
    found = thumbprint({"kty": "RSA", "e": "AQAB", "n": modulus})
    assert found == "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs"


@pytest.mark.parametrize("key", [RSA, EC, ED], ids=["RSA", "EC", "Ed25519"])
def test_what_we_write_we_read_and_it_verifies(key: PrivateKey) -> None:
    jwk = public_jwk(key.public_key())
    assert "d" not in jwk
    keys = read_jwks(key_set(key), ALL)
    assert list(keys) == [jwk["kid"]]
    assert TokenVerifier(keys.get).verify(signed(key)).subject == "42"


def test_only_curves_we_verify_with_are_written() -> None:
    with pytest.raises(UnusableKey):
        public_jwk(ec.generate_private_key(ec.SECP384R1()).public_key())


GOOD = public_jwk(EC.public_key())
USELESS: dict[str, Any] = {
    "no object": 1,
    "a shared secret": {"kty": "oct", "k": "c2VjcmV0", "kid": "a"},
    "a private key": GOOD | {"d": "AAAA"},
    "for encryption": GOOD | {"use": "enc"},
    "another algorithm": GOOD | {"alg": "ES512"},
    "an algorithm of another kind": GOOD | {"alg": "HS256"},
    "another curve": GOOD | {"crv": "P-521"},
    "a point on no curve": GOOD | {"x": GOOD["y"]},
    "an unnameable name": GOOD | {"kid": 1},
    "no numbers": {"kty": "RSA", "kid": "a", "n": "", "e": ""},
    "a list for a kind": GOOD | {"kty": ["EC"]},
    "a list for an algorithm": GOOD | {"alg": ["ES256"]},
}


@pytest.mark.parametrize("entry", USELESS.values(), ids=USELESS.keys())
def test_a_useless_key_is_left_out_of_a_set(entry: object) -> None:
    content = json.dumps({"keys": [entry, public_jwk(ED.public_key())]}).encode()
    assert list(read_jwks(content, ALL)) == [public_jwk(ED.public_key())["kid"]]


def test_keys_of_algorithms_not_asked_for_are_left_out() -> None:
    assert [key.algorithm for key in read_jwks(key_set(RSA, EC), {"RS256"}).values()] == ["RS256"]


@pytest.mark.parametrize("content", [b"", b"[]", b"{}", b'{"keys": {}}', b"[" * 100_000])
def test_what_is_no_key_set_is_an_error(content: bytes) -> None:
    with pytest.raises(ValueError):
        read_jwks(content, ALL)


def test_an_issuer_is_written_in_one_line() -> None:
    parsed = parse_issuer("https://a.example=https://a.example/keys?x=1|apis|RS256+EdDSA")
    assert parsed == ExternalIssuer(
        "https://a.example", "https://a.example/keys?x=1", "apis", frozenset({"RS256", "EdDSA"})
    )
    short = ExternalIssuer("a", "http://[::1]:9/keys", "", ALGORITHMS - {"HS256", "HS384", "HS512"})
    assert parse_issuer("a=http://[::1]:9/keys") == short


@pytest.mark.parametrize(
    "text",
    ["", "a", "a=", "=https://a/k", "a=ftp://a/k", "a=http://a.example/k", "a=https://u:p@a/k",
     "a=https://a/k||HS256", "a=https://a/k|x|none", "a=https://a/k|x|RS256|y", "a=https://:1/k"],
)  # fmt: skip
def test_a_line_that_would_be_unsafe_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        parse_issuer(text)


class KeyServer:
    """An issuer's key set behind a real socket. Counts what is asked of it."""

    def __init__(self) -> None:
        self.content = key_set(EC)
        self.status = "200 OK"
        self.headers = ""
        self.asked = 0
        self.open = asyncio.Event()
        self.open.set()
        self.server: asyncio.Server | None = None
        self.port = 0

    @property
    def issuer(self) -> ExternalIssuer:
        return ExternalIssuer(ISSUER, f"http://127.0.0.1:{self.port}/keys")

    async def start(self) -> None:
        self.server = await asyncio.start_server(self._answer, "127.0.0.1", self.port)
        self.port = self.server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        if self.server is not None:
            self.server.close()
            await self.server.wait_closed()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        self.asked += 1
        await self.open.wait()
        head = f"HTTP/1.1 {self.status}\r\nContent-Length: {len(self.content)}\r\n"
        writer.write(f"{head}{self.headers}Connection: close\r\n\r\n".encode() + self.content)
        await writer.drain()
        writer.close()


@pytest.fixture
async def server() -> AsyncIterator[KeyServer]:
    server = KeyServer()
    await server.start()
    yield server
    server.open.set()
    await server.stop()


@pytest.fixture
async def owner() -> AsyncIterator[TaskOwner]:
    owner = TaskOwner()
    yield owner
    await owner.stop()


class World:
    """Our own HS256 issuer and the one of *server*, as a worker has them."""

    def __init__(self, server: KeyServer, owner: TaskOwner, directory: Path | None = None) -> None:
        self.clock = Clock()
        cache = KeyCache(directory, server.issuer) if directory else None
        self.keys = KeySet(server.issuer, cache=cache, clock=self.clock, random=Random(1))
        rules = TokenRules(issuer=ISSUER, external=True)
        verifier = TokenVerifier(self.keys.key, rules)
        self.keys.changed = verifier.forget
        own = TokenVerifier(only_key(VerificationKey.load("HS256", SECRET)))
        self.issuers = Issuers(own, {ISSUER: Authority(self.keys, verifier)})
        if directory is None:
            self.keys.start(owner)

    async def verify(self, text: str) -> AccessToken:
        found = self.issuers.verify(text)
        return await found if isinstance(found, Awaitable) else found


async def test_a_token_of_an_external_issuer_waits_for_the_first_fetch(
    server: KeyServer, owner: TaskOwner
) -> None:
    world = World(server, owner)
    assert (await world.verify(signed(EC))).external
    assert server.asked == 1


async def test_a_known_key_is_used_without_suspending(server: KeyServer, owner: TaskOwner) -> None:
    world = World(server, owner)
    await world.verify(signed(EC))
    assert isinstance(world.issuers.verify(signed(EC, sub="43")), AccessToken)
    assert isinstance(world.issuers.verify(signed(EC, sub="43")), AccessToken)


async def test_a_key_rotated_at_the_issuer_costs_its_users_no_refusal(
    server: KeyServer, owner: TaskOwner
) -> None:
    world = World(server, owner)
    await world.verify(signed(EC))
    server.content = key_set(EC, OTHER_EC)
    world.clock.seconds += 31
    many = [world.verify(signed(OTHER_EC, sub=str(number))) for number in range(20)]
    assert len(await asyncio.gather(*many)) == 20
    assert server.asked == 2


async def test_a_flood_of_unknown_keys_causes_one_fetch_in_thirty_seconds(
    server: KeyServer, owner: TaskOwner
) -> None:
    world = World(server, owner)
    await world.verify(signed(EC))
    for seconds in (0, 29, 2, 29, 2):
        world.clock.seconds += seconds
        for number in range(50):
            with pytest.raises(InvalidToken):
                await world.verify(signed(OTHER_EC, f"kid-{number}"))
    assert server.asked == 3


async def test_an_issuer_that_is_down_leaves_the_keys_we_have(
    server: KeyServer, owner: TaskOwner
) -> None:
    world = World(server, owner)
    await world.verify(signed(EC))
    await server.stop()
    world.clock.seconds += 31
    with pytest.raises(KeyStoreUnavailable):
        await world.verify(signed(OTHER_EC))
    assert (await world.verify(signed(EC, sub="43"))).subject == "43"
    assert not world.keys.healthy


async def restarted(server: KeyServer, owner: TaskOwner, directory: Path) -> World:
    """A worker that begins with what an earlier one left in *directory*."""
    world = World(server, owner, directory)
    await world.keys.recall()
    world.keys.start(owner)
    return world


def only_file(directory: Path) -> Path:
    [path] = directory.iterdir()
    return path


async def test_a_node_that_starts_while_the_issuer_is_away_has_the_keys_of_before(
    server: KeyServer, owner: TaskOwner, tmp_path: Path
) -> None:
    await (await restarted(server, owner, tmp_path)).verify(signed(EC))
    await owner.stop()
    await server.stop()
    world = await restarted(server, owner, tmp_path)
    assert (await world.verify(signed(EC))).subject == "42"
    with pytest.raises(KeyStoreUnavailable):
        await world.verify(signed(OTHER_EC))


async def test_what_is_stored_is_public_and_its_owners_alone(
    server: KeyServer, owner: TaskOwner, tmp_path: Path
) -> None:
    document = json.loads(key_set(EC, ED))
    document["keys"][0] |= {"note": "internal", "x5c": ["AAAA"]}
    server.content = json.dumps({**document, "extra": 1}).encode()
    await (await restarted(server, owner, tmp_path)).verify(signed(EC))
    stored = only_file(tmp_path)
    assert stored.stat().st_mode & 0o077 == 0
    assert json.loads(stored.read_bytes()) == json.loads(key_set(EC, ED))


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"keys": [1]}', b"\xff"])
async def test_a_damaged_file_is_as_good_as_none(
    server: KeyServer, owner: TaskOwner, tmp_path: Path, content: bytes
) -> None:
    KeyCache(tmp_path, server.issuer).save(key_set(EC))
    only_file(tmp_path).write_bytes(content)
    assert (await (await restarted(server, owner, tmp_path)).verify(signed(EC))).external


async def test_keys_that_cannot_be_stored_are_used_all_the_same(
    server: KeyServer, owner: TaskOwner, tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    world = await restarted(server, owner, tmp_path / "file" / "below")
    assert (await world.verify(signed(EC))).external


async def test_an_issuer_that_was_never_reached_is_neither_yes_nor_no(
    server: KeyServer, owner: TaskOwner
) -> None:
    server.status = "500 Oops"
    world = World(server, owner)
    with pytest.raises(KeyStoreUnavailable):
        await world.verify(signed(EC))


async def test_a_removed_key_verifies_nothing_any_more(server: KeyServer, owner: TaskOwner) -> None:
    world = World(server, owner)
    old = signed(EC)
    await world.verify(old)
    server.content = key_set(OTHER_EC)
    world.clock.seconds += 31
    await world.verify(signed(OTHER_EC))
    with pytest.raises(InvalidToken):
        await world.verify(old)


BAD_ANSWERS: dict[str, dict[str, Any]] = {
    "a redirect": {"status": "302 Found", "headers": "Location: http://127.0.0.1:1/keys\r\n"},
    "no JSON": {"content": b"<html>"},
    "an empty set": {"content": b'{"keys": []}'},
    "a megabyte": {"content": b" " * 1_000_000},
}


@pytest.mark.parametrize("answer", BAD_ANSWERS.values(), ids=BAD_ANSWERS.keys())
async def test_a_bad_answer_changes_nothing(
    server: KeyServer, owner: TaskOwner, answer: dict[str, Any]
) -> None:
    world = World(server, owner)
    await world.verify(signed(EC))
    for name, value in answer.items():
        setattr(server, name, value)
    world.clock.seconds += 31
    with pytest.raises(KeyStoreUnavailable):
        await world.verify(signed(OTHER_EC))
    assert world.keys.knows(public_jwk(EC.public_key())["kid"])


FOREIGN = {
    "their name, our secret": lambda: jwt.encode(
        {"iss": ISSUER, "sub": "42", "exp": int(time.time()) + 9}, SECRET, "HS256", {"kid": "x"}
    ),
    "our name, their key": lambda: signed(EC, iss="gateway"),
    "no name, their key": lambda: signed(EC, iss=...),
    "a longer name, their key": lambda: signed(EC, iss=f"{ISSUER}/"),
    "their name, another key of that kid": lambda: signed(
        OTHER_EC, public_jwk(EC.public_key())["kid"]
    ),
}


@pytest.mark.parametrize("make", FOREIGN.values(), ids=FOREIGN.keys())
async def test_no_issuer_signs_for_another(server: KeyServer, owner: TaskOwner, make: Any) -> None:
    world = World(server, owner)
    await world.verify(signed(EC))
    with pytest.raises(InvalidToken):
        await world.verify(make())


class NoKeys:
    """Where no API key is ever found."""

    def remembered(self, digest: str) -> KeyRecord | None:
        return None

    async def find(self, digest: str) -> KeyRecord | None:
        return None

    def note_use(self, key_id: int) -> None:
        """There is none to be used."""


async def test_callers_of_two_issuers_are_limited_apart(
    server: KeyServer, owner: TaskOwner
) -> None:
    world = World(server, owner)
    authenticator = Authenticator(NoKeys(), world.issuers)
    own = jwt.encode({"sub": "42", "exp": int(time.time()) + 600}, SECRET, "HS256")
    ours, theirs = [await authenticator.authenticate_jwt(text) for text in (own, signed(EC))]
    assert (ours.identity, theirs.identity) == ("user:42", f"issuer:{ISSUER} 42")
    assert (ours.issuer, theirs.issuer) == ("", ISSUER)
