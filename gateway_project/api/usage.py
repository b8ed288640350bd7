"""``/usage/`` and ``/plans/``: what was used of limits, and the quotas consumers have.

Reports are those of the admin's pages (:mod:`quotas.reports`).
"""

from __future__ import annotations

from collections.abc import Iterable
from http import HTTPStatus
from typing import Any, ClassVar

from django.db import transaction
from django.db.models import ProtectedError
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import serializers
from rest_framework.decorators import action
from rest_framework.exceptions import ValidationError
from rest_framework.request import Request
from rest_framework.response import Response

from gateway_project.api import listing
from gateway_project.api.access import ActionView, permissions_on
from gateway_project.api.callers import LockedViewSet
from gateway_project.api.problems import Refusal
from gateway_project.api.schema import ApiSchema
from gateway_project.api.serializers import ModelSerializer
from keys.models import Consumer
from quotas import reports
from quotas.models import Plan, PlanMembership, RateLimitRollup


class _SumsSerializer(serializers.Serializer[Any]):
    allowed = serializers.IntegerField()
    refused = serializers.IntegerField()
    would_refuse = serializers.IntegerField()


class _PointSerializer(_SumsSerializer):
    window_start = serializers.DateTimeField()


class _CallerSerializer(_SumsSerializer):
    identifier = serializers.CharField()


class _RouteSerializer(_SumsSerializer):
    route = serializers.CharField()


class _RefusalSerializer(_CallerSerializer, _RouteSerializer):
    pass


class UsageSerializer(serializers.Serializer[Any]):
    """A period: its sums, over time, by caller and by route, and what was refused."""

    totals = _SumsSerializer()
    over_time = _PointSerializer(many=True)
    callers = _CallerSerializer(many=True)
    routes = _RouteSerializer(many=True)
    refusals = _RefusalSerializer(many=True)


class QuotaUseSerializer(serializers.Serializer[Any]):
    """How far a consumer has used a quota."""

    consumer = serializers.CharField()
    plan = serializers.CharField()
    window = serializers.ChoiceField(["day", "month"])
    used = serializers.IntegerField()
    quota = serializers.IntegerField()
    percent = serializers.IntegerField()


class NearLimitsSerializer(serializers.Serializer[Any]):
    """The quotas that are nearly used."""

    quotas = QuotaUseSerializer(many=True)


class UsageViewSet(ActionView):
    """What was used of limits."""

    schema = ApiSchema()
    permissions: ClassVar[dict[str, tuple[str, ...]]] = permissions_on(
        RateLimitRollup, near_limits=("view",)
    )

    @extend_schema(
        summary="Usage of a period that ends today (UTC).",
        parameters=[
            OpenApiParameter("period", str, enum=list(reports.PERIODS), default="7d"),
            OpenApiParameter("caller", str, description="Of one caller: `consumer:acme`."),
            OpenApiParameter("route", str, description="Of one route."),
        ],
        responses={200: UsageSerializer},
    )
    def list(self, request: Request) -> Response:
        listing.known_parameters(request, ("period", "caller", "route"))
        query = request.query_params
        period = query.get("period", "7d")
        if period not in reports.PERIODS:
            raise ValidationError({"period": f"must be one of {', '.join(reports.PERIODS)}"})
        question = reports.ask(period, query.get("caller", ""), query.get("route", ""))
        return Response(UsageSerializer(reports.report(question)).data)

    @extend_schema(
        summary="Quotas of plans that are used to 80 % or more, the most used first.",
        responses={200: NearLimitsSerializer},
    )
    @action(detail=False, url_path="near-limits")
    def near_limits(self, request: Request) -> Response:
        listing.known_parameters(request, ())
        return Response(NearLimitsSerializer({"quotas": reports.near_limits()}).data)


class _Members(serializers.ListField):
    """The consumers of a plan, read through its memberships."""

    def get_attribute(self, instance: Plan) -> list[Consumer]:
        members = (one.consumer for one in instance.memberships.all())
        return sorted(members, key=lambda consumer: consumer.name)


class PlanSerializer(ModelSerializer[Plan]):
    """A plan with the names of its consumers. Who is named leaves the plan it was in."""

    consumers = _Members(
        child=serializers.SlugRelatedField(slug_field="name", queryset=Consumer.objects.all()),
        required=False,
        max_length=10_000,
    )

    class Meta:
        model = Plan
        fields = ["name", "description", "daily", "monthly", "consumers"]

    def create(self, validated_data: dict[str, Any]) -> Plan:
        consumers = validated_data.pop("consumers", [])
        plan = super().create(validated_data)
        _fill(plan, consumers)
        return plan

    def update(self, instance: Plan, validated_data: dict[str, Any]) -> Plan:
        consumers = validated_data.pop("consumers", None)
        plan = super().update(instance, validated_data)
        if consumers is not None:
            _fill(plan, consumers)
        return Plan.objects.get(pk=plan.pk)


def _fill(plan: Plan, consumers: Iterable[Consumer]) -> None:
    wanted = {consumer.pk: consumer for consumer in consumers}
    for membership in plan.memberships.exclude(consumer_id__in=wanted):
        membership.delete()
    for consumer in wanted.values():
        PlanMembership.objects.update_or_create(consumer=consumer, defaults={"plan": plan})


class PlanViewSet(LockedViewSet):
    """Daily and monthly quotas that consumers have."""

    queryset = Plan.objects.prefetch_related("memberships__consumer")
    serializer_class = PlanSerializer
    lookup_field = "name"
    lookup_value_regex = ".+?"  # a name may hold a slash
    # Who is in a plan is a part of it.
    permissions = permissions_on(Plan)
    filters = {"consumer": listing.text("memberships__consumer__name")}
    orders = ("name",)

    @transaction.atomic
    def create(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        return super().create(request, *args, **kwargs)

    def destroy(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        try:
            return super().destroy(request, *args, **kwargs)
        except ProtectedError:
            detail = "Consumers are in it; take them out first."
            raise Refusal(HTTPStatus.CONFLICT, "in_use", detail) from None
