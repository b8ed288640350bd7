"""The server under test, started once, and its origins.

``against_nginx.py`` puts another server in place of the gateway by way of ``OTHER_FRONT``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from tests.conformance.echo import Echo
from tests.conformance.front import TRUSTED, Client, Front
from tests.conformance.origin import Origin
from tests.servers import find_free_port
from tests.support.process import GatewayProcess, new_gateway

HERE = Path(__file__).parent
MANY_HOSTS = 300

Starter = Callable[[Path, Origin, Origin, int], AbstractContextManager[Front]]
OTHER_FRONT = pytest.StashKey[Starter]()
"""Starts another server: its directory, the origin, the one that hangs, a port nobody is on."""


def configuration(origin: str, hanging: str, dead: int, sockets: int) -> str:
    """The configuration file of the gateway under test."""
    public = "service: plain, auth_required: false"
    text = (HERE / "gateway.yaml").read_text("utf-8")
    many = [
        f"  - {{name: many-{n}, path: /many, hosts: [m{n}.example.com], "
        f"rewrite: /many-{n}, {public}}}\n"
        for n in range(MANY_HOSTS)
    ]
    return text.format(
        origin=origin, hanging=hanging, dead=dead, sockets=sockets, public=public
    ) + "".join(many)


@pytest.fixture(scope="package")
def _origins() -> Iterator[tuple[Origin, Origin]]:
    origins = Origin(), Origin()
    yield origins
    for origin in origins:
        origin.stop()


@pytest.fixture(scope="package")
def echo() -> Iterator[Echo]:
    """The WebSocket echo server."""
    server = Echo()
    yield server
    server.stop()


@pytest.fixture
def origin(_origins: tuple[Origin, Origin]) -> Origin:
    """The origin behind nearly every route, fresh for the test."""
    _origins[0].reset()
    return _origins[0]


@pytest.fixture
def hanging(_origins: tuple[Origin, Origin]) -> Origin:
    """The origin of the service ``hanging``, fresh for the test."""
    _origins[1].reset()
    return _origins[1]


@pytest.fixture(scope="package")
def running_gateway(
    tmp_path_factory: pytest.TempPathFactory, _origins: tuple[Origin, Origin], echo: Echo
) -> Iterator[GatewayProcess]:
    """``serve`` with one worker."""
    gateway = new_gateway(
        tmp_path_factory.mktemp("conformance"),
        {"TRUSTED_PROXIES": f"{TRUSTED}/32", "ALLOWED_HOSTS": "*"},
    )
    urls = [origin.url for origin in _origins]
    gateway.apply(configuration(urls[0], urls[1], find_free_port(), echo.port))
    gateway.key("acme")
    with gateway.serving():
        yield gateway


@pytest.fixture(scope="package")
def _front(
    request: pytest.FixtureRequest,
    tmp_path_factory: pytest.TempPathFactory,
    _origins: tuple[Origin, Origin],
) -> Iterator[Front]:
    other = request.config.stash.get(OTHER_FRONT, None)
    if other is None:
        gateway: GatewayProcess = request.getfixturevalue("running_gateway")
        yield Front(gateway.port, gateway.key("acme"))
        return
    directory = tmp_path_factory.mktemp("other")
    with other(directory, *_origins, find_free_port()) as front:
        yield front


@pytest.fixture
def front(_front: Front, origin: Origin) -> Front:
    """Whatever server is under test, its origin fresh."""
    return _front


@pytest.fixture
def gateway(request: pytest.FixtureRequest, origin: Origin) -> GatewayProcess:
    """Our own process, for what only it has; its origin fresh."""
    if OTHER_FRONT in request.config.stash:
        pytest.skip("this product's own")
    process: GatewayProcess = request.getfixturevalue("running_gateway")
    return process


@pytest.fixture(scope="package")
def slow_clients(_front: Front) -> Iterator[dict[str, Client]]:
    """Clients that were slow from the first test on, so that nobody waits for them."""
    clients = {name: Client(_front.port, timeout=25) for name in ("silent", "half a head")}
    clients["half a head"].send(b"GET /open/slow HTTP/1.1\r\nHost: h\r\nX-Half: ")
    yield clients
    for client in clients.values():
        client.leave()


@pytest.fixture(scope="package", autouse=True)
def _begin_slowly(slow_clients: dict[str, Client]) -> None:
    """They have to begin before the first test."""
