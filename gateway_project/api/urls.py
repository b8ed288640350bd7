"""Addresses of the REST API. A slash at the end may be left out."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

from django.urls import path, re_path
from drf_spectacular.utils import extend_schema
from rest_framework.renderers import JSONRenderer
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.reverse import reverse
from rest_framework.routers import SimpleRouter

from gateway_project.api.access import StaffView
from gateway_project.api.callers import ApiKeyViewSet, ConsumerViewSet
from gateway_project.api.configuration import RouteViewSet, ServiceViewSet
from gateway_project.api.documents import ApplyView, ExportView
from gateway_project.api.history import (
    AuditEntryViewSet,
    BreakerStateViewSet,
    RateLimitRecordViewSet,
    RevisionViewSet,
)
from gateway_project.api.limits import ConsumerLimitViewSet
from gateway_project.api.problems import Refusal
from gateway_project.api.schema import DocsView, SchemaView
from gateway_project.api.usage import PlanViewSet, UsageViewSet

app_name = "api"

_COLLECTIONS = {
    "services": ServiceViewSet,
    "routes": RouteViewSet,
    "consumers": ConsumerViewSet,
    "api-keys": ApiKeyViewSet,
    "consumer-limits": ConsumerLimitViewSet,
    "plans": PlanViewSet,
    "revisions": RevisionViewSet,
    "breakers": BreakerStateViewSet,
    "rate-limit-records": RateLimitRecordViewSet,
    "usage": UsageViewSet,
    "audit-entries": AuditEntryViewSet,
}


class IndexView(StaffView):
    """Where everything is."""

    renderer_classes = [JSONRenderer]

    @extend_schema(exclude=True)
    def get(self, request: Request) -> Response:
        names = [*(f"{name}-list" for name in _COLLECTIONS), "apply", "export", "schema", "docs"]
        return Response(
            {
                name.removesuffix("-list"): reverse(f"{app_name}:{name}", request=request)
                for name in names
            }
        )


class NowhereView(StaffView):
    """Any other address, so that this too is a problem and not a page."""

    renderer_classes = [JSONRenderer]
    schema = None

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        super().initial(request, *args, **kwargs)
        raise Refusal(HTTPStatus.NOT_FOUND, "not_found", "There is nothing at this address.")


_router = SimpleRouter()
_router.trailing_slash = "/?"
for _name, _viewset in _COLLECTIONS.items():
    _router.register(_name, _viewset, basename=_name)

urlpatterns = [
    path("", IndexView.as_view(), name="index"),
    *_router.urls,
    re_path(r"^apply/?$", ApplyView.as_view({"post": "create"}), name="apply"),
    re_path(r"^export/?$", ExportView.as_view({"get": "list"}), name="export"),
    re_path(r"^schema/?$", SchemaView.as_view(), name="schema"),
    re_path(r"^docs/?$", DocsView.as_view(), name="docs"),
    re_path(r"", NowhereView.as_view()),
]
