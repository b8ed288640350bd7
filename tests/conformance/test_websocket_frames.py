"""Autobahn's cases: an echo server behaves through the gateway to the byte as it does directly."""

from __future__ import annotations

import zlib

import pytest

from tests.conformance.echo import Echo, Frame, Player, frame
from tests.conformance.websocket_table import BYE, CLOSE, HEAVY, OFFERS, QUICK, TEXT, Case
from tests.support.process import GatewayProcess

MARK = b"everything before this was answered"
PATH = "/sockets/echo"
_TAIL = b"\x00\x00\xff\xff"


def played(port: int, case: Case) -> list[Frame]:
    """What the other end sends in *case*: without the echoes where it is a matter of time which of
    them come before the end.
    """
    with Player(port, PATH) as player:
        player.send(case.sent, case.chop)
        if case.polite:
            player.send(frame(TEXT, MARK))
            return [*player.frames(until=MARK), *bye(player)]
        return [one for one in player.frames() if one.opcode >= CLOSE]


def bye(player: Player) -> list[Frame]:
    """Close, and what comes then."""
    player.send(BYE)
    return player.frames()


def close_code(frames: list[Frame]) -> int:
    """With which the connection was closed; 0 where no code was given."""
    assert frames
    last = frames[-1]
    assert last.opcode == CLOSE
    return int.from_bytes(last.payload[:2])


def compare(case: Case, gateway: GatewayProcess, echo: Echo) -> None:
    """The same frames both ways, and those that Autobahn asks for."""
    directly = played(echo.port, case)
    assert close_code(directly) in case.closes
    assert played(gateway.port, case) == directly


@pytest.mark.parametrize("case", [pytest.param(case, id=case.number) for case in QUICK])
def test_a_case_of_autobahn(case: Case, gateway: GatewayProcess, echo: Echo) -> None:
    compare(case, gateway, echo)


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("case", [pytest.param(case, id=case.number) for case in HEAVY])
def test_a_heavy_case_of_autobahn(case: Case, gateway: GatewayProcess, echo: Echo) -> None:
    compare(case, gateway, echo)


def compressed(messages: list[bytes], offer: str, port: int) -> tuple[str, list[Frame]]:
    """The extension that was agreed on, and the frames that answer *messages*, deflated."""
    with Player(port, PATH, f"Sec-WebSocket-Extensions: {offer}") as player:
        agreed = next(
            line for line in player.answer.split("\r\n") if line.startswith("sec-websocket-ext")
        )
        bits = 9 if "client_max_window_bits" in agreed else 15
        deflate = zlib.compressobj(wbits=-bits)
        for message in messages:
            data = deflate.compress(message) + deflate.flush(zlib.Z_SYNC_FLUSH)
            player.send(frame(TEXT, data.removesuffix(_TAIL), rsv=4))
            if "client_no_context_takeover" in agreed:
                deflate = zlib.compressobj(wbits=-bits)
        data = deflate.compress(MARK) + deflate.flush(zlib.Z_SYNC_FLUSH)
        player.send(frame(TEXT, data.removesuffix(_TAIL), rsv=4))
        answers = [player.frame() for _ in range(len(messages) + 1)]
        return agreed, [*answers, *bye(player)]


@pytest.mark.parametrize("offer", OFFERS)
def test_compression_is_agreed_on_end_to_end(
    offer: str, gateway: GatewayProcess, echo: Echo
) -> None:
    messages = [b"*" * size for size in (0, 16, 64, 256, 1024, 4096, 32768, 131_072)] * 3
    directly = compressed(messages, offer, echo.port)
    assert compressed(messages, offer, gateway.port) == directly
    agreed, frames = directly
    whole = "server_no_context_takeover" not in agreed
    inflate = zlib.decompressobj(wbits=-15)
    found = []
    for one in frames[:-2]:
        found.append(inflate.decompress(one.payload + _TAIL))
        inflate = inflate if whole else zlib.decompressobj(wbits=-15)
    assert found == messages
