"""Uploads that are refused while they are sent, beside others on one connection."""

from __future__ import annotations

from tests.http2.conftest import Front
from tests.http2.h2_client import connected
from tests.support.upstream import Upstream


def test_a_refused_upload_leaves_the_connection_to_the_others(
    front: Front, upstream: Upstream
) -> None:
    """The five leave no room for another byte, until what they sent is taken for read."""
    with connected(front.port, front.authority) as client:
        numbers = [client.begin("POST", "/closed") for _ in range(5)]
        for left, number in zip(range(5, 0, -1), numbers, strict=True):
            client.send(number, bytes(client.room(number) // left))
        assert [client.answer(number).status for number in numbers] == [401] * 5
        upload = client.begin("PUT", "/open/a")
        client.send(upload, bytes(200_000), end=True)
        assert client.answer(upload).status == 200
    assert len(upstream.requests[0].body) == 200_000
