"""``/consumers/`` and ``/api-keys/``: who may call the gateway.

A key's text is in the answer that makes it and nowhere else. Rows are locked before they are
changed: an edit that read a key before it was revoked must not bring it back.
"""

from __future__ import annotations

from datetime import timedelta
from http import HTTPStatus
from typing import Any

from django.db import transaction
from django.db.models import QuerySet
from django.utils import timezone
from drf_spectacular.utils import extend_schema, extend_schema_view
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.viewsets import ModelViewSet

from gateway_project.api import listing
from gateway_project.api.access import ActionView, needed, permissions_on
from gateway_project.api.bodies import JsonBodies
from gateway_project.api.problems import Refusal
from gateway_project.api.schema import ApiSchema
from gateway_project.api.serializers import (
    ApiKeySerializer,
    ConsumerSerializer,
    IssuedKeySerializer,
    RotationSerializer,
)
from keys.digest import GeneratedKey
from keys.models import ApiKey, Consumer


class LockedViewSet(JsonBodies, ActionView, ModelViewSet[Any]):
    """Reads a row under a lock where it is going to change it."""

    schema = ApiSchema()
    pagination_class = listing.Pages
    filter_backends = [listing.QueryFilter]

    def get_queryset(self) -> QuerySet[Any]:
        rows = super().get_queryset()
        return rows if self.request.method in ("GET", "HEAD") else rows.select_for_update()

    @transaction.atomic
    def update(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        return super().update(request, *args, **kwargs)

    @transaction.atomic
    def destroy(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        return super().destroy(request, *args, **kwargs)


class ConsumerViewSet(LockedViewSet):
    """Programs and organisations that call with keys. Deleting one deletes its keys."""

    queryset = Consumer.objects.all()
    serializer_class = ConsumerSerializer
    lookup_field = "name"
    lookup_value_regex = ".+?"  # a name may hold a slash
    permissions = {
        **permissions_on(Consumer),
        "destroy": (*needed(Consumer, "delete"), *needed(ApiKey, "delete")),
    }
    filters = {"enabled": listing.boolean("enabled")}
    orders = ("name", "created_at")


@extend_schema_view(
    create=extend_schema(
        summary="Issue a key; its text is in this answer only.",
        responses={201: IssuedKeySerializer},
    )
)
class ApiKeyViewSet(LockedViewSet):
    """Credentials of consumers, without what is secret of them."""

    # Fetched beside it, not joined: a lock is for the key alone.
    queryset = ApiKey.objects.prefetch_related("consumer")
    serializer_class = ApiKeySerializer
    lookup_value_regex = "[0-9]{1,18}"
    permissions = permissions_on(ApiKey, revoke=("change",), rotate=("add", "change"))
    filters = {
        "consumer": listing.text("consumer__name"),
        "enabled": listing.boolean("enabled"),
        "revoked": listing.Filter(
            "revoked_at__isnull",
            lambda value: not listing.read_boolean(value),
            {"type": "boolean"},
        ),
        "prefix": listing.text("prefix"),
        "expires_before": listing.moment("expires_at__lt"),
    }
    orders = ("created_at", "expires_at", "last_used_at", "name")

    def create(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        serializer = self.get_serializer(data=request.data)
        serializer.is_valid(raise_exception=True)
        fields = dict(serializer.validated_data)
        key, generated = ApiKey.objects.issue(
            fields.pop("consumer"), created_by=request.user.get_username(), **fields
        )
        return _issued(key, generated)

    @extend_schema(summary="Refuse it for good, from now on.", request=None)
    @action(detail=True, methods=["post"])
    def revoke(self, request: Request, pk: str) -> Response:
        with transaction.atomic():
            key = self.get_object()
            ApiKey.objects.filter(pk=key.pk).revoke()
            key.refresh_from_db()
        return Response(self.get_serializer(key).data)

    @extend_schema(
        summary="Issue a key in its place; it works for a while longer.",
        request=RotationSerializer,
        responses={201: IssuedKeySerializer},
    )
    @action(detail=True, methods=["post"])
    def rotate(self, request: Request, pk: str) -> Response:
        rotation = RotationSerializer(data=request.data)
        rotation.is_valid(raise_exception=True)
        grace = timedelta(seconds=rotation.validated_data["grace_seconds"])
        with transaction.atomic():
            key: ApiKey = self.get_object()
            if not key.is_usable(timezone.now()):
                detail = "It is refused already; issue a new key instead."
                raise Refusal(HTTPStatus.CONFLICT, "key_not_usable", detail)
            successor, generated = key.rotate(grace, request.user.get_username())
        return _issued(successor, generated)


def _issued(key: ApiKey, generated: GeneratedKey) -> Response:
    content = {"key": generated.text, **ApiKeySerializer(key).data}
    return Response(content, status=HTTPStatus.CREATED, headers={"Cache-Control": "no-store"})
