"""The Django-view binding: the gateway inside somebody else's URLconf. The slow one.

``gateway_project.mounting`` has the view to mount. Whatever the URLconf sends there goes through
the same pipeline, by the request's whole path. Django has then read the whole body, hopped
threads and parsed the headers: use the ASGI binding where you can. What Django does not carry:
several response lines of one name (joined with ``, ``; ``Set-Cookie`` lines are parsed and written
anew), non-ASCII header bytes, an empty ``?``.
"""

from __future__ import annotations

from collections.abc import AsyncIterator

from django.core.exceptions import ImproperlyConfigured
from django.core.handlers.asgi import ASGIRequest
from django.http import HttpRequest, HttpResponseNotFound, StreamingHttpResponse
from django.http.response import HttpResponseBase

from proxying.bindings.asgi import Serves, exchange_of
from proxying.exchange import Answer, Bytes, Headers


async def serve(gateway: Serves, request: HttpRequest) -> HttpResponseBase:
    """The upstream's answer, streaming, or the problem that kept the request from it.

    ASGI only: under WSGI every request has an event loop of its own. Raises
    ``ImproperlyConfigured`` there.
    """
    if not isinstance(request, ASGIRequest):
        raise ImproperlyConfigured("the gateway needs ASGI")
    exchange = exchange_of(request.scope, Bytes(request.read()))
    if not gateway.admit(exchange):
        return HttpResponseNotFound()
    return _Response(await gateway(exchange))


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
