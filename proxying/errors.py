"""What ends a request before, or instead of, the upstream's answer.

::

    ProxyError
    ├── BadRequest            400 bad_request, or the status and code it is given
    ├── RouteNotFound         404
    ├── MethodNotAllowed      405, with the methods that would do
    ├── BodyTooLarge          413
    ├── UpgradeRequired       426, another version of the WebSocket protocol would do
    ├── RateLimited           429, with the limiter's decision
    ├── TooManyWebSockets     429, as many WebSockets of this caller are open as may be
    ├── NoInstance            503, the service has no instance to ask
    ├── BreakerOpen           503, every instance's breaker is open
    ├── Overloaded            503, as many requests run and wait as may
    ├── RouteMisconfigured    503, the route or its service does not compile
    ├── Draining              503, this node is stopping
    └── LoopDetected          508
    ClientGone                the client left; nobody to answer

Errors of the upstream are in ``proxying.upstream.base``, of identity in ``keys.errors``, of limits
in ``quotas.errors``. Their statuses and codes are given once, in ``proxying.problems``.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from quotas.bucket import Decision


class ProxyError(Exception):
    """Base of this app's errors; its text is the ``detail`` the client reads."""


class BadRequest(ProxyError):
    """A request that is not valid HTTP, or not one this gateway accepts."""

    def __init__(self, detail: str, status: int = 400, code: str = "bad_request") -> None:
        super().__init__(detail)
        self.status = status
        self.code = code


class RouteNotFound(ProxyError):
    """No route matches host and path."""


class MethodNotAllowed(ProxyError):
    """Routes match host and path, none of them the method."""

    def __init__(self, method: str, allow: Iterable[str]) -> None:
        self.allow = ", ".join(sorted(allow))
        super().__init__(f"{method} is not allowed here; allowed: {self.allow}")


class BodyTooLarge(ProxyError):
    """The request body is longer than the route allows."""

    def __init__(self, limit: int) -> None:
        super().__init__(f"the request body is longer than {limit} bytes")


class RateLimited(ProxyError):
    """A limit refused the request."""

    def __init__(self, decision: Decision) -> None:
        super().__init__(f"limit reached; try again in {decision.retry_after} s")
        self.decision = decision


class UpgradeRequired(ProxyError):
    """A WebSocket handshake of a version that is not carried."""


class TooManyWebSockets(ProxyError):
    """The caller has as many WebSockets open as it may have."""

    def __init__(self, most: int) -> None:
        super().__init__(f"{most} WebSockets of this caller are open, close one first")


class NoInstance(ProxyError):
    """The service has no instance that could be asked."""


class BreakerOpen(ProxyError):
    """Every instance of the service is left alone by its breaker for now."""

    def __init__(self, service: str, retry_after: int) -> None:
        super().__init__(f"service {service} is failing and left alone for now")
        self.retry_after = retry_after


class Overloaded(ProxyError):
    """As many requests of the service run, and wait, as it takes."""

    def __init__(self, service: str) -> None:
        super().__init__(f"service {service} has as many requests as it takes")


class RouteMisconfigured(ProxyError):
    """The route or its service does not compile; it is closed until it is mended."""


class Draining(ProxyError):
    """This node is stopping."""


class LoopDetected(ProxyError):
    """The request passed this gateway before."""


class ClientGone(Exception):
    """The client closed the connection before the exchange was complete."""
