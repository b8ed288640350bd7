"""Metrics and logs under hostile input: what an operator can trust (HAZARDS "Logs, metrics")."""

from __future__ import annotations

import json
import random
import re
import threading

import pytest

from tests.conformance.case import head
from tests.conformance.front import Front
from tests.conformance.token_table import GOOD, INVALID
from tests.support.process import GatewayProcess

METHODS = ("GET", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "HEAD", "BREW", "X1")
HOSTILE = {
    "CR LF escaped in the path": ("/open/a%0d%0aINJECTED", ()),
    "escapes of a terminal in the query": ("/open/a?b=%1b[31mINJECTED", ()),
    "quotes in the path": ('/open/"},{"status":200,"INJECTED":"', ()),
    "a backslash at the end": ("/open/a%5C", ()),
    "U+2028 in a header": ("/open/a", ("User-Agent: a\xe2\x80\xa8INJECTED",)),
    "quotes in a header": ("/open/a", ('User-Agent: "}\\n{"INJECTED": 1}',)),
    "CR in a header": ("/open/a", ("User-Agent: a\rINJECTED: 1",)),
    "a strange host": ("/open/a", ("X-Forwarded-For: 1.1.1.1\x85INJECTED",)),
    "a user in Latin-1": ("/open/private/a", ("X-API-Key: caf\xe9\x85INJECTED",)),
    "a broken method": ("/open/private/a", ("X-HTTP-Method-Override: \x1b[2J",)),
}


def series(front: Front) -> set[str]:
    """Names and labels of all series but that of the clients this directory keeps slow."""
    with front.connect() as client:
        client.send(head("GET /metrics"))
        text = client.read_reply().body.decode()
    lines = [line for line in text.splitlines() if line[:1] not in ("#", "")]
    return {line.rpartition(" ")[0] for line in lines if "request_timeout" not in line}


def random_word(chance: random.Random) -> str:
    return "".join(chance.choices("abcdefghijklmnopqrstuvwxyz0123456789", k=12))


def disturb(front: Front, chance: random.Random, count: int) -> None:
    """Requests of random methods, paths, hosts, keys and users."""
    for _ in range(count):
        word = random_word(chance)
        target = chance.choice([f"/{word}", f"/open/{word}", f"/open/private/{word}", "/got"])
        method = chance.choice(METHODS)
        lines = [f"X-API-Key: gw_{word}", f"User-Agent: {word}", f"X-Request-Id: {word}",
                 "Content-Length: 0"]  # fmt: skip
        with front.connect() as client:
            client.send(head(f"{method} {target}", *lines, host=f"{word}.test"))
            client.read_reply(head=method == "HEAD")


def settled_series(front: Front) -> set[str]:
    """The series once two readings, a moment apart, agree: workers hand theirs over in turns."""
    before = series(front)
    for _ in range(20):
        threading.Event().wait(1.1)
        after = series(front)
        if after == before:
            return after
        before = after
    pytest.fail("the series never stop changing")


@pytest.mark.usefixtures("gateway")
def test_the_number_of_series_does_not_follow_the_requests(front: Front) -> None:
    chance = random.Random(7)
    disturb(front, chance, 150)
    before = settled_series(front)
    disturb(front, chance, 300)
    assert settled_series(front) == before
    assert not {one for one in before if re.search(r"[a-z0-9]{12}\.test", one)}


@pytest.mark.parametrize("name", HOSTILE)
def test_one_event_is_one_line(gateway: GatewayProcess, front: Front, name: str) -> None:
    target, lines = HOSTILE[name]
    mark = f"line-{random_word(random.Random(name))}"
    with front.connect() as client:
        client.send(head(f"GET {target}", f"X-Request-Id: {mark}", *lines))
        client.read_reply()
    text = _log_after(gateway, front)
    for line in text.split("\n"):
        assert isinstance(json.loads(line or "{}"), dict)
    assert sum(f'"{mark}"' in line and '"type":"request"' in line for line in text.split("\n")) <= 1
    assert not any(line.lstrip(' {"').startswith("INJECTED") for line in text.splitlines())
    assert "\x1b" not in text
    assert "\u2028" not in text
    assert "\x85" not in text


def test_no_credential_is_in_the_log(gateway: GatewayProcess, front: Front) -> None:
    forged = INVALID["another secret"]
    secrets = [front.key, GOOD, forged, "gw_" + "wrong" * 8, "dXNlcjpwYXNzd29yZA=="]
    for secret in secrets:
        for line in (f"X-API-Key: {secret}", f"Authorization: Bearer {secret}",
                     f"Authorization: Basic {secret}", f"Cookie: session={secret}"):  # fmt: skip
            with front.connect() as client:
                client.send(head(f"GET /open/private/a?api_key={secret}", line))
                client.read_reply()
    text = _log_after(gateway, front)
    assert [secret for secret in secrets if secret in text] == []
    assert [secret for secret in secrets if secret.rpartition(".")[2] in text] == []


def _log_after(gateway: GatewayProcess, front: Front) -> str:
    """The log, once a request that was made just now is in it."""
    mark = f"mark-{random_word(random.Random())}"
    with front.connect() as client:
        client.send(head("GET /open/mark", f"X-Request-Id: {mark}"))
        client.read_reply()
    path = gateway.directory / "serve.log"
    for _ in range(1000):
        text = path.read_text("utf-8")
        if mark in text and text.endswith("\n"):
            return text
        threading.Event().wait(0.01)
    pytest.fail("the request was not logged")
