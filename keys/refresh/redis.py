"""Refresh tokens in Redis: rotation is one script, so it is atomic over workers and nodes.

A family is a hash that Redis forgets by itself. Whatever goes wrong is ``KeyStoreUnavailable``; a
command is sent once and never again. Leans on ``runtime.redis`` for the client.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from redis.exceptions import RedisClusterException, RedisError

from keys.errors import KeyStoreUnavailable
from keys.refresh.base import Outcome, Owner, Presented, Rotation
from runtime.redis import BlockingClient

SCRIPT = (Path(__file__).parent / "refresh_rotation.lua").read_text(encoding="utf-8")

_FAILURES = (RedisError, RedisClusterException, OSError)


class RedisStore:
    """Families in the Redis of *client*, under *prefix*. Times in ms.

    *clock* replaces Redis's time in tests.
    """

    def __init__(
        self,
        client: BlockingClient,
        *,
        lifetime: int,
        grace: int,
        prefix: str = "",
        clock: Callable[[], int] | None = None,
    ) -> None:
        self._client: Any = client
        self._prefix = prefix
        self._lifetime = lifetime
        self._grace = grace
        self._clock = clock

    def open(self, session: str, owner: Owner, digest: str) -> None:
        """See :class:`keys.refresh.base.RefreshStore`."""
        key = self._key(session)
        family = {"user": owner.user, "stamp": owner.stamp, "digest": digest, "generation": 0}
        with _translated():
            pipeline = self._client.pipeline(transaction=True)
            pipeline.hset(key, mapping=family)
            pipeline.pexpire(key, self._lifetime)
            pipeline.execute()

    def owner(self, session: str) -> Owner | None:
        """See :class:`keys.refresh.base.RefreshStore`."""
        with _translated():
            user, stamp = self._client.hmget(self._key(session), "user", "stamp")
        return None if user is None else Owner(user.decode(), (stamp or b"").decode())

    def rotate(self, presented: Presented) -> Rotation:
        """See :class:`keys.refresh.base.RefreshStore`."""
        arguments = (
            presented.generation,
            presented.digest,
            presented.successor,
            presented.salt,
            self._grace,
            self._lifetime,
            self._clock() if self._clock else "",
        )
        with _translated():
            reply = self._client.eval(SCRIPT, 1, self._key(presented.session), *arguments)
        outcome, salt, at = reply
        return Rotation(Outcome(outcome.decode()), salt.decode(), int(at))

    def revoke(self, session: str) -> None:
        """See :class:`keys.refresh.base.RefreshStore`."""
        key = self._key(session)
        with _translated():
            # A family that has ended must not come back as a key that never does.
            self._client.eval(
                "if redis.call('EXISTS', KEYS[1]) == 1 then "
                "redis.call('HSET', KEYS[1], 'revoked', '1') end",
                1,
                key,
            )

    def _key(self, session: str) -> str:
        return f"{self._prefix}refresh:{session}"


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except _FAILURES as error:
        raise KeyStoreUnavailable(f"{type(error).__name__}: {error}") from error
