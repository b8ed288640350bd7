"""From an origin's host and port to a connected TCP socket.

Names are looked up only here, when a connection is made. Where a name has several addresses they
are tried as Happy Eyeballs does (RFC 8305): families take turns, the next address starts a quarter
of a second after the one before it or when that one fails. uvloop's ``create_connection`` has no
such option, hence this module. Leans on asyncio alone.
"""

from __future__ import annotations

import asyncio
import functools
import logging
import socket
from asyncio.staggered import staggered_race
from collections.abc import Callable, Sequence
from itertools import chain, zip_longest
from typing import Any

logger = logging.getLogger(__name__)

_STAGGER = 0.25

Address = tuple[socket.AddressFamily, tuple[Any, ...]]
AddressRule = Callable[[str], bool]
"""Whether an IP address may be connected to: asked after the name was looked up, so that a name
which changes its mind (DNS rebinding) is held to it as well."""

_Name = tuple[asyncio.AbstractEventLoop, str, int]
_asked: dict[_Name, asyncio.Task[list[Address]]] = {}
"""Look-ups under way. Each holds one of the loop's few threads for as long as the resolver takes,
whoever has given up waiting: a name whose servers do not answer must not hold all of them.
"""


class NoAddressError(OSError):
    """The name has no address, or none that may be connected to."""


def _by_turns(addresses: Sequence[Address]) -> list[Address]:
    """The same addresses, families in turn, the first one's family first (RFC 8305 4)."""
    families: dict[socket.AddressFamily, list[Address]] = {}
    for address in addresses:
        families.setdefault(address[0], []).append(address)
    turns = chain.from_iterable(zip_longest(*families.values()))
    return [address for address in turns if address is not None]


async def _resolve(host: str, port: int) -> list[Address]:
    """What the resolver says; whoever asks while it is being asked waits for the same answer."""
    key = asyncio.get_running_loop(), host, port
    task = _asked.get(key)
    if task is None:
        task = _asked[key] = asyncio.create_task(_ask(host, port))
        task.add_done_callback(functools.partial(_forget, key))
    return await asyncio.shield(task)


async def _ask(host: str, port: int) -> list[Address]:
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return [(family, address) for family, _, _, _, address in found]


def _forget(key: _Name, task: asyncio.Task[list[Address]]) -> None:
    del _asked[key]
    if not task.cancelled():
        task.exception()  # nobody may be waiting any more


async def look_up(host: str, port: int, allowed: AddressRule | None) -> list[Address]:
    """The addresses to try, in order. Raises ``OSError`` or ``UnicodeError``."""
    addresses = await _resolve(host, port)
    if allowed is not None:
        addresses = [address for address in addresses if allowed(str(address[1][0]))]
    if not addresses:
        logger.warning("%s:%d is at no address that upstreams may have", host, port)
        raise NoAddressError("no address that may be connected to")
    return _by_turns(addresses)


async def _connect(family: socket.AddressFamily, address: tuple[Any, ...]) -> socket.socket:
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        await asyncio.get_running_loop().sock_connect(sock, address)
    except BaseException:
        sock.close()
        raise
    return sock


async def connected_socket(
    host: str, port: int, allowed: AddressRule | None = None
) -> socket.socket:
    """A connected, non-blocking TCP socket to *host*. Raises ``OSError`` or ``UnicodeError``."""
    addresses = await look_up(host, port, allowed)
    if len(addresses) == 1:
        return await _connect(*addresses[0])
    attempts = [functools.partial(_connect, *address) for address in addresses]
    winner, _, errors = await staggered_race(attempts, _STAGGER)
    sock: socket.socket | None = winner
    if sock is None:
        raise next((error for error in errors if isinstance(error, OSError)), NoAddressError())
    return sock
