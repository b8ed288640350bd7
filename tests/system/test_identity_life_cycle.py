"""Keys over their life, seen from outside: rotation, revocation, switches, places."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator

import pytest

from tests.servers import Server
from tests.support.load import Load
from tests.support.process import GatewayProcess, new_gateway
from tests.support.upstream import Upstream
from tests.system.identity import CONFIGURATION, ask, asked, code, codes, get, wait_until

pytestmark = pytest.mark.timeout(180)

SHELL = "from keys.models import ApiKey, Consumer; "
IMPORTS = """
from audit.models import AuditEntry as E
from keys.models import ApiKey as A, ArchivedApiKey as B
"""
REFUSALS = (
    "list(E.objects.filter(action='credential.refused', object_name={!r})"
    ".order_by('sequence').values('actor', 'client_ip', 'changes'))"
)


@pytest.fixture(scope="module")
def two_workers(
    tmp_path_factory: pytest.TempPathFactory, _upstream: Upstream
) -> Iterator[GatewayProcess]:
    """Two workers, SQLite, no Redis."""
    gateway = new_gateway(tmp_path_factory.mktemp("life"), {"RATE_LIMIT_PER_WORKER": "true"})
    gateway.apply(CONFIGURATION.format(url=_upstream.url))
    with gateway.serving("--workers", "2"):
        yield gateway


@pytest.fixture(scope="module")
def two_workers_with_redis(
    tmp_path_factory: pytest.TempPathFactory, _upstream: Upstream, redis_server: Server
) -> Iterator[GatewayProcess]:
    """Two workers that can be told over Redis."""
    settings = {"REDIS_URL": redis_server.url, "REDIS_PREFIX": "identity:"}
    gateway = new_gateway(tmp_path_factory.mktemp("redis"), settings)
    gateway.apply(CONFIGURATION.format(url=_upstream.url))
    with gateway.serving("--workers", "2"):
        yield gateway


def prefix(key: str) -> str:
    return key[:12]


def last_use_after_revocation(gateway: GatewayProcess, consumer: str, watch: float) -> float:
    """Seconds from the stored moment of revocation to the last request that still got through.

    Asks 100 times a second over connections to every worker, for *watch* seconds after it.
    """
    key = gateway.key(consumer)
    assert codes(gateway, key) == {"ok"}
    load = Load(gateway.port, get(key), rate=100)
    clock = time.time() - time.monotonic()
    with load.running():
        gateway.manage("revoke_api_key", prefix(key))
        time.sleep(watch)
    moment = asked(
        gateway, f"A.objects.get(prefix={prefix(key)!r}).revoked_at.timestamp()", IMPORTS
    )
    answers = {code(one.reply): one.sent + clock for one in load.outcomes if one.reply}
    assert set(answers) == {"ok", "revoked_api_key"}
    return float(answers["ok"] - moment)


def test_without_redis_a_revocation_reaches_every_worker_within_five_seconds(
    two_workers: GatewayProcess,
) -> None:
    assert last_use_after_revocation(two_workers, "revoked", watch=5) < 5


def test_with_redis_a_revocation_reaches_every_worker_within_one_second(
    two_workers_with_redis: GatewayProcess,
) -> None:
    assert last_use_after_revocation(two_workers_with_redis, "revoked", watch=2) < 1


def test_a_rotated_key_works_until_its_grace_ends_and_is_then_expired(
    two_workers: GatewayProcess,
) -> None:
    old = two_workers.key("rotating")
    answer = two_workers.manage("rotate_api_key", prefix(old), "--grace", "4s", "--json")
    new = json.loads(answer.stdout)["key"]
    assert (code(ask(two_workers, new)), code(ask(two_workers, old))) == ("ok", "ok")
    wait_until(lambda: codes(two_workers, old) == {"expired_api_key"}, 15)
    assert codes(two_workers, new) == {"ok"}


def test_a_disabled_consumers_keys_are_refused_until_it_is_enabled(
    two_workers: GatewayProcess,
) -> None:
    key = two_workers.key("switched")
    assert codes(two_workers, key) == {"ok"}
    change = SHELL + "Consumer.objects.filter(name='switched').update(enabled={})"
    two_workers.manage("shell", "-c", change.format(False))
    wait_until(lambda: codes(two_workers, key) == {"revoked_api_key"}, 5)
    two_workers.manage("shell", "-c", change.format(True))
    wait_until(lambda: codes(two_workers, key) == {"ok"}, 5)


def test_a_key_is_good_for_its_routes_and_networks_alone(two_workers: GatewayProcess) -> None:
    key = two_workers.key("placed")
    change = SHELL + f"ApiKey.objects.filter(prefix='{prefix(key)}').update({{}})"
    two_workers.manage("shell", "-c", change.format("allowed_routes=['other']"))
    wait_until(lambda: codes(two_workers, key) == {"invalid_api_key"}, 5)
    assert code(ask(two_workers, key, "/other")) == "ok"
    two_workers.manage("shell", "-c", change.format("allowed_networks=['192.0.2.0/24']"))
    refused = ["invalid_api_key"] * 12  # in a row, so by both workers
    wait_until(lambda: [code(ask(two_workers, key, "/other")) for _ in refused] == refused, 5)
    claim = "X-Forwarded-For: 192.0.2.1"
    assert code(ask(two_workers, key, "/other", claim)) == "invalid_api_key"


def test_a_deleted_key_is_unknown_and_archived(two_workers: GatewayProcess) -> None:
    key = two_workers.key("deleted")
    assert codes(two_workers, key) == {"ok"}
    two_workers.manage(
        "shell", "-c", SHELL + f"ApiKey.objects.filter(prefix='{prefix(key)}').delete()"
    )
    wait_until(lambda: codes(two_workers, key) == {"invalid_api_key"}, 5)
    names = (
        f"list(B.objects.filter(prefix={prefix(key)!r}).values_list('consumer_name', flat=True))"
    )
    assert asked(two_workers, names, IMPORTS) == ["deleted"]


def test_using_a_revoked_key_is_audited_once_a_minute_and_the_chain_holds(
    two_workers: GatewayProcess,
) -> None:
    key = two_workers.key("misused")
    two_workers.manage("revoke_api_key", prefix(key))
    wait_until(lambda: codes(two_workers, key, 20) == {"revoked_api_key"}, 5)
    time.sleep(1)  # twice what the queue waits before it writes
    entries = asked(two_workers, REFUSALS.format(prefix(key)), IMPORTS)
    assert 1 <= len(entries) <= 2  # one for each worker that was met
    assert (entries[0]["actor"], entries[0]["client_ip"]) == ("misused", "127.0.0.1")
    assert entries[0]["changes"]["code"] == "revoked_api_key"
    assert two_workers.manage("audit", "verify").returncode == 0
