"""Routes: which requests go to which service, and under which policies."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from django.db import models
from django.db.models import Q

from audit.tracking import TrackedModel
from routing import rows, table
from routing.document import LimitSpec, RouteSpec
from routing.models.service import Service
from routing.shapes import Change


class RouteQuerySet(rows.ConfigurationQuerySet["Route"]):
    """Routes, and what they match without reading all of them."""

    def what_is_matched(self) -> Iterator[RouteSpec]:
        """Every enabled route as far as it says which requests it takes; unchecked."""
        fields = ("name", "path", "hosts", "methods", "priority", "merge_slashes")
        for row in self.filter(enabled=True).values(*fields):
            lists = {name: tuple(row[name]) for name in ("hosts", "methods")}
            yield RouteSpec(service="", **{**row, **lists})


class Route(TrackedModel):
    """Requests of a path, sent to a service."""

    name = models.CharField(
        max_length=100,
        unique=True,
        help_text="Unique, shown in logs and metrics: letters, digits, '.', '_' and '-'.",
    )
    path = models.CharField(
        max_length=1024,
        help_text="Literal (/projects), with parameters (/projects/{id}), "
        "or a whole subtree (/projects/{rest:path}).",
    )
    hosts = models.JSONField(
        default=list,
        blank=True,
        help_text="Host names this route answers for (*.example.com too). Empty: every host.",
    )
    methods = models.JSONField(
        default=list, blank=True, help_text="HTTP methods this route answers. Empty: every method."
    )
    service = models.ForeignKey(
        Service,
        on_delete=models.PROTECT,
        related_name="routes",
        help_text="The service requests are sent to.",
    )
    strip_prefix = models.CharField(
        max_length=255, blank=True, help_text="Prefix taken off the path before it is sent: /api."
    )
    rewrite = models.CharField(
        max_length=1024,
        blank=True,
        help_text="Path sent instead, with the route's parameters: /v2/projects/{id}.",
    )
    auth_required = models.BooleanField(
        "authentication",
        default=True,
        help_text="Off makes the route public: no credential is asked for.",
    )
    auth_methods = models.JSONField(
        "credentials",
        default=list,
        blank=True,
        help_text="Kinds of credential accepted: jwt, api_key. Empty: all.",
    )
    timeout = models.FloatField(
        null=True,
        blank=True,
        help_text="Seconds for the whole exchange. Empty: the service's total timeout.",
    )
    priority = models.IntegerField(
        default=0, help_text="Where two routes match, the higher number wins."
    )
    enabled = models.BooleanField(default=True, help_text="Off: as if the route were not there.")
    max_body_bytes = models.PositiveBigIntegerField(
        "largest body",
        null=True,
        blank=True,
        help_text="Bytes a request body may have. Empty: the gateway's MAX_BODY_BYTES.",
    )
    merge_slashes = models.BooleanField(
        default=True, help_text="Treat // in a path as /. Off keeps it for matching and sending."
    )
    preserve_host = models.BooleanField(
        default=False, help_text="Send the client's Host header instead of the instance's."
    )
    forward_authorization = models.BooleanField(
        default=False,
        help_text="Pass the Authorization header on, even if the gateway used it.",
    )

    objects = RouteQuerySet.as_manager()

    class Meta:
        db_table = "routes"
        ordering = ["name"]
        constraints = [
            models.CheckConstraint(
                condition=Q(timeout__isnull=True) | Q(timeout__gt=0), name="routes_timeout"
            ),
            models.CheckConstraint(
                condition=Q(max_body_bytes__isnull=True)
                | Q(max_body_bytes__gte=0, max_body_bytes__lte=2**53),
                name="routes_max_body_bytes",
            ),
        ]

    def __str__(self) -> str:
        return self.name

    def clean(self) -> None:
        """Compile the route alone; its rate limits answer for themselves."""
        rows.raise_by_field(rows.ROUTE, lambda: table.compile_route(self.to_spec()))

    def to_spec(self, rate_limits: Iterable[LimitSpec] = ()) -> RouteSpec:
        """The route as the document has it, with the limits that ``quotas`` keeps for it.

        Raises ConfigurationError where the row holds what the document cannot.
        """
        service = self.service.name if self.service_id else ""
        return rows.ROUTE.read(
            self, f"routes.{self.name}", service=service, rate_limit=tuple(rate_limits)
        )

    def fill(self, spec: RouteSpec, service: Service) -> list[Change]:
        """Lay *spec* and *service* onto this row, its limits excepted; not saved.

        Returns what changed; the service by name.
        """
        changes = rows.ROUTE.write(self, spec)
        if self.service_id != service.pk:
            old = self.service.name if self.service_id else None
            changes.append(Change("service", old, service.name))
            self.service = service
        return changes
