"""The token endpoints (CONTRACT §6): sign in, refresh, sign out, and the public keys.

JSON in, JSON out; every refusal is ``application/problem+json``. Leans on :mod:`keys.assembly` for
what does the work, and on django-axes, behind ``authenticate``, for the lock-out.
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable
from functools import wraps
from http import HTTPStatus
from typing import Any, TypeGuard

from axes.helpers import get_cool_off
from django.contrib.auth import authenticate, user_logged_in
from django.db import Error
from django.http import HttpRequest, HttpResponse, JsonResponse, RawPostDataException
from django.views.decorators.csrf import csrf_exempt

from audit.recorder import acting_as
from keys.assembly import token_desk
from keys.authentication import challenge
from keys.errors import (
    AuthenticationError,
    InvalidCredentials,
    KeyStoreUnavailable,
    UnusableKey,
)
from keys.key_ring import CACHED_SECONDS
from keys.refresh.sessions import Pair
from keys.throttling import Throttle

logger = logging.getLogger(__name__)

_LARGEST_BODY = 16 * 1024
_LONGEST_NAME = 150
_LONGEST_PASSWORD = 4096
_STORE_RETRY_AFTER = 1

View = Callable[[HttpRequest], HttpResponse]


class _Refused(Exception):
    """The request is answered with a problem."""

    def __init__(self, status: HTTPStatus, code: str, detail: str, **headers: str) -> None:
        super().__init__(detail)
        self.status = status
        self.code = code
        self.headers = {name.replace("_", "-"): value for name, value in headers.items()}


def _endpoint(*methods: str) -> Callable[[View], View]:
    """A view for *methods* whose failures become problems and whose answers are not cached.

    No cookie says who calls here, so a forged form gains nothing: CSRF does not apply.
    """

    def decorate(view: View) -> View:
        @csrf_exempt
        @wraps(view)
        def answered(request: HttpRequest) -> HttpResponse:
            request_id = request.headers.get("X-Request-Id", "")
            try:
                _check_method(request, methods)
                with acting_as("", "client", request_id, request.META.get("REMOTE_ADDR", "")):
                    answer = view(request)
            except Exception as error:
                answer = _problem(request, _refusal(error))
            answer.headers.setdefault("Cache-Control", "no-store")
            return answer

        return answered

    return decorate


@_endpoint("POST")
def token(request: HttpRequest) -> HttpResponse:
    """``{username, password}`` of a Django user → a pair of tokens."""
    desk = token_desk()
    if not desk.enabled:
        raise _not_found("No tokens are issued here.")
    _throttle(desk.throttle, request)
    given = _read(request, username=_LONGEST_NAME, password=_LONGEST_PASSWORD)
    user = authenticate(request, **given)
    if user is None:
        raise _failed_login(request)
    user_logged_in.send(sender=type(user), request=request, user=user)
    return _pair(desk.sessions.open(user))


@_endpoint("POST")
def refresh(request: HttpRequest) -> HttpResponse:
    """``{refresh}`` → a new pair."""
    desk = token_desk()
    _throttle(desk.upkeep_throttle, request)
    return _pair(desk.sessions.refresh(_read(request, refresh=_LARGEST_BODY)["refresh"]))


@_endpoint("POST")
def revoke(request: HttpRequest) -> HttpResponse:
    """``{refresh}`` → 204, whatever the token was (RFC 7009 section 2.2)."""
    desk = token_desk()
    _throttle(desk.upkeep_throttle, request)
    desk.sessions.revoke(_read(request, refresh=_LARGEST_BODY)["refresh"])
    answer = HttpResponse(status=HTTPStatus.NO_CONTENT)
    del answer.headers["Content-Type"]
    return answer


@_endpoint("GET", "HEAD")
def jwks(_request: HttpRequest) -> HttpResponse:
    """The public keys, those included that are about to sign and those that did before."""
    ring = token_desk().ring
    if not ring.asymmetric:
        raise _not_found("Tokens are signed with a shared secret; there are no public keys.")
    ring.reload()
    return JsonResponse(
        {"keys": ring.published()},
        headers={"Cache-Control": f"public, max-age={CACHED_SECONDS}"},
    )


def _check_method(request: HttpRequest, methods: tuple[str, ...]) -> None:
    if request.method not in methods:
        allowed = ", ".join(methods)
        raise _Refused(
            HTTPStatus.METHOD_NOT_ALLOWED,
            "method_not_allowed",
            f"{allowed} is allowed here.",
            Allow=allowed,
        )


def _pair(pair: Pair) -> HttpResponse:
    return JsonResponse(
        {
            "access": pair.access,
            "refresh": pair.refresh,
            "expires_in": pair.expires_in,
            "token_type": "Bearer",
        }
    )


def _throttle(throttle: Throttle, request: HttpRequest) -> None:
    seconds = throttle.wait(request.META.get("REMOTE_ADDR", ""), time.monotonic())
    if seconds:
        raise _too_many("Too many requests from this address.", seconds)


def _read(request: HttpRequest, **longest: int) -> dict[str, str]:
    """The texts under the names of *longest* in the JSON body, none empty or longer than that."""
    content = _body(request)
    try:
        given: Any = json.loads(content)
    except (ValueError, RecursionError):
        given = None
    if not isinstance(given, dict):
        raise _bad_request("The body is not a JSON object.")
    values = {}
    for name, most in longest.items():
        value = given.get(name)
        if not _is_text(value) or not 0 < len(value) <= most:
            raise _bad_request(f"{name} is not a text of 1 to {most} characters.")
        values[name] = value
    return values


def _is_text(value: object) -> TypeGuard[str]:
    """Whether it is text that can be written down: JSON can name half a character."""
    return isinstance(value, str) and not any("\ud800" <= one <= "\udfff" for one in value)


def _body(request: HttpRequest) -> bytes:
    try:
        content = request.read(_LARGEST_BODY + 1)
    except (OSError, RawPostDataException):
        raise _bad_request("The body could not be read.") from None
    if len(content) > _LARGEST_BODY:
        raise _Refused(
            HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
            "body_too_large",
            f"The body is larger than {_LARGEST_BODY} bytes.",
        )
    return content


def _failed_login(request: HttpRequest) -> Exception:
    """What the client is told; the audit log hears of it by Django's own signal."""
    if getattr(request, "axes_locked_out", False):
        # Otherwise the middleware of axes would put its page in the place of our answer.
        vars(request)["axes_locked_out"] = False
        cool_off = get_cool_off(request)
        seconds = int(cool_off.total_seconds()) if cool_off else 0
        return _too_many("Too many failed attempts; try again later.", seconds)
    return InvalidCredentials()


def _not_found(detail: str) -> _Refused:
    return _Refused(HTTPStatus.NOT_FOUND, "route_not_found", detail)


def _bad_request(detail: str) -> _Refused:
    return _Refused(HTTPStatus.BAD_REQUEST, "bad_request", detail)


def _too_many(detail: str, seconds: int) -> _Refused:
    headers = {"Retry-After": str(seconds)} if seconds else {}
    return _Refused(HTTPStatus.TOO_MANY_REQUESTS, "rate_limited", detail, **headers)


def _refusal(error: Exception) -> _Refused:
    """What *error* means to the client; anything unknown is logged and tells nothing."""
    match error:
        case _Refused():
            return error
        case AuthenticationError():
            return _Refused(
                HTTPStatus.UNAUTHORIZED, error.code, str(error), WWW_Authenticate=challenge(error)
            )
        case KeyStoreUnavailable() | Error() | UnusableKey():
            logger.error("tokens cannot be handled: %s", getattr(error, "reason", "") or error)
            return _Refused(
                HTTPStatus.SERVICE_UNAVAILABLE,
                KeyStoreUnavailable.code,
                "Tokens cannot be handled at the moment.",
                Retry_After=str(_STORE_RETRY_AFTER),
            )
    logger.error("a request to the token endpoints failed", exc_info=error)
    return _Refused(
        HTTPStatus.INTERNAL_SERVER_ERROR, "internal_error", "The request failed; it is logged."
    )


def _problem(request: HttpRequest, refusal: _Refused) -> HttpResponse:
    content = {
        "type": "about:blank",
        "title": refusal.status.phrase,
        "status": refusal.status.value,
        "detail": str(refusal),
        "code": refusal.code,
        "request_id": request.headers.get("X-Request-Id", ""),
    }
    return JsonResponse(
        content,
        status=refusal.status,
        content_type="application/problem+json",
        headers={"X-Gateway-Error": refusal.code, **refusal.headers},
    )
