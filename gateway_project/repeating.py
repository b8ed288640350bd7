"""Pages that write: what the database ends for the sake of another transaction is begun anew."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from inspect import iscoroutinefunction
from typing import Any

from django.http import HttpRequest, HttpResponse

from runtime.transactions import repeated

_SAFE = frozenset(("GET", "HEAD", "OPTIONS", "TRACE"))


class RepeatingMiddleware:
    """Calls the view of a request that may change something once more when its transaction is lost.

    Comes after whatever may answer in a view's place. The REST API does it for itself: its views
    answer their errors themselves.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self._get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        return self._get_response(request)

    def process_view(
        self,
        request: HttpRequest,
        view: Callable[..., HttpResponse],
        arguments: Sequence[Any],
        named: Mapping[str, Any],
    ) -> HttpResponse | None:
        """The answer of the view, where it is called from here."""
        if request.method in _SAFE or iscoroutinefunction(view):
            return None
        return repeated(view)(request, *arguments, **named)
