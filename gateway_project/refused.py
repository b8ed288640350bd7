"""What Django answers by itself, outside every view: problems instead of its HTML pages.

People who browse the admin keep the pages. Named by ``urls.py``.
"""

from __future__ import annotations

from http import HTTPStatus

from django.core.exceptions import DisallowedHost
from django.http import HttpRequest, HttpResponse
from django.views import defaults

from gateway_project.api.problems import Refusal, problem

_ADMIN = "/admin/"


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponse:
    """400 ``bad_request``; an unknown host is the operator's to allow, so it is named."""
    detail = "The request is not valid."
    if isinstance(exception, DisallowedHost):
        detail = "The gateway's own pages do not answer to this host name: see ALLOWED_HOSTS."
    return problem(request, Refusal(HTTPStatus.BAD_REQUEST, "bad_request", detail))


def not_found(request: HttpRequest, exception: Exception) -> HttpResponse:
    """404 ``not_found``."""
    if request.path.startswith(_ADMIN):
        return defaults.page_not_found(request, exception)
    refusal = Refusal(HTTPStatus.NOT_FOUND, "not_found", "There is nothing at this path.")
    return problem(request, refusal)


def failed(request: HttpRequest) -> HttpResponse:
    """500 ``internal_error``."""
    if request.path.startswith(_ADMIN):
        return defaults.server_error(request)
    detail = "The request failed; that is logged."
    return problem(request, Refusal(HTTPStatus.INTERNAL_SERVER_ERROR, "internal_error", detail))
