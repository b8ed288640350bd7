"""What happened and how things stand: revisions, breakers, usage, the audit log. To read.

Only a rollback writes; it goes through :func:`routing.revision.rollback`.
"""

from __future__ import annotations

from http import HTTPStatus
from typing import Any, get_args

from django.db.models import QuerySet
from drf_spectacular.utils import extend_schema
from rest_framework.decorators import action
from rest_framework.exceptions import NotFound
from rest_framework.mixins import ListModelMixin, RetrieveModelMixin
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.serializers import BaseSerializer
from rest_framework.viewsets import GenericViewSet

from audit.models import ActorType, AuditEntry
from gateway_project.api import listing
from gateway_project.api.access import ActionView, permissions_on
from gateway_project.api.problems import Refusal, errors_of
from gateway_project.api.schema import ApiSchema
from gateway_project.api.serializers import (
    AuditEntrySerializer,
    BreakerStateSerializer,
    FullRevisionSerializer,
    RateLimitRecordSerializer,
    RevisionSerializer,
)
from proxying.models import BreakerState
from quotas.models import RateLimitRecord
from routing import revision
from routing.document import Period
from routing.errors import ConfigurationError
from routing.models import Revision


class _ReadViewSet(ActionView, ListModelMixin, GenericViewSet[Any]):
    """Rows the gateway writes, page by page."""

    schema = ApiSchema()
    pagination_class = listing.Pages
    filter_backends = [listing.QueryFilter]


class RevisionViewSet(_ReadViewSet, RetrieveModelMixin):
    """Published revisions, newest first; one alone comes with its document."""

    queryset = Revision.objects.all()
    lookup_field = "number"
    lookup_value_regex = "[0-9]{1,9}"
    # Rolling back writes every kind of configuration row; one permission stands for it.
    permissions = permissions_on(Revision, current=("view",), rollback=("change",))
    filters = {
        "source": listing.choice("source", Revision.Source.values),
        "created_by": listing.text("created_by"),
        "since": listing.moment("created_at__gte"),
        "until": listing.moment("created_at__lt"),
    }
    orders = ("number",)

    def get_queryset(self) -> QuerySet[Revision]:
        rows: QuerySet[Revision] = super().get_queryset()
        return rows.defer("document") if self.action == "list" else rows

    def get_serializer_class(self) -> type[BaseSerializer[Any]]:
        return RevisionSerializer if self.action == "list" else FullRevisionSerializer

    @extend_schema(summary="The revision the workers should serve.")
    @action(detail=False)
    def current(self, request: Request) -> Response:
        return self._current()

    def _current(self) -> Response:
        row = revision.current()
        if row is None:
            raise NotFound("Nothing is published yet.")
        return Response(self.get_serializer(row).data)

    @extend_schema(
        summary="Restore services and routes as they were in it, and publish.",
        description="Answers the revision that is current then: a new one, or the old one when "
        "nothing had to change.",
        request=None,
    )
    @action(detail=True, methods=["post"])
    def rollback(self, request: Request, number: str) -> Response:
        row = self.get_object()
        try:
            revision.rollback(row.number, request.user.get_username())
        except ConfigurationError as error:
            detail = "It does not validate any more; nothing was changed."
            raise Refusal(
                HTTPStatus.CONFLICT, "revision_refused", detail, errors_of(error)
            ) from None
        return self._current()


class BreakerStateViewSet(_ReadViewSet):
    """Circuit breakers, as each worker last reported them."""

    queryset = BreakerState.objects.all()
    serializer_class = BreakerStateSerializer
    permissions = permissions_on(BreakerState)
    filters = {
        "service": listing.text("service"),
        "instance": listing.text("instance"),
        "node": listing.text("node"),
        "state": listing.choice("state", BreakerState.State.values),
        "reported_since": listing.moment("reported_at__gte"),
    }
    orders = ("service", "changed_at", "reported_at")


class RateLimitRecordViewSet(_ReadViewSet):
    """What callers used of routes, by window and node."""

    queryset = RateLimitRecord.objects.all()
    serializer_class = RateLimitRecordSerializer
    permissions = permissions_on(RateLimitRecord)
    filters = {
        "identifier": listing.text("identifier"),
        "route": listing.text("route"),
        "node": listing.text("node"),
        "window_type": listing.choice("window_type", get_args(Period)),
        "since": listing.moment("window_start__gte"),
        "until": listing.moment("window_start__lt"),
    }
    orders = ("window_start", "allowed", "refused")


class AuditEntryViewSet(_ReadViewSet, RetrieveModelMixin):
    """Who did what, newest first."""

    queryset = AuditEntry.objects.all()
    serializer_class = AuditEntrySerializer
    lookup_value_regex = "[0-9]{1,18}"
    permissions = permissions_on(AuditEntry)
    filters = {
        "actor": listing.text("actor"),
        "actor_type": listing.choice("actor_type", ActorType.values),
        "action": listing.text("action"),
        "object_type": listing.text("object_type"),
        "object_name": listing.text("object_name"),
        "request_id": listing.text("request_id"),
        "outcome": listing.text("outcome"),
        "since": listing.moment("at__gte"),
        "until": listing.moment("at__lt"),
    }
    orders = ("at",)
