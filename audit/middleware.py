"""What the audit log must know of a control-plane request: which one it is, and who sent it.

``REMOTE_ADDR`` is the client's address as the gateway established it; no header is read a second
time.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final
from uuid import uuid4

from django.http import HttpRequest, HttpResponse

from audit.recorder import acting_as

_REQUEST_ID: Final = re.compile(r"[!-~]{1,128}")

GetResponse = Callable[[HttpRequest], HttpResponse]


class RequestIdMiddleware:
    """Gives every answer the request's ``X-Request-Id``, a new one where none came.

    Comes first: the answers of every other middleware have one too.
    """

    def __init__(self, get_response: GetResponse) -> None:
        self._get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        request_id = request.META.get("HTTP_X_REQUEST_ID", "")
        if not _REQUEST_ID.fullmatch(request_id):
            request_id = request.META["HTTP_X_REQUEST_ID"] = uuid4().hex
        response = self._get_response(request)
        response.headers.setdefault("X-Request-Id", request_id)  # A mounted gateway has its own.
        return response


class AuditMiddleware:
    """Runs the rest of the request as the signed-in user.

    Comes after Django's AuthenticationMiddleware.
    """

    def __init__(self, get_response: GetResponse) -> None:
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
