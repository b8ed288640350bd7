"""Rows as JSON. Rules stand on the models; a serializer names fields and hands rules on.

Services and routes have no fields here: their shape is the document's, and their serializers only
carry its name into the OpenAPI schema.
"""

from __future__ import annotations

import json
from copy import copy
from typing import Any, TypeVar

from django.core.exceptions import ValidationError as ModelError
from django.db import models
from django.utils import timezone
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from audit.models import AuditEntry
from keys.models import ApiKey, Consumer
from proxying.models import BreakerState
from quotas.models import RateLimitRecord
from routing.difference import Action
from routing.document import RouteSpec, ServiceSpec
from routing.models import Revision

ModelT = TypeVar("ModelT", bound=models.Model)

LONGEST_GRACE = 30 * 24 * 3600
"""Seconds a rotated key may still work."""


@extend_schema_field({"type": "array", "items": {"type": "string"}})
class Texts(serializers.JSONField):
    """A list of texts; the model's validators say which."""


class Closed(serializers.Serializer[Any]):
    """Refuses keys it does not know."""

    def to_internal_value(self, data: Any) -> Any:
        if isinstance(data, dict) and (unknown := [key for key in data if key not in self.fields]):
            known = ", ".join(self.fields)
            raise serializers.ValidationError(
                dict.fromkeys(unknown, f"unknown key; known are {known}")
            )
        return super().to_internal_value(data)


class ModelSerializer(Closed, serializers.ModelSerializer[ModelT]):
    """A row that its model's ``full_clean()`` judges."""

    serializer_field_mapping = {
        **serializers.ModelSerializer.serializer_field_mapping,
        models.JSONField: Texts,
    }

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        """Fill a copy of the row and clean it; the real one is not touched before it is saved."""
        model: Any = self.Meta.model
        row: models.Model = model() if self.instance is None else copy(self.instance)
        for name, value in attrs.items():
            setattr(row, name, value)
        written = {field.source for field in self._writable_fields}
        try:
            row.full_clean(exclude={field.name for field in row._meta.fields} - written)
        except ModelError as error:
            raise serializers.ValidationError(error.message_dict) from None
        return attrs


class ConsumerSerializer(ModelSerializer[Consumer]):
    class Meta:
        model = Consumer
        fields = [
            "name",
            "description",
            "enabled",
            "roles",
            "permissions",
            "created_at",
            "updated_at",
        ]
        read_only_fields = ["created_at", "updated_at"]


class ApiKeySerializer(ModelSerializer[ApiKey]):
    """Everything of a key but its digest; its text is not stored."""

    consumer = serializers.SlugRelatedField(slug_field="name", queryset=Consumer.objects.all())
    usable = serializers.SerializerMethodField(help_text="Whether it is accepted now.")

    class Meta:
        model = ApiKey
        fields = [
            "id",
            "consumer",
            "name",
            "prefix",
            "usable",
            "roles",
            "permissions",
            "enabled",
            "expires_at",
            "revoked_at",
            "allowed_routes",
            "allowed_networks",
            "created_by",
            "created_at",
            "last_used_at",
            "rotated_from",
            "grace_until",
        ]
        read_only_fields = [
            "prefix",
            "revoked_at",
            "created_by",
            "last_used_at",
            "rotated_from",
            "grace_until",
        ]

    def get_usable(self, key: ApiKey) -> bool:
        return key.is_usable(timezone.now())

    def validate_consumer(self, consumer: Consumer) -> Consumer:
        """A key stays with the consumer it was made for."""
        if isinstance(self.instance, ApiKey) and self.instance.consumer_id != consumer.pk:
            raise serializers.ValidationError("cannot be changed; issue another key")
        return consumer


class IssuedKeySerializer(ApiKeySerializer):
    """A new key with its text, which is said this once."""

    key = serializers.CharField(read_only=True, help_text="The key itself. Not shown again.")

    class Meta(ApiKeySerializer.Meta):
        fields = ["key", *ApiKeySerializer.Meta.fields]


class RotationSerializer(Closed):
    """How long the old key works beside the new one."""

    grace_seconds = serializers.IntegerField(
        min_value=0, max_value=LONGEST_GRACE, default=24 * 3600, help_text="Seconds."
    )


class RevisionSerializer(serializers.ModelSerializer[Revision]):
    class Meta:
        model = Revision
        fields = [
            "number",
            "sha256",
            "created_at",
            "created_by",
            "source",
            "comment",
            "faults",
        ]


class FullRevisionSerializer(RevisionSerializer):
    """With the document, as it was published."""

    document = serializers.SerializerMethodField()

    class Meta(RevisionSerializer.Meta):
        fields = [*RevisionSerializer.Meta.fields, "document"]

    @extend_schema_field({"type": "object", "additionalProperties": True})
    def get_document(self, row: Revision) -> Any:
        return json.loads(row.document)


class BreakerStateSerializer(serializers.ModelSerializer[BreakerState]):
    class Meta:
        model = BreakerState
        fields = [
            "service",
            "instance",
            "node",
            "state",
            "reason",
            "failures",
            "changed_at",
            "reported_at",
        ]


class RateLimitRecordSerializer(serializers.ModelSerializer[RateLimitRecord]):
    class Meta:
        model = RateLimitRecord
        fields = [
            "identifier",
            "window_type",
            "window_start",
            "route",
            "node",
            "allowed",
            "refused",
            "would_refuse",
            "first_at",
            "last_at",
        ]


class AuditEntrySerializer(serializers.ModelSerializer[AuditEntry]):
    class Meta:
        model = AuditEntry
        fields = [
            "id",
            "at",
            "actor",
            "actor_type",
            "action",
            "object_type",
            "object_id",
            "object_name",
            "changes",
            "request_id",
            "client_ip",
            "outcome",
        ]


class ServiceSerializer(serializers.Serializer[Any]):
    """A service in the document's shape."""

    spec = ServiceSpec


class RouteSerializer(serializers.Serializer[Any]):
    """A route in the document's shape."""

    spec = RouteSpec


class DocumentSerializer(serializers.Serializer[Any]):
    """What a configuration file holds."""


class ChangeSerializer(serializers.Serializer[Any]):
    """One object; ``fields`` maps paths to old and new values."""

    action = serializers.ChoiceField(choices=[action.name.lower() for action in Action])
    kind = serializers.CharField(help_text="What it is: service, route, limits.")
    name = serializers.CharField()

    def get_fields(self) -> dict[str, serializers.Field[Any, Any, Any, Any]]:
        """``fields`` is added here: as an attribute it would hide the serializer's own."""
        return {**super().get_fields(), "fields": serializers.DictField()}


class FieldErrorSerializer(serializers.Serializer[Any]):
    field = serializers.CharField(help_text="Path in what was sent.")
    reason = serializers.CharField(help_text="What is wrong and what is allowed.")


class DiffSerializer(serializers.Serializer[Any]):
    """What a document changes, and the revision it was published as."""

    revision = serializers.IntegerField(allow_null=True)
    dry_run = serializers.BooleanField()
    changes = serializers.ListField(child=ChangeSerializer())
    warnings = serializers.ListField(
        child=FieldErrorSerializer(), help_text="What is allowed and yet hardly meant."
    )


class ProblemSerializer(serializers.Serializer[Any]):
    """An error (RFC 9457)."""

    type = serializers.CharField()
    title = serializers.CharField()
    status = serializers.IntegerField()
    detail = serializers.CharField()
    code = serializers.CharField()
    request_id = serializers.CharField(required=False)

    def get_fields(self) -> dict[str, serializers.Field[Any, Any, Any, Any]]:
        """``errors`` is added here: as an attribute it would hide the serializer's own."""
        listed = serializers.ListField(child=FieldErrorSerializer(), required=False)
        return {**super().get_fields(), "errors": listed}
