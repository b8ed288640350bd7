"""The keys of an external issuer: fetched in the background, cached, and kept when it is away.

One owned task per issuer fetches its key set at start and every hour. A token that names a key we
do not have wakes the task, at most once in 30 seconds, and waits for it: a key rotated at the
issuer costs its users a moment, not a 401. Within those 30 seconds unknown names are refused at
once, so a flood of them costs the issuer nothing. What was fetched last is on disk too: a node
that starts while the issuer is away verifies with it. Leans on httpx and on :mod:`keys.jwks`.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from random import Random

import httpx

from keys.errors import KeyStoreUnavailable
from keys.issuers import ExternalIssuer
from keys.jwks import read_jwks
from keys.key_cache import KeyCache
from keys.signatures import VerificationKey
from runtime.tasks import TaskOwner

logger = logging.getLogger(__name__)

REFETCH_SECONDS = 30.0
"""Least time between a fetch and one that an unknown key asks for."""

_HOURLY = 3600.0
_FETCH_SECONDS = 5.0
_WAIT_SECONDS = 2.0
_LARGEST_SET = 256 * 1024
_FAILURES = (httpx.HTTPError, httpx.InvalidURL, OSError, ValueError)


class KeySet:
    """The keys of *issuer*. ``changed`` is called when they are other keys than before.

    Lives on one event loop; *clock* is monotonic, in seconds. Without *cache* nothing survives a
    restart.
    """

    def __init__(
        self,
        issuer: ExternalIssuer,
        changed: Callable[[], None] = lambda: None,
        *,
        cache: KeyCache | None = None,
        clock: Callable[[], float] = time.monotonic,
        random: Random | None = None,
    ) -> None:
        self.issuer = issuer
        self.healthy = False
        self.changed = changed
        self._cache = cache
        self._clock = clock
        self._random = random or Random()
        self._content = b""
        self._keys: dict[str, VerificationKey] = {}
        self._failures = 0
        self._fetching = False
        self._asked_at = float("-inf")
        self._wake = asyncio.Event()
        self._finished = asyncio.Event()

    def start(self, owner: TaskOwner) -> None:
        """Begin to fetch, as a task of *owner*."""
        owner.start(f"keys of {self.issuer.name}", self._keep_fetching)

    def knows(self, kid: str) -> bool:
        """See :class:`keys.issuers.Learns`."""
        return kid in self._keys

    def key(self, kid: str) -> VerificationKey | None:
        """The key of this name."""
        return self._keys.get(kid)

    async def learn(self) -> None:
        """Wait, at most two seconds, for newer keys, unless they were asked for just now.

        Raises ``KeyStoreUnavailable`` when the issuer could not be asked: then nobody knows.
        """
        if self._fetching or self._clock() - self._asked_at >= REFETCH_SECONDS:
            finished = self._finished
            self._wake.set()
            try:
                async with asyncio.timeout(_WAIT_SECONDS):
                    await finished.wait()
            except TimeoutError:
                raise KeyStoreUnavailable("the issuer does not give its keys in time") from None
        if not self.healthy:
            raise KeyStoreUnavailable("the issuer's keys cannot be fetched")

    async def recall(self) -> None:
        """Take the keys that were stored before this process, if there are any of use."""
        content = await asyncio.to_thread(self._cache.load) if self._cache else None
        if content is None:
            return
        try:
            self._keys = read_jwks(content, self.issuer.algorithms)
        except ValueError:
            logger.warning("the stored keys of the issuer %s are unusable", self.issuer.name)

    async def _keep_fetching(self) -> None:
        while True:
            await self._fetch_once()
            try:
                async with asyncio.timeout(self._pause()):
                    await self._wake.wait()
            except TimeoutError:
                pass

    def _pause(self) -> float:
        """An hour, give or take a tenth; after failures a second, doubled up to the bound."""
        if self.healthy:
            return _HOURLY * self._random.uniform(0.9, 1.1)
        return min(REFETCH_SECONDS, 2.0 ** min(self._failures, 10)) * self._random.uniform(0.5, 1)

    async def _fetch_once(self) -> None:
        self._fetching = True
        self._asked_at = self._clock()
        try:
            async with asyncio.timeout(_FETCH_SECONDS):
                content = await _fetch(self.issuer.jwks_url)
            await self._take(content)
        except _FAILURES as error:
            self._note_failure(error)
        finally:
            self._fetching = False
            self._wake.clear()
            finished, self._finished = self._finished, asyncio.Event()
            finished.set()

    async def _take(self, content: bytes) -> None:
        if content != self._content:
            keys = read_jwks(content, self.issuer.algorithms)
            if not keys:
                raise ValueError("no key that could verify a token")
            self._keys, self._content = keys, content
            self.changed()
            logger.info("%d keys of the issuer %s", len(keys), self.issuer.name)
            if self._cache is not None:
                await asyncio.to_thread(self._cache.save, content)
        self.healthy = True
        self._failures = 0

    def _note_failure(self, error: Exception) -> None:
        if self.healthy or not self._failures:
            logger.warning(
                "the keys of the issuer %s cannot be fetched (%s: %s); %d stay in use",
                self.issuer.name,
                type(error).__name__,
                error,
                len(self._keys),
            )
        self.healthy = False
        self._failures += 1


async def _fetch(url: str) -> bytes:
    """The body at *url*; raises for any answer but 200, redirects included, and for a large one.

    A proxy from the environment is used for HTTPS only: plain HTTP is for this machine.
    """
    async with (
        httpx.AsyncClient(timeout=_FETCH_SECONDS, trust_env=url.startswith("https:")) as client,
        client.stream("GET", url, headers={"Accept": "application/json"}) as answer,
    ):
        if answer.status_code != httpx.codes.OK:
            raise ValueError(f"status {answer.status_code}")
        content = b""
        async for piece in answer.aiter_bytes(65_536):
            content += piece
            if len(content) > _LARGEST_SET:
                raise ValueError("larger than 256 KB")
        return content
