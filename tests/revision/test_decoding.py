"""A stored document with a bad object in it closes that object and serves the rest."""

from __future__ import annotations

import msgspec
import pytest

from routing.decoding import decode_document
from routing.errors import ConfigurationError
from routing.paths import canonical
from routing.watching import build

GOOD = {"name": "good", "path": "/good", "service": "s"}
BAD = {"name": "bad", "path": "/bad", "service": "s", "methods": ["GET"], "timeout": -1}


def encoded(*routes: object, **more: object) -> bytes:
    return msgspec.json.encode({"format": 1, "services": {"s": {}}, "routes": routes, **more})


def test_a_bad_route_keeps_what_it_matches_and_loses_its_service() -> None:
    decoded = decode_document(encoded(GOOD, BAD))
    good, bad = decoded.document.routes
    assert (good.service, bad.service) == ("s", "")
    assert (bad.path, bad.methods) == ("/bad", ("GET",))
    assert [str(fault) for fault in decoded.faults] == ["routes.bad.timeout: expected float > 0.0"]


def test_a_bad_route_is_closed_and_the_good_one_is_open() -> None:
    table = build(encoded(GOOD, BAD, {"name": "wide", "path": "/{rest:path}", "service": "s"}))
    match = table.match("GET", "", canonical(b"/bad"))
    assert match.route is not None
    assert (match.route.name, bool(match.route.fault)) == ("bad", True)
    assert table.routes["good"].fault == ""


def test_the_routes_of_a_bad_service_are_closed() -> None:
    table = build(encoded(GOOD, services={"s": {"balancer": "none"}}))
    assert table.routes["good"].fault


@pytest.mark.parametrize(
    "document",
    [
        b"",
        b"[]",
        b'{"format":2,"services":{},"routes":[]}',
        b'{"format":1,"services":[],"routes":[]}',
        b'{"format":1,"services":{},"routes":[7]}',
    ],
)
def test_what_is_no_document_is_refused_as_a_whole(document: bytes) -> None:
    with pytest.raises(ConfigurationError):
        decode_document(document)
