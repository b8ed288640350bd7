"""The edge fed by hand: any split reads the same, garbage is survived, memory is bounded."""

from __future__ import annotations

import asyncio
from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st

from proxying.exchange import Answer, Exchange
from tests.wire.edges import ScriptedGateway, answer, read_all
from tests.wire.scripted import Pieces
from tests.wire.wires import connect, settle

_STREAM = (
    b"\r\nGET /a?b HTTP/1.1\r\nHost: a\r\nX-Long: " + b"v" * 40 + b" \r\n\r\n"
    b"POST /b? HTTP/1.1\r\nContent-Length: 11\r\nHost: a\r\n\r\nhello world"
    b"PUT /c HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
    b"3;x=y\r\nGET\r\n0a\r\n / HTTP/1.\r\n0\r\nX-Trailer: t\r\n\r\n"
    b"HEAD http://b/d HTTP/1.1\r\nHost: a\r\nUpgrade: h2c\r\nConnection: upgrade\r\n\r\n"
    b"DELETE /e HTTP/1.0\r\nHost: a\r\nConnection: keep-alive\r\nContent-Length: 2\r\n\r\n\r\n"
    b"GET /f HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
)
_CLIENT_WORDS = st.sampled_from(
    [
        b"GET / HTTP/1.1\r\n", b"POST /a HTTP/1.1\r\n", b"Host: a\r\n", b"Content-Length: 3\r\n",
        b"Transfer-Encoding: chunked\r\n", b"Connection: close\r\n", b"Expect: 100-continue\r\n",
        b"\r\n", b"\n", b"\r", b"3\r\nabc\r\n", b"0\r\n\r\n", b"abc", b":", b" ", b"\x00", b"\xff",
    ]
)  # fmt: skip


async def _answers(pieces: list[bytes], *, turns: int = 0) -> bytes:
    """What the edge writes when it is sent *pieces*, *turns* of the loop apart."""
    gateway = ScriptedGateway()
    protocol, wire = connect(gateway)
    for piece in pieces:
        if not wire.closed:
            protocol.data_received(piece)
        await settle(turns)
    await settle(100)
    protocol.connection_lost(None)
    await settle()
    return wire.written


def _cut(data: bytes, places: list[int]) -> list[bytes]:
    marks = sorted({0, len(data), *(place % len(data) for place in places)})
    return [data[start:end] for start, end in pairwise(marks)]


_WHOLE = asyncio.run(_answers([_STREAM]))


def test_the_whole_stream_is_answered() -> None:
    assert _WHOLE.count(b"HTTP/1.1 200 OK") == 6
    assert b"PUT /c None GET / HTTP/1." in _WHOLE


@settings(max_examples=150, deadline=None)
@given(st.lists(st.integers(min_value=0), max_size=30), st.integers(min_value=0, max_value=4))
def test_a_stream_cut_anywhere_gives_the_same_answers(places: list[int], turns: int) -> None:
    assert asyncio.run(_answers(_cut(_STREAM, places), turns=turns)) == _WHOLE


def test_a_stream_of_single_bytes_gives_the_same_answers() -> None:
    single = [bytes([byte]) for byte in _STREAM]
    assert asyncio.run(_answers(single)) == _WHOLE


@settings(max_examples=300, deadline=None)
@given(st.lists(_CLIENT_WORDS | st.binary(max_size=20), max_size=30))
def test_garbage_is_survived_and_answered_in_http(pieces: list[bytes]) -> None:
    written = asyncio.run(_answers(pieces, turns=1))
    assert not written or written.startswith(b"HTTP/1.1 ")


@settings(max_examples=200, deadline=None)
@given(st.integers(min_value=0), st.binary(min_size=1, max_size=3))
def test_a_damaged_stream_is_survived(place: int, damage: bytes) -> None:
    place %= len(_STREAM)
    damaged = _STREAM[:place] + damage + _STREAM[place + len(damage) :]
    assert asyncio.run(_answers([damaged])).startswith(b"HTTP/1.1 ")


async def test_a_body_that_is_not_read_stops_the_reading() -> None:
    go_on = asyncio.Event()

    async def script(exchange: Exchange) -> Answer:
        await go_on.wait()
        return answer(b"%d" % len(await read_all(exchange.body)))

    protocol, wire = connect(ScriptedGateway(script))
    protocol.data_received(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 80000\r\n\r\n")
    protocol.data_received(b"x" * 65536)
    assert not wire.paused()
    protocol.data_received(b"x" * 14463)
    assert wire.paused()
    go_on.set()
    await settle()
    assert not wire.paused()
    protocol.data_received(b"x")
    await settle()
    assert wire.written.endswith(b"80000")
    protocol.connection_lost(None)


async def test_much_of_a_pipeline_stops_the_reading() -> None:
    go_on = asyncio.Event()

    async def script(exchange: Exchange) -> Answer:
        await go_on.wait()
        return answer(b"ok")

    protocol, wire = connect(ScriptedGateway(script))
    request = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
    protocol.data_received(request * 2000)
    assert not wire.paused()
    protocol.data_received(request * 1000)
    assert wire.paused()
    go_on.set()
    await settle(20_000)
    assert (wire.paused(), wire.written.count(b"HTTP/1.1 200")) == (False, 3000)
    protocol.connection_lost(None)


async def test_a_reader_that_stalls_stops_the_writer() -> None:
    given = []

    class Endless(Pieces):
        async def read(self) -> bytes:
            given.append(1)
            return b"x"

    async def script(exchange: Exchange) -> Answer:
        return answer(Endless())

    protocol, wire = connect(ScriptedGateway(script))
    protocol.data_received(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
    protocol.pause_writing()
    await settle()
    assert len(given) == 1
    protocol.connection_lost(None)
    await settle()
    assert len(given) == 1
    assert wire.written.endswith(b"1\r\nx\r\n")


async def test_a_pipeline_is_not_answered_faster_than_it_is_taken() -> None:
    gateway = ScriptedGateway()
    protocol, _ = connect(gateway)
    protocol.data_received(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n" * 2)
    protocol.pause_writing()
    await settle()
    assert len(gateway.exchanges) == 1
    protocol.resume_writing()
    await settle()
    assert len(gateway.exchanges) == 2
    protocol.connection_lost(None)


async def test_a_connection_that_ends_leaves_nothing_to_run() -> None:
    before = asyncio.all_tasks()
    gateway = ScriptedGateway()
    protocol, _ = connect(gateway)
    protocol.data_received(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
    await settle()
    protocol.eof_received()
    protocol.connection_lost(None)
    await settle()
    assert asyncio.all_tasks() == before
