"""gRPC from a client through hypercorn and the gateway to a service, in all four kinds of call."""

from __future__ import annotations

import contextlib
import queue
from collections.abc import Iterator

import grpc
import pytest

from tests.http2.conftest import Front
from tests.http2.echo import EchoServer


@pytest.fixture
def channel(front: Front) -> Iterator[grpc.Channel]:
    """A client's connection."""
    with front.channel() as channel:
        yield channel


@pytest.fixture
def key(front: Front) -> tuple[tuple[str, str], ...]:
    """What identifies the caller."""
    return (("x-api-key", front.key),)


Metadata = tuple[tuple[str, str], ...]


def test_a_unary_call_brings_both_kinds_of_metadata(
    channel: grpc.Channel, key: Metadata, echo: EchoServer
) -> None:
    call = channel.unary_unary("/echo.Echo/Unary")
    answer, state = call.with_call(b"hello", metadata=(*key, ("x-own", "mine")), timeout=10)
    assert answer == b"hello"
    assert state.code() is grpc.StatusCode.OK
    assert dict(state.initial_metadata())["x-initial"] == "1"
    trailing = dict(state.trailing_metadata())
    assert (trailing["x-trailing"], trailing["x-raw-bin"]) == ("2", b"\x00\xff")
    assert (echo.seen["x-own"], echo.seen["x-user-id"]) == ("mine", "acme")
    assert "x-api-key" not in echo.seen


def test_a_large_message_passes(channel: grpc.Channel, key: Metadata) -> None:
    content = bytes(3_000_000)
    call = channel.unary_unary("/echo.Echo/Unary")
    assert call(content, metadata=key, timeout=20) == content


def test_the_status_of_a_failed_call_arrives(channel: grpc.Channel, key: Metadata) -> None:
    with pytest.raises(grpc.RpcError) as raised:
        channel.unary_unary("/echo.Echo/Fail")(b"", metadata=key, timeout=10)
    assert raised.value.code() is grpc.StatusCode.FAILED_PRECONDITION
    assert raised.value.details() == "not today: \u00e9"


def test_an_unknown_method_is_the_services_own_answer(channel: grpc.Channel, key: Metadata) -> None:
    with pytest.raises(grpc.RpcError) as raised:
        channel.unary_unary("/echo.Echo/Nothing")(b"", metadata=key, timeout=10)
    assert raised.value.code() is grpc.StatusCode.UNIMPLEMENTED
    assert raised.value.details() == "Method not found!"


def test_streams_pass_in_either_direction(channel: grpc.Channel, key: Metadata) -> None:
    counted = channel.unary_stream("/open.Echo/Count")(b"100", metadata=key, timeout=10)
    assert [int(one) for one in counted] == list(range(100))
    summed = channel.stream_unary("/echo.Echo/Sum")
    assert summed(iter([bytes(1000)] * 50), metadata=key, timeout=10) == b"50000"


def test_each_message_may_depend_on_the_answer_to_the_one_before(
    channel: grpc.Channel, key: Metadata
) -> None:
    said: queue.Queue[bytes | None] = queue.Queue()
    answers = channel.stream_stream("/echo.Echo/Chat")(
        iter(said.get, None), metadata=key, timeout=10
    )
    for word in (b"one", b"two", b"three"):
        said.put(word)
        assert next(answers) == word.upper()
    said.put(None)
    assert list(answers) == []
    assert answers.code() is grpc.StatusCode.OK


@pytest.mark.parametrize("how", ["cancel", "deadline"])
def test_a_call_given_up_ends_at_the_service(
    channel: grpc.Channel, key: Metadata, echo: EchoServer, how: str
) -> None:
    echo.cancelled.clear()
    before = echo.calls
    call = channel.unary_unary("/echo.Echo/Hang").future(
        b"", metadata=key, timeout=30 if how == "cancel" else 1
    )
    if how == "cancel":
        while echo.calls == before:
            pass
        call.cancel()
    else:
        assert call.exception().code() is grpc.StatusCode.DEADLINE_EXCEEDED
        assert "grpc-timeout" not in echo.seen  # gRPC keeps it to itself
    assert echo.cancelled.wait(10)


def test_policies_apply_before_the_service_is_touched(
    channel: grpc.Channel, front: Front, echo: EchoServer
) -> None:
    def code(metadata: Metadata) -> grpc.StatusCode:
        call = channel.unary_stream("/echo.Echo/Count")(b"1", metadata=metadata, timeout=10)
        with contextlib.suppress(grpc.RpcError):
            list(call)
        found: grpc.StatusCode = call.code()
        return found

    before = echo.calls
    assert code(()) is grpc.StatusCode.UNAUTHENTICATED
    assert echo.calls == before
    codes = [code((("x-api-key", front.gateway.key("globex")),)) for _ in range(2)]
    assert codes == [grpc.StatusCode.OK, grpc.StatusCode.UNAVAILABLE]
    assert echo.calls == before + 1


def test_a_service_that_is_not_there_is_unavailable(channel: grpc.Channel) -> None:
    with pytest.raises(grpc.RpcError) as raised:
        channel.unary_unary("/dead.Echo/Unary")(b"", timeout=10)
    assert raised.value.code() is grpc.StatusCode.UNAVAILABLE
