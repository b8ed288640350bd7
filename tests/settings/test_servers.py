"""The servers the suite stands on answer."""

from __future__ import annotations

from typing import TYPE_CHECKING

import httpx
import pymysql
import redis

from tests.servers import Server

if TYPE_CHECKING:
    from playwright.sync_api import Browser


def test_redis_answers(redis_server: Server) -> None:
    with redis.Redis.from_url(redis_server.url) as client:
        assert client.ping()


def test_mariadb_takes_the_gateways_user(mariadb_server: Server) -> None:
    connection = pymysql.connect(
        host=mariadb_server.host, port=mariadb_server.port, user="gateway", password="gateway"
    )
    with connection, connection.cursor() as cursor:
        assert cursor.execute("SELECT 1") == 1


def test_etcd_answers(etcd_server: Server) -> None:
    assert httpx.get(f"{etcd_server.url}/version").is_success


def test_a_browser_opens_a_page(browser: Browser) -> None:
    page = browser.new_page()
    page.set_content("<title>hello</title>")
    assert page.title() == "hello"
    page.close()
