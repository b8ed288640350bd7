"""Every error of the API as ``application/problem+json`` (RFC 9457).

REST framework's exceptions, the models' and routing's meet here and nowhere else. A field in
``errors`` is the path in what the client sent.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from http import HTTPStatus
from typing import Any

from django.core.exceptions import RequestDataTooBig, SuspiciousOperation
from django.db import OperationalError
from django.db.models import ProtectedError
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from rest_framework import exceptions
from rest_framework.request import Request

from routing.errors import ConfigurationError, Fault

logger = logging.getLogger(__name__)

MEDIA_TYPE = "application/problem+json"
Errors = Sequence[Mapping[str, str]]


class Refusal(Exception):
    """An error with a status, a code and perhaps fields, said in so many words."""

    def __init__(self, status: HTTPStatus, code: str, detail: str, errors: Errors = ()) -> None:
        super().__init__(detail)
        self.status = status
        self.code = code
        self.detail = detail
        self.errors = errors


def answer_error(error: Exception, context: Mapping[str, Any]) -> HttpResponse:
    """REST framework's exception handler; what nobody foresaw is logged and tells nothing."""
    request: Request = context["request"]
    refusal = _refusal(error, request)
    answer = problem(request, refusal)
    for name in ("auth_header", "wait"):
        value = getattr(error, name, None)
        if value:
            header = {"auth_header": "WWW-Authenticate", "wait": "Retry-After"}[name]
            answer.headers[header] = str(value)
    return answer


def problem(request: Request | HttpRequest, refusal: Refusal) -> HttpResponse:
    """*refusal* as the client reads it."""
    content: dict[str, Any] = {
        "type": "about:blank",
        "title": refusal.status.phrase,
        "status": refusal.status.value,
        "detail": refusal.detail,
        "code": refusal.code,
    }
    if request_id := request.headers.get("X-Request-Id", ""):
        content["request_id"] = request_id
    if refusal.errors:
        content["errors"] = list(refusal.errors)
    return JsonResponse(
        content,
        status=refusal.status,
        content_type=MEDIA_TYPE,
        headers={"X-Gateway-Error": refusal.code, "Cache-Control": "no-store"},
    )


def errors_of(error: ConfigurationError, own: str = "") -> Errors:
    """The faults of *error*; those of the object *own* by their path inside it."""
    return [{"field": _field(fault, own), "reason": fault.reason} for fault in error.faults]


def _field(fault: Fault, own: str) -> str:
    if fault.where == own:
        return fault.field
    return ".".join(part for part in (fault.where, fault.field) if part)


def _refusal(error: Exception, request: Request) -> Refusal:
    match error:
        case Refusal():
            return error
        case ConfigurationError():
            return invalid(errors_of(error))
        case exceptions.APIException():
            return _of_framework(error, request)
        case ProtectedError():
            users = ", ".join(sorted(str(one) for one in error.protected_objects))
            return Refusal(HTTPStatus.CONFLICT, "in_use", f"It is used by {users}.")
    known = (refusal for kind, refusal in _FOREIGN.items() if isinstance(error, kind))
    refusal = next(known, _UNKNOWN)
    if refusal.status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        logger.error("a request to the API failed", exc_info=error)
    return refusal


_FOREIGN: dict[type[Exception], Refusal] = {
    Http404: Refusal(HTTPStatus.NOT_FOUND, "not_found", "There is no such object."),
    RequestDataTooBig: Refusal(
        HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "body_too_large", "The body is too large."
    ),
    SuspiciousOperation: Refusal(
        HTTPStatus.BAD_REQUEST, "bad_request", "The request is not valid."
    ),
    OperationalError: Refusal(
        HTTPStatus.SERVICE_UNAVAILABLE,
        "database_unavailable",
        "The database cannot be reached; try again.",
    ),
}
_UNKNOWN = Refusal(
    HTTPStatus.INTERNAL_SERVER_ERROR, "internal_error", "The request failed; that is logged."
)


def _of_framework(error: exceptions.APIException, request: Request) -> Refusal:
    if isinstance(error, exceptions.ValidationError):
        return invalid(list(_flat(error.detail)))
    if isinstance(error, exceptions.AuthenticationFailed) and getattr(
        request, "axes_locked_out", False
    ):
        detail = "Too many wrong passwords; this user is locked out for a while."
        return Refusal(HTTPStatus.TOO_MANY_REQUESTS, "locked_out", detail)
    code = getattr(error.detail, "code", None) or error.default_code
    return Refusal(HTTPStatus(error.status_code), str(code), str(error.detail))


def invalid(errors: Errors) -> Refusal:
    """400 for content that does not validate, with every field that is wrong."""
    detail = "Nothing was changed; errors names each field and what is allowed there."
    return Refusal(HTTPStatus.BAD_REQUEST, "invalid_content", detail, errors)


def _flat(detail: Any, path: str = "") -> Iterator[dict[str, str]]:
    """REST framework's nested errors, one by one."""
    if isinstance(detail, Mapping):
        for name, inner in detail.items():
            yield from _flat(inner, _step(path, name))
    elif isinstance(detail, list):
        for inner in detail:
            yield from _flat(inner, path)
    else:
        yield {"field": path, "reason": str(detail)}


def _step(path: str, name: Any) -> str:
    if name == "non_field_errors":
        return path
    if isinstance(name, int):
        return f"{path}[{name}]"
    return f"{path}.{name}" if path else str(name)
