"""A database that a test takes away and gives back."""

from __future__ import annotations

import asyncio
from typing import Any

from django.db import OperationalError

from runtime.database import DatabaseThread


class FailingDatabase(DatabaseThread):
    """A real database that can be away, and can be slow until it is told to go on."""

    def __init__(self) -> None:
        super().__init__("failing")
        self.away = False
        self.asked = 0
        self.go_on = asyncio.Event()
        self.go_on.set()

    async def run(self, function: Any, *args: Any, **kwargs: Any) -> Any:
        self.asked += 1
        await self.go_on.wait()
        if self.away:
            raise OperationalError("gone away")
        return await super().run(function, *args, **kwargs)
