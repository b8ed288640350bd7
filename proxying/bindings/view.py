"""The Django-view binding: the gateway inside somebody else's URLconf. The slow one.

``path("shop/<path:rest>", GatewayView(gateway))`` serves whatever the URLconf sends here through
the same pipeline, by the request's whole path. Django has then read the whole body, hopped
threads and parsed the headers: use the ASGI binding where you can. What Django does not carry:
several response lines of one name (joined with ``, ``; ``Set-Cookie`` lines are parsed and written
anew), non-ASCII header bytes, an empty ``?``.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

from asgiref.sync import markcoroutinefunction
from django.core.exceptions import ImproperlyConfigured
from django.core.handlers.asgi import ASGIRequest
from django.http import HttpRequest, HttpResponseNotFound, StreamingHttpResponse
from django.http.response import HttpResponseBase

from proxying.bindings.asgi import Serves, exchange_of
from proxying.exchange import Answer, Bytes, Headers


class GatewayView:
    """An async view over *gateway*. ASGI only: under WSGI every request has a loop of its own."""

    def __init__(self, gateway: Serves) -> None:
        self._gateway = gateway
        markcoroutinefunction(self)

    async def __call__(self, request: HttpRequest, **captured: Any) -> HttpResponseBase:
        """The upstream's answer, streaming, or the problem that kept the request from it."""
        if not isinstance(request, ASGIRequest):
            raise ImproperlyConfigured("GatewayView needs ASGI")
        exchange = exchange_of(request.scope, Bytes(request.body))
        if not self._gateway.admit(exchange):
            return HttpResponseNotFound()
        return _Response(await self._gateway(exchange))


class _Response(StreamingHttpResponse):
    """Streams an answer and closes it however the exchange ends."""

    def __init__(self, answer: Answer) -> None:
        super().__init__(_pieces(answer), status=answer.status)
        self._answer = answer
        del self.headers["Content-Type"]
        _copy(answer.headers, self)

    def close(self) -> None:
        """Django calls this when the response is over, delivered or not."""
        self._answer.close()
        super().close()


async def _pieces(answer: Answer) -> AsyncIterator[bytes]:
    while piece := await answer.body.read():
        yield piece


def _copy(headers: Headers, response: StreamingHttpResponse) -> None:
    for name, value in headers:
        text = value.decode("latin-1")
        key = name.decode("ascii")
        if key == "set-cookie":
            response.cookies.load(text)
        elif key in response.headers:
            response.headers[key] += f", {text}"
        else:
            response.headers[key] = text
