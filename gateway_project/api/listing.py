"""Pages, filters and orders of lists, by simple query parameters.

A parameter nobody knows is an error: a misspelt filter would otherwise answer with everything,
and a misspelt ``dry_run`` would apply.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from django.db.models import QuerySet
from django.utils.dateparse import parse_datetime
from rest_framework.exceptions import ValidationError
from rest_framework.filters import BaseFilterBackend
from rest_framework.pagination import PageNumberPagination
from rest_framework.request import Request
from rest_framework.views import APIView

_BOOLEANS = {"true": True, "1": True, "false": False, "0": False}


class Pages(PageNumberPagination):
    """``page`` and ``page_size``."""

    page_size = 100
    page_size_query_param = "page_size"
    max_page_size = 1000


@dataclass(frozen=True, slots=True)
class Filter:
    """A query parameter that narrows a list.

    ``lookup`` is Django's; ``read`` makes a value of the text and raises ValueError with what is
    allowed; ``schema`` is the value's JSON Schema.
    """

    lookup: str
    read: Callable[[str], Any]
    schema: dict[str, Any]


def text(lookup: str) -> Filter:
    """The value as it is."""
    return Filter(lookup, str, {"type": "string"})


def boolean(lookup: str) -> Filter:
    """``true`` or ``false``."""
    return Filter(lookup, read_boolean, {"type": "boolean"})


def moment(lookup: str) -> Filter:
    """A time in ISO 8601; UTC unless it says otherwise."""
    return Filter(lookup, _moment, {"type": "string", "format": "date-time"})


def choice(lookup: str, values: Iterable[str]) -> Filter:
    """One of a few words."""
    allowed = list(values)

    def read(value: str) -> str:
        if value not in allowed:
            raise ValueError(f"must be one of {', '.join(allowed)}")
        return value

    return Filter(lookup, read, {"type": "string", "enum": allowed})


def read_boolean(value: str) -> bool:
    """Raises ValueError for anything but true, false, 1 and 0."""
    if value.lower() not in _BOOLEANS:
        raise ValueError("must be true or false")
    return _BOOLEANS[value.lower()]


def known_parameters(request: Request, known: Iterable[str]) -> None:
    """Raise ValidationError for a query parameter that is not in *known*."""
    allowed = sorted(known)
    for name in request.query_params:
        if name not in allowed:
            listed = ", ".join(allowed) or "none"
            raise ValidationError({name: f"unknown parameter; known are {listed}"})


def flag(request: Request, name: str) -> bool:
    """A query parameter that is true or false; false when it is not given."""
    try:
        return read_boolean(request.query_params.get(name, "false"))
    except ValueError as error:
        raise ValidationError({name: str(error)}) from None


class QueryFilter(BaseFilterBackend):
    """Applies the view's ``filters`` and ``orders`` (names of fields; ``-`` reverses)."""

    def filter_queryset(
        self, request: Request, queryset: QuerySet[Any, Any], view: APIView
    ) -> QuerySet[Any, Any]:
        filters: dict[str, Filter] = getattr(view, "filters", {})
        known_parameters(request, (*filters, "ordering", "page", "page_size"))
        for name, one in filters.items():
            if name not in request.query_params:
                continue
            try:
                value = one.read(request.query_params[name])
            except ValueError as error:
                raise ValidationError({name: str(error)}) from None
            queryset = queryset.filter(**{one.lookup: value})
        return self._ordered(request, queryset, getattr(view, "orders", ()))

    def _ordered(
        self, request: Request, queryset: QuerySet[Any, Any], orders: tuple[str, ...]
    ) -> QuerySet[Any, Any]:
        wanted = request.query_params.get("ordering")
        if wanted is None:
            return queryset
        names = wanted.split(",")
        if not {name.removeprefix("-") for name in names} <= set(orders):
            raise ValidationError({"ordering": f"must be of {', '.join(orders)}; - reverses"})
        # The key last: pages of equal values must not overlap.
        return queryset.order_by(*names, "pk")

    def get_schema_operation_parameters(self, view: Any) -> list[dict[str, Any]]:
        """For the OpenAPI schema."""
        filters: dict[str, Filter] = getattr(view, "filters", {})
        parameters = [_parameter(name, one.schema) for name, one in filters.items()]
        if orders := getattr(view, "orders", ()):
            words = f"Fields separated by commas, - reverses: {', '.join(orders)}."
            parameters.append({**_parameter("ordering", {"type": "string"}), "description": words})
        return parameters


def _parameter(name: str, schema: dict[str, Any]) -> dict[str, Any]:
    return {"name": name, "in": "query", "required": False, "schema": schema}


def _moment(value: str) -> datetime:
    # A plus sign that was not escaped arrives as a space.
    parsed = parse_datetime(value.replace(" ", "+", 1) if "T" in value else value)
    if parsed is None:
        raise ValueError("must be a time in ISO 8601: 2030-01-31T12:00:00Z")
    return parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)
