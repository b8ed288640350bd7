"""What configuration rows have in common: their table of fields, their QuerySet, their errors.

:mod:`routing.shapes` does the converting; the tables stand here, next to each other. The model of
a rate limit (``quotas``) is a configuration row too and uses what is here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from django.core.exceptions import NON_FIELD_ERRORS, ValidationError
from django.db import models

from audit.tracking import ModelT, TrackedQuerySet, alters_data, queryset_only
from routing.document import InstanceSpec, LimitSpec, RouteSpec, ServiceSpec
from routing.errors import ConfigurationError
from routing.shapes import Shape
from routing.signals import configuration_changed


def _same(*names: str) -> dict[str, str]:
    return {name: name for name in names}


def _block(block: str, *names: str, prefix: str | None = None) -> dict[str, str]:
    return {f"{prefix or block}_{name}": f"{block}.{name}" for name in names}


INSTANCE = Shape(InstanceSpec, _same("url", "weight", "healthy"))

SERVICE = Shape(
    ServiceSpec,
    {
        "balancer": "balancer",
        "signed_identity": "signed_identity",
        "connect_timeout": "timeout.connect",
        "first_byte_timeout": "timeout.first_byte",
        "read_timeout": "timeout.read",
        "total_timeout": "timeout.total",
        **_same("hash_by", "sticky_cookie", "slow_start", "transport"),
        **_block("tls", "ca_file", "client_cert", "client_key", "server_name", "verify"),
        **_block("retry", "attempts", "backoff", "max_backoff", "on", "methods", "budget"),
        **_block("retry", "idempotency_key", "hedge_after"),
        **_block(
            "breaker",
            "failure_threshold",
            "failure_ratio",
            "min_requests",
            "window",
            "recovery",
            "half_open_requests",
            "scope",
            "failures",
            "slow_seconds",
            "slow_ratio",
        ),
        **_block("health_check", "path", "interval", "timeout", "unhealthy_after", "healthy_after"),
        **_block("health_check", "type", "expect"),
        **_block("ejection", "max_share", "when_all"),
        **_block(
            "overload", "max_requests", "max_requests_per_instance", "max_queued", "queue_timeout"
        ),
        **_block("overload", "adaptive", "tolerance"),
    },
    blocks={"breaker": "breaker_enabled", "health_check": "health_check_enabled"},
    key="name",
)

ROUTE = Shape(
    RouteSpec,
    {
        **_same("name", "path", "hosts", "methods", "strip_prefix", "rewrite", "auth_required"),
        "auth_methods": "auth.methods",
        **_same("timeout", "priority", "enabled", "max_body_bytes"),
        **_same("merge_slashes", "preserve_host", "forward_authorization"),
    },
    blocks={"auth": "auth_methods"},
)

LIMIT = Shape(LimitSpec, _same("limit", "per", "burst", "by", "mode", "on_store_failure", "cost"))


class ConfigurationQuerySet(TrackedQuerySet[ModelT]):
    """Sends ``configuration_changed`` once for each call that writes rows without ``save()``."""

    @alters_data
    def update(self, **kwargs: Any) -> int:
        changed = super().update(**kwargs)
        if changed:
            self._announce()
        return changed

    @queryset_only
    @alters_data
    def delete(self) -> tuple[int, dict[str, int]]:
        deleted, by_model = super().delete()
        if deleted:
            self._announce()
        return deleted, by_model

    def bulk_create(self, objs: Iterable[ModelT], *args: Any, **kwargs: Any) -> list[ModelT]:
        created = super().bulk_create(objs, *args, **kwargs)
        if created:
            self._announce()
        return created

    def _announce(self) -> None:
        configuration_changed.send(sender=self.model, using=self.db)


def raise_by_field(shape: Shape[Any], check: Callable[[], object]) -> None:
    """Run *check* and turn its faults into a ValidationError by field of the row.

    The place of the row in a list of the document (``instances[0].url``) is left out.
    """
    try:
        check()
    except ConfigurationError as error:
        reasons: dict[str, list[str]] = {}
        for fault in error.faults:
            field = shape.field_of(fault.field) or NON_FIELD_ERRORS
            reasons.setdefault(field, []).append(fault.reason)
        raise ValidationError(reasons) from error


def choices_of(values: Iterable[str]) -> list[tuple[str, str]]:
    """Choices of a field from the document's own list of values."""
    return [(value, value.replace("_", " ")) for value in values]


def one_of(field: str, values: Iterable[str], name: str) -> models.CheckConstraint:
    """The same list as a constraint of the database."""
    return models.CheckConstraint(condition=models.Q(**{f"{field}__in": list(values)}), name=name)


def positive(*names: str) -> models.Q:
    """Each of these fields is above zero."""
    condition = models.Q()
    for name in names:
        condition &= models.Q(**{f"{name}__gt": 0})
    return condition


def is_share(*names: str) -> models.Q:
    """Each of these fields is above 0, up to 1."""
    bounds = {f"{name}__{bound}": int(bound == "lte") for name in names for bound in ("gt", "lte")}
    return models.Q(**bounds)


def empty_or_positive(*names: str) -> models.Q:
    """Each of these fields is null or above zero."""
    condition = models.Q()
    for name in names:
        condition &= models.Q(**{f"{name}__isnull": True}) | models.Q(**{f"{name}__gt": 0})
    return condition
