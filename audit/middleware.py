"""Names the actor of a control-plane request, for the audit log and for revisions.

Comes after Django's AuthenticationMiddleware. ``REMOTE_ADDR`` is the client's address as the
gateway established it; no header is read a second time.
"""

from __future__ import annotations

from collections.abc import Callable

from django.http import HttpRequest, HttpResponse

from audit.recorder import acting_as


class AuditMiddleware:
    """Runs the rest of the request as the signed-in user."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self._get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        user = request.user.get_username() if request.user.is_authenticated else ""
        with acting_as(
            user,
            "api" if request.path.startswith("/api/") else "admin",
            request_id=request.headers.get("X-Request-Id", ""),
            client_ip=request.META.get("REMOTE_ADDR", ""),
        ):
            return self._get_response(request)
