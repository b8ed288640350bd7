"""Keys over their life, seen from outside: rotation, revocation, switches, places."""

from __future__ import annotations

import json
import time
from datetime import datetime

import pytest

from tests.support.load import Load
from tests.support.process import GatewayProcess
from tests.support.waiting import wait_until
from tests.system.identity import api, ask, asked, code, codes, get, new_key

pytestmark = pytest.mark.timeout(180)

ARCHIVED = "list(B.objects.filter(prefix={!r}).values_list('consumer_name', flat=True))"


def test_a_revocation_reaches_every_worker_in_time(world: GatewayProcess) -> None:
    """Within one second with Redis, within five without."""
    key = new_key(world, "revoked")
    assert codes(world, key["key"]) == {"ok"}
    promised = 1 if "REDIS_URL" in world.environment else 5
    load = Load(world.port, get(key["key"]), rate=100)
    clock = time.time() - time.monotonic()
    with load.running():
        revoked = api(world, "POST", f"api-keys/{key['id']}/revoke/")
        time.sleep(promised + 0.5)
    moment = datetime.fromisoformat(revoked["revoked_at"]).timestamp()
    last = {code(one.reply): one.sent + clock for one in load.outcomes if one.reply}
    assert set(last) == {"ok", "revoked_api_key"}
    assert last["ok"] - moment < promised


def test_a_rotated_key_works_until_its_grace_ends_and_is_then_expired(
    world: GatewayProcess,
) -> None:
    old = new_key(world, "rotating")
    new = api(world, "POST", f"api-keys/{old['id']}/rotate/", grace_seconds=2)
    assert (code(ask(world, new["key"])), code(ask(world, old["key"]))) == ("ok", "ok")
    wait_until(lambda: codes(world, old["key"]) == {"expired_api_key"}, 15)
    assert codes(world, new["key"]) == {"ok"}


def test_keys_are_made_rotated_and_revoked_by_command_too(world: GatewayProcess) -> None:
    old = world.key("by-command")
    answer = world.manage("rotate_api_key", old[:12], "--grace", "0s", "--json")
    new = json.loads(answer.stdout)["key"]
    wait_until(lambda: codes(world, old) == {"expired_api_key"}, 5)
    assert codes(world, new) == {"ok"}
    world.manage("revoke_api_key", new[:12])
    wait_until(lambda: codes(world, new) == {"revoked_api_key"}, 5)


def test_a_disabled_consumers_keys_are_refused_until_it_is_enabled(world: GatewayProcess) -> None:
    key = new_key(world, "switched")["key"]
    assert codes(world, key) == {"ok"}
    api(world, "PATCH", "consumers/switched/", enabled=False)
    wait_until(lambda: codes(world, key) == {"revoked_api_key"}, 5)
    api(world, "PATCH", "consumers/switched/", enabled=True)
    wait_until(lambda: codes(world, key) == {"ok"}, 5)


def test_a_key_is_good_for_its_routes_and_networks_alone(world: GatewayProcess) -> None:
    issued = new_key(world, "placed")
    key, path = issued["key"], f"api-keys/{issued['id']}/"
    api(world, "PATCH", path, allowed_routes=["other"])
    wait_until(lambda: codes(world, key) == {"invalid_api_key"}, 5)
    assert code(ask(world, key, "/other")) == "ok"
    api(world, "PATCH", path, allowed_networks=["192.0.2.0/24"])
    refused = ["invalid_api_key"] * 12  # in a row, so by both workers
    wait_until(lambda: [code(ask(world, key, "/other")) for _ in refused] == refused, 5)
    claim = "X-Forwarded-For: 192.0.2.1"
    assert code(ask(world, key, "/other", claim)) == "invalid_api_key"


def test_a_deleted_key_is_unknown_and_archived(world: GatewayProcess) -> None:
    issued = new_key(world, "deleted")
    assert codes(world, issued["key"]) == {"ok"}
    api(world, "DELETE", f"api-keys/{issued['id']}/")
    wait_until(lambda: codes(world, issued["key"]) == {"invalid_api_key"}, 5)
    names = asked(
        world, ARCHIVED.format(issued["prefix"]), "from keys.models import ArchivedApiKey as B"
    )
    assert names == ["deleted"]


@pytest.mark.slow
def test_a_use_is_written_down_within_a_minute(world: GatewayProcess) -> None:
    issued = new_key(world, "used")
    assert codes(world, issued["key"]) == {"ok"}
    row = f"api-keys/{issued['id']}/"
    wait_until(lambda: api(world, "GET", row)["last_used_at"] is not None, 60)


def test_using_a_revoked_key_is_audited_once_a_minute(world: GatewayProcess) -> None:
    issued = new_key(world, "misused")
    api(world, "POST", f"api-keys/{issued['id']}/revoke/")
    wait_until(lambda: codes(world, issued["key"], 20) == {"revoked_api_key"}, 5)
    query = f"audit-entries/?action=credential.refused&object_name={issued['prefix']}"
    wait_until(lambda: api(world, "GET", query)["count"] > 0, 5)
    time.sleep(1)  # twice what the queue waits before it writes
    entries = api(world, "GET", query)["results"]
    assert 1 <= len(entries) <= 2  # one for each worker that was met
    assert (entries[-1]["actor"], entries[-1]["client_ip"]) == ("misused", "127.0.0.1")
    assert entries[-1]["changes"]["code"] == "revoked_api_key"


def test_the_chain_holds_after_all_that(world: GatewayProcess) -> None:
    assert world.manage("audit", "verify").returncode == 0
