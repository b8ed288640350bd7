"""The ASGI binding without a server: a test plays its messages."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from proxying.bindings.asgi import AsgiBinding
from proxying.exchange import Answer, Exchange
from tests.wire.edges import ScriptedGateway, answer
from tests.wire.wires import settle


async def _ok(exchange: Exchange) -> Answer:
    await settle(5)  # as if an upstream were asked
    return answer(b"ok")


@pytest.mark.parametrize("version", ["1.1", "2"])
@pytest.mark.parametrize("method", ["GET", "HEAD", "DELETE"])
async def test_the_answer_to_a_request_without_a_body_ends_at_once(
    version: str, method: str
) -> None:
    """A server that has said that there is no body says nothing more until the client leaves."""
    messages: list[dict[str, Any]] = [{"type": "http.request", "body": b"", "more_body": False}]
    sent: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        if not messages:
            await asyncio.Event().wait()
        return messages.pop()

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    async def nowhere(*_: Any) -> None:
        raise AssertionError

    scope = {"type": "http", "method": method, "path": "/", "raw_path": b"/", "query_string": b"",
             "http_version": version, "headers": [(b"host", b"a")]}  # fmt: skip
    serving = asyncio.create_task(AsgiBinding(ScriptedGateway(_ok), nowhere)(scope, receive, send))
    await settle(50)
    assert serving.done()
    await serving
    assert [message.get("body") for message in sent] == [None, b"ok", b""]
