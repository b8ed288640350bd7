"""Who may use the API: staff, with Django's permissions on the models behind each endpoint.

Leans on REST framework, and on ``audit.recorder`` to name whoever acts.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from typing import Any, ClassVar

from django.db import models
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from rest_framework.authentication import (
    BasicAuthentication,
    SessionAuthentication,
)
from rest_framework.exceptions import PermissionDenied
from rest_framework.permissions import SAFE_METHODS, BasePermission
from rest_framework.renderers import BaseRenderer, JSONRenderer
from rest_framework.request import Request
from rest_framework.views import APIView
from rest_framework.viewsets import ViewSet

from audit.recorder import acting_as
from gateway_project.api.problems import answer_error
from runtime.transactions import repeated

_VERBS = {
    "list": "view",
    "retrieve": "view",
    "create": "add",
    "update": "change",
    "partial_update": "change",
    "destroy": "delete",
}


def permissions_on(
    model: type[models.Model], **actions: Iterable[str]
) -> dict[str, tuple[str, ...]]:
    """The permissions each action needs; *actions* adds further ones by their verbs."""
    verbs = {**{action: (verb,) for action, verb in _VERBS.items()}, **actions}
    return {action: needed(model, *names) for action, names in verbs.items()}


def needed(model: type[models.Model], *verbs: str) -> tuple[str, ...]:
    """Full names of permissions on *model*: ``routing.change_route``."""
    meta = model._meta
    return tuple(f"{meta.app_label}.{verb}_{meta.model_name}" for verb in verbs)


def require(request: Request, permissions: Iterable[str]) -> None:
    """Raise PermissionDenied, naming what the user lacks."""
    missing = [name for name in permissions if not request.user.has_perm(name)]
    if missing:
        raise PermissionDenied(f"You need the permission {', '.join(missing)}.")


class StaffWithPermissions(BasePermission):
    """Signed-in staff who hold every permission the view asks for."""

    def has_permission(self, request: Request, view: APIView) -> bool:
        if not (request.user.is_authenticated and request.user.is_staff):
            return False
        if isinstance(view, StaffView):
            require(request, view.required_permissions())
        return True


class StaffView(APIView):
    """What every view of the API has: its door, its errors, and whoever acts in the audit log."""

    # Basic first: the first one decides that a stranger is answered 401 and not 403.
    authentication_classes = [BasicAuthentication, SessionAuthentication]
    permission_classes = [StaffWithPermissions]
    metadata_class = None

    def required_permissions(self) -> tuple[str, ...]:
        """Permissions the present request needs; being staff is always needed."""
        return ()

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        """Name the actor once it is known, until the answer is made."""
        with ExitStack() as self._acting:
            return super().dispatch(request, *args, **kwargs)

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        super().initial(request, *args, **kwargs)
        if "CONTENT_LENGTH" not in request.META:
            # A chunked body; REST framework takes a request without a length for an empty one.
            request.META["CONTENT_LENGTH"] = str(len(request._request.body))
        self._acting.enter_context(
            acting_as(
                request.user.get_username(),
                "api",
                request_id=request.headers.get("X-Request-Id", ""),
                client_ip=request.META.get("REMOTE_ADDR", ""),
            )
        )
        name = (request.method or "").lower()
        if request.method not in SAFE_METHODS and name in self.http_method_names:
            # Called next, under this name.
            setattr(self, name, repeated(getattr(self, name, self.http_method_not_allowed)))

    def get_exception_handler(self) -> Callable[..., HttpResponseBase | None]:
        return answer_error


class ActionView(StaffView, ViewSet):
    """A viewset's door: ``permissions`` says what each of its actions needs.

    An action that is not listed there fails for everybody.
    """

    renderer_classes: Sequence[type[BaseRenderer]] = [JSONRenderer]
    permissions: ClassVar[dict[str, tuple[str, ...]]]

    def required_permissions(self) -> tuple[str, ...]:
        # Without an action, and for OPTIONS, the method is not allowed; that is said after this.
        named = self.action and self.action != "metadata"
        return self.permissions[self.action] if named else ()
