"""Whether the time of a refusal tells that a key's prefix exists.

A statistical test with a generous bound. Both kinds of wrong key are sent in turn over one
connection, so that whatever slows the machine slows both; the medians of 300 each may differ by
a half of the larger. An early exit in a look-up by prefix, a slow hash for known prefixes or a
query more would differ by a multiple. What is left below that, a few microseconds of a comparison,
is nothing to learn from: the look-up is by SHA-256 of the whole key (docs/keys.md).
"""

from __future__ import annotations

import secrets
import statistics
import time
from pathlib import Path

import pytest

from tests.support.process import GatewayProcess, new_gateway
from tests.support.raw import RawClient
from tests.support.upstream import Upstream
from tests.system.identity import CONFIGURATION, code, get

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]

_ROUNDS = 300


def seconds(client: RawClient, key: str) -> float:
    """How long the refusal of *key* takes."""
    began = time.perf_counter()
    client.send(get(key))
    assert code(client.read_reply()) == "invalid_api_key"
    return time.perf_counter() - began


def measure(gateway: GatewayProcess, known: str) -> tuple[float, float]:
    """Medians for wrong keys with the prefix of *known* and with prefixes nobody has."""
    with_prefix, without = [], []
    with RawClient(gateway.port) as client:
        for _ in range(_ROUNDS):
            rest = secrets.token_urlsafe(32)[: len(known) - 12]
            with_prefix.append(seconds(client, known[:12] + rest))
            without.append(seconds(client, "gw_" + secrets.token_urlsafe(32)))
    return statistics.median(with_prefix), statistics.median(without)


def test_a_wrong_key_with_a_known_prefix_takes_as_long_as_any_other(
    tmp_path: Path, upstream: Upstream
) -> None:
    gateway = new_gateway(tmp_path)
    gateway.apply(CONFIGURATION.format(url=upstream.url))
    with gateway.serving():
        medians = measure(gateway, gateway.key("acme"))
    assert max(medians) - min(medians) < max(medians) / 2
