"""MariaDB ends a transaction that another one waits for: whoever began it begins it anew."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import pymysql
import pytest

from tests.servers import Server
from tests.support.process import GatewayProcess, new_gateway
from tests.system.identity import asked, database_of_its_own

pytestmark = pytest.mark.timeout(180)

DATABASE = "deadlocks_db"
WAITING = "SELECT COUNT(*) FROM information_schema.innodb_trx WHERE trx_state = 'LOCK WAIT'"
MUCH_WRITTEN = """INSERT INTO api_keys_archive (prefix, name, consumer_name, deleted_at)
                  SELECT 'gw_', '', 'nobody', NOW() FROM information_schema.columns LIMIT 50"""
"""Of two transactions that wait for each other the one that wrote less is ended."""
SIGN_IN = """
from django.contrib.auth.models import User
client.force_login(User.objects.get(username="ops"))
"""
CLIENT = """
from django.test import Client
from keys.models import Consumer
client = Client(headers={"host": "gateway.test"})
"""
API = """client.patch("/api/gateway/consumers/victim/", {"description": "changed"},
                      content_type="application/json").status_code"""
ADMIN = "client.post(page, fields).status_code"
FORM = """
import re
page = f"/admin/keys/consumer/{Consumer.objects.get(name='victim').pk}/change/"
counts = re.findall(r'name="([a-z_]+-(?:TOTAL|INITIAL)_FORMS)"', client.get(page).text)
fields = dict.fromkeys(counts, 0) | {
    "name": "victim", "description": "changed", "enabled": "on", "roles": "[]", "permissions": "[]"}
"""


@pytest.fixture(scope="module")
def server(mariadb_server: Server) -> Server:
    return mariadb_server


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory, server: Server) -> GatewayProcess:
    """With a consumer called victim, and ops who may change it."""
    extra = {
        "DATABASE_URL": database_of_its_own(server, DATABASE),
        "ALLOWED_HOSTS": "gateway.test",
        "DJANGO_SUPERUSER_PASSWORD": "a long password",
    }
    made = new_gateway(tmp_path_factory.mktemp("deadlocks"), extra)
    made.manage("createsuperuser", "--noinput", "--username", "ops", "--email", "o@test.invalid")
    made.key("victim")
    return made


@contextmanager
def _connected(server: Server) -> Iterator[Any]:
    connection = pymysql.connect(
        host=server.host, port=server.port, user="gateway", password="gateway", database=DATABASE
    )
    with connection, connection.cursor() as cursor:
        yield cursor


def _in_a_deadlock(server: Server, door: Any, statement: str) -> Any:
    """What *door* returns, once *statement* wanted what it holds, and it what was held before."""
    with _connected(server) as ours, _connected(server) as looking, ThreadPoolExecutor(1) as pool:
        ours.execute(MUCH_WRITTEN)
        ours.execute("SELECT * FROM audit_chain_heads FOR UPDATE")
        answer = pool.submit(door)
        while not _waits(looking):
            assert not answer.done(), answer.result()
            time.sleep(0.2)  # the table is not made anew for who looks more often than this
        began = time.monotonic()
        ours.execute(statement)
        assert time.monotonic() - began < 3, "no deadlock: it was waited for"
        ours.execute("ROLLBACK")
        return answer.result()


def _waits(cursor: Any) -> bool:
    cursor.execute(WAITING)
    return bool(cursor.fetchone()[0])


@pytest.mark.parametrize(
    ("before", "change", "status"), [("", API, 200), (FORM, ADMIN, 302)], ids=["API", "admin"]
)
def test_a_change_that_is_ended_is_made_all_the_same(
    server: Server, gateway: GatewayProcess, before: str, change: str, status: int
) -> None:
    cookie = asked(gateway, "client.cookies['gateway_session'].value", CLIENT + SIGN_IN)
    signed_in = f"{CLIENT}client.cookies['gateway_session'] = {cookie!r}{before}"
    wanted = "SELECT * FROM consumers WHERE name = 'victim' FOR UPDATE"
    answer = _in_a_deadlock(server, lambda: asked(gateway, change, signed_in), wanted)
    assert answer == status
    stored = asked(gateway, "Consumer.objects.get(name='victim').description", CLIENT)
    assert stored == "changed"
    reset = "Consumer.objects.filter(name='victim').update(description='')"
    asked(gateway, reset, CLIENT)
    assert "whole" in gateway.manage("audit", "verify").stdout


def test_a_command_that_is_ended_does_its_work_all_the_same(
    server: Server, gateway: GatewayProcess
) -> None:
    wanted = "INSERT IGNORE INTO consumers SELECT NULL, 'late', '', 1, '[]', '[]', NOW(), NOW()"
    _in_a_deadlock(server, lambda: gateway.manage("create_api_key", "late"), wanted)
    assert asked(gateway, "Consumer.objects.get(name='late').api_keys.count()", CLIENT) == 1
    assert "whole" in gateway.manage("audit", "verify").stdout
