"""The node is started once, whoever comes first and however long they stay."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
from pytest_django import Settings as DjangoSettings

from gateway_project.application import Application
from gateway_project.node import Node

if TYPE_CHECKING:
    from gateway_project.env import Settings


class Starts:
    """Starts of a node that take until they are told to end."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self.begun = 0
        self.end = asyncio.Event()
        self.error: Exception | None = None

    async def __call__(self) -> Node:
        self.begun += 1
        await self.end.wait()
        if self.error is not None:
            raise self.error
        return Node(self._settings)


@pytest.fixture
async def starts(settings: DjangoSettings) -> Starts:
    return Starts(settings.GATEWAY)


async def test_who_leaves_during_the_start_does_not_end_it(starts: Starts) -> None:
    application = Application(starts)
    first, second = (asyncio.ensure_future(application.node()) for _ in range(2))
    await asyncio.sleep(0)
    first.cancel()
    await asyncio.sleep(0)
    starts.end.set()
    node = await second
    assert await application.node() is node
    assert starts.begun == 1
    await node.stop()


async def test_a_start_that_failed_is_told_to_all_and_tried_again(starts: Starts) -> None:
    application = Application(starts)
    starts.error = RuntimeError("no directory")
    starts.end.set()
    failed = await asyncio.gather(*(application.node() for _ in range(2)), return_exceptions=True)
    assert [str(error) for error in failed] == ["no directory"] * 2
    with pytest.raises(RuntimeError, match="not started"):
        _ = application.gateway
    starts.error = None
    await (await application.node()).stop()
    assert starts.begun == 2
