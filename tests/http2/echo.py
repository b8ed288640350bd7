"""A gRPC service of plain bytes, and the ways to call it: no generated code."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import grpc

SERVICE = "echo.Echo"


@dataclass
class EchoServer:
    """Listens on a free port without TLS. ``seen`` is the metadata of the last call."""

    seen: dict[str, str | bytes] = field(default_factory=dict)
    calls: int = 0
    cancelled: threading.Event = field(default_factory=threading.Event)
    """A call of ``Hang`` was given up by its client."""

    def __post_init__(self) -> None:
        self._server = grpc.server(ThreadPoolExecutor(16))
        handlers = {
            "Unary": grpc.unary_unary_rpc_method_handler(self._unary),
            "Fail": grpc.unary_unary_rpc_method_handler(self._fail),
            "Hang": grpc.unary_unary_rpc_method_handler(self._hang),
            "Count": grpc.unary_stream_rpc_method_handler(self._count),
            "Sum": grpc.stream_unary_rpc_method_handler(self._sum),
            "Chat": grpc.stream_stream_rpc_method_handler(self._chat),
        }
        generic = grpc.method_handlers_generic_handler(SERVICE, handlers)
        self._server.add_generic_rpc_handlers((generic,))
        self.port = self._server.add_insecure_port("127.0.0.1:0")
        self._server.start()

    def stop(self) -> None:
        """End it and every call."""
        self._server.stop(0).wait()

    def _note(self, context: grpc.ServicerContext) -> None:
        self.calls += 1
        self.seen = {item.key: item.value for item in context.invocation_metadata()}

    def _unary(self, request: bytes, context: grpc.ServicerContext) -> bytes:
        self._note(context)
        context.send_initial_metadata((("x-initial", "1"),))
        context.set_trailing_metadata((("x-trailing", "2"), ("x-raw-bin", b"\x00\xff")))
        return request

    def _fail(self, request: bytes, context: grpc.ServicerContext) -> bytes:
        self._note(context)
        context.abort(grpc.StatusCode.FAILED_PRECONDITION, "not today: \u00e9")
        return b""

    def _hang(self, request: bytes, context: grpc.ServicerContext) -> bytes:
        self._note(context)
        context.add_callback(self.cancelled.set)
        while context.is_active():
            time.sleep(0.02)
        return b""

    def _count(self, request: bytes, context: grpc.ServicerContext) -> Iterator[bytes]:
        self._note(context)
        for number in range(int(request)):
            yield b"%d" % number

    def _sum(self, requests: Iterator[bytes], context: grpc.ServicerContext) -> bytes:
        self._note(context)
        return b"%d" % sum(len(one) for one in requests)

    def _chat(self, requests: Iterator[bytes], context: grpc.ServicerContext) -> Iterator[bytes]:
        self._note(context)
        for one in requests:
            yield one.upper()
