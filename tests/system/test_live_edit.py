"""A route edited in a real browser is followed by every worker within a second, under load."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

from tests.support.load import Load
from tests.support.process import PASSWORD, GatewayProcess, new_gateway
from tests.support.upstream import Received, Upstream

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

CONFIGURATION = """
services:
  echo: {{instances: [{{url: "{url}"}}]}}
routes:
  - {{name: edited, path: /edited, service: echo, auth_required: false, rewrite: /before}}
"""


@pytest.fixture
def two_workers(
    tmp_path_factory: pytest.TempPathFactory, upstream: Upstream
) -> Iterator[GatewayProcess]:
    gateway = new_gateway(tmp_path_factory.mktemp("two"), {"RATE_LIMIT_PER_WORKER": "true"})
    gateway.apply(CONFIGURATION.format(url=upstream.url))
    gateway.add_operator()
    with gateway.serving("--workers", "2"):
        yield gateway


async def echo(
    request: Received, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> None:
    body = f"{request.target} {request.get('host')}".encode()
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body))


def log_in(page: Page, base: str) -> None:
    page.goto(f"{base}/admin/login/")
    page.fill("input[name=username]", "ops")
    page.fill("input[name=password]", PASSWORD)
    page.press("input[name=password]", "Enter")
    page.wait_for_url(f"{base}/admin/")


def edit_route(page: Page, base: str) -> float:
    """Change two fields at once; the moment the page after saving is there."""
    page.goto(f"{base}/admin/routing/route/")
    page.click("text=edited")
    page.fill("input[name=rewrite]", "/after")
    page.click("text=Details")
    page.check("input[name=preserve_host]")
    page.click("button[name=_save], input[name=_save]")
    page.wait_for_url(f"{base}/admin/routing/route/")
    return time.monotonic()


def test_an_edit_in_the_browser_is_followed_within_a_second_and_costs_no_request(
    two_workers: GatewayProcess, upstream: Upstream, browser: Browser
) -> None:
    upstream.script = echo
    base = f"http://127.0.0.1:{two_workers.port}"
    before = f"/before 127.0.0.1:{upstream.port}".encode()
    after = b"/after gateway.test"
    page = browser.new_page()
    log_in(page, base)
    load = Load(two_workers.port, b"GET /edited HTTP/1.1\r\nHost: gateway.test\r\n\r\n")
    with load.running():
        saved = edit_route(page, base)
        while not load.outcomes or load.outcomes[-1].sent < saved + 1.5:
            time.sleep(0.05)
    bodies = [outcome.reply.body if outcome.reply else None for outcome in load.outcomes]
    late = [
        body
        for outcome, body in zip(load.outcomes, bodies, strict=True)
        if outcome.sent > saved + 1
    ]
    assert set(bodies) == {before, after}
    assert late
    assert set(late) == {after}
