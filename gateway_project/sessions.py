"""Sessions of the admin in the database, under a digest of the cookie's value.

Django's own store keeps the value itself: who reads the table, or a backup of it, is signed in as
everybody. Leans on Django's store for all but the key. The key is 165 random bits, so a fast hash
is right (see ``keys.digest``); 40 of its digits fit the column.
"""

from __future__ import annotations

from hashlib import sha256
from typing import Any

from asgiref.sync import sync_to_async
from django.contrib.sessions.backends.db import SessionStore as DatabaseStore
from django.contrib.sessions.base_session import AbstractBaseSession
from django.utils import timezone


def stored_key(key: str) -> str:
    """What stands in the table for the cookie's value *key*."""
    return sha256(key.encode()).hexdigest()[:40]


class SessionStore(DatabaseStore):
    """What ``SESSION_ENGINE`` names."""

    def exists(self, session_key: str) -> bool:
        """Whether there is such a session."""
        return super().exists(stored_key(session_key))

    async def aexists(self, session_key: str) -> bool:
        """As :meth:`exists`."""
        return await super().aexists(stored_key(session_key))

    def create_model_instance(self, data: dict[str, Any]) -> AbstractBaseSession:
        """The row to save."""
        row = super().create_model_instance(data)
        row.session_key = stored_key(row.session_key)
        return row

    async def acreate_model_instance(self, data: dict[str, Any]) -> AbstractBaseSession:
        """As :meth:`create_model_instance`."""
        return await sync_to_async(self.create_model_instance)(data)

    def delete(self, session_key: str | None = None) -> None:
        """End the session *session_key*, else this one."""
        key = session_key or self.session_key
        if key:
            super().delete(stored_key(key))

    async def adelete(self, session_key: str | None = None) -> None:
        """As :meth:`delete`."""
        await sync_to_async(self.delete)(session_key)

    def _get_session_from_db(self) -> AbstractBaseSession | None:
        rows = self.model.objects.filter(expire_date__gt=timezone.now())
        row: AbstractBaseSession | None = rows.filter(
            session_key=stored_key(self.session_key or "")
        ).first()
        if row is None:
            self._session_key = None
        return row

    async def _aget_session_from_db(self) -> AbstractBaseSession | None:
        return await sync_to_async(self._get_session_from_db)()
