"""``/consumer-limits/``: limits of consumers over all routes.

Those of a route are a part of it (``/routes/``), those of everybody a part of the document
(``/apply/``); all are rows of one table. A change reaches the workers as changes of keys do.
"""

from __future__ import annotations

from typing import get_args

from rest_framework import serializers

from gateway_project.api import listing
from gateway_project.api.access import permissions_on
from gateway_project.api.callers import LockedViewSet
from gateway_project.api.serializers import ModelSerializer
from keys.models import Consumer
from quotas.models import RateLimit
from routing.document import LimitMode, Period


class ConsumerLimitSerializer(ModelSerializer[RateLimit]):
    """A limit of one consumer."""

    consumer = serializers.SlugRelatedField(slug_field="name", queryset=Consumer.objects.all())

    class Meta:
        model = RateLimit
        fields = [
            "id",
            "consumer",
            "limit",
            "per",
            "burst",
            "by",
            "cost",
            "mode",
            "on_store_failure",
            "override",
        ]

    def validate_consumer(self, consumer: Consumer) -> Consumer:
        """A limit stays with the consumer it was made for."""
        if isinstance(self.instance, RateLimit) and self.instance.consumer_id != consumer.pk:
            raise serializers.ValidationError("cannot be changed; add another limit")
        return consumer


class ConsumerLimitViewSet(LockedViewSet):
    """Limits on what one consumer may use of all routes together."""

    # Fetched beside it, not joined: a lock is for the limit alone.
    queryset = RateLimit.objects.filter(consumer__isnull=False).prefetch_related("consumer")
    serializer_class = ConsumerLimitSerializer
    lookup_value_regex = "[0-9]{1,18}"
    permissions = permissions_on(RateLimit)
    filters = {
        "consumer": listing.text("consumer__name"),
        "per": listing.choice("per", get_args(Period)),
        "mode": listing.choice("mode", get_args(LimitMode)),
        "override": listing.boolean("override"),
    }
    orders = ("consumer", "limit")
