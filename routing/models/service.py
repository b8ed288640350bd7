"""Services and their instances: a backend, its addresses, and how it is called."""

from __future__ import annotations

from typing import Any, get_args

from django.db import models
from django.db.models import Q

from audit.tracking import TrackedModel
from routing import rows, table
from routing.document import (
    BalancerName,
    InstanceSpec,
    ServiceSpec,
    TimeoutSpec,
    TransportName,
)
from routing.models.resilience import RESILIENCE_CONSTRAINTS, ResilienceFields
from routing.shapes import Change

_TIMEOUT = TimeoutSpec()


class Service(ResilienceFields, TrackedModel):
    """A backend: where its instances are and how they are balanced, retried and guarded."""

    name = models.CharField(
        max_length=100,
        unique=True,
        help_text="Unique name that routes refer to: letters, digits, '.', '_' and '-'.",
    )
    balancer = models.CharField(
        max_length=20,
        choices=rows.choices_of(get_args(BalancerName)),
        default="round_robin",
        help_text="How an instance is chosen for a request.",
    )
    connect_timeout = models.FloatField(
        default=_TIMEOUT.connect, help_text="Seconds to wait for a connection to an instance."
    )
    first_byte_timeout = models.FloatField(
        null=True,
        blank=True,
        help_text="Seconds to wait for an answer to begin once the request is sent. Empty: those "
        "between two reads, or the total of a route that has its own.",
    )
    read_timeout = models.FloatField(
        default=_TIMEOUT.read, help_text="Seconds to wait between two reads of an answer."
    )
    total_timeout = models.FloatField(
        default=_TIMEOUT.total,
        help_text="Seconds for the whole exchange, retries included. A route may set its own.",
    )
    hash_by = models.CharField(
        max_length=120,
        default="caller",
        help_text="What consistent hash keeps together: caller, ip, header:Name or cookie:Name.",
    )
    sticky_cookie = models.CharField(
        max_length=100,
        blank=True,
        help_text="Name of a cookie that keeps a client with its instance. Empty: none.",
    )
    slow_start = models.FloatField(
        default=0.0,
        help_text="Seconds over which a new or revived instance comes to its full share.",
    )
    signed_identity = models.BooleanField(
        default=False,
        help_text="Send the caller as a signed token too, in X-Gateway-Identity. Needs an "
        "asymmetric JWT_ALGORITHM; without a key its routes are closed.",
    )

    transport = models.CharField(
        max_length=20,
        choices=rows.choices_of(get_args(TransportName)),
        default="default",
        help_text="What speaks to the instances: native HTTP/1.1; h2 for HTTP/2 and gRPC; httpx "
        "for whichever TLS agrees on. Default: what UPSTREAM_TRANSPORT says.",
    )
    tls_ca_file = models.CharField(
        "CA file",
        max_length=255,
        blank=True,
        help_text="PEM file of the authorities that are believed. Empty: the system's.",
    )
    tls_client_cert = models.CharField(
        "client certificate",
        max_length=255,
        blank=True,
        help_text="PEM file of the certificate the gateway shows. Empty: none.",
    )
    tls_client_key = models.CharField(
        "client key",
        max_length=255,
        blank=True,
        help_text="PEM file of its key, unencrypted. Empty: in the certificate's file.",
    )
    tls_server_name = models.CharField(
        "server name",
        max_length=253,
        blank=True,
        help_text="Name that is asked for (SNI) and verified. Empty: the instance's host.",
    )
    tls_verify = models.BooleanField(
        "verify",
        default=True,
        help_text="Off believes any certificate: whoever is on the way can read and change all.",
    )

    objects = rows.ConfigurationQuerySet.as_manager()

    class Meta:
        db_table = "services"
        ordering = ["name"]
        constraints = [
            rows.one_of("balancer", get_args(BalancerName), "services_balancer"),
            rows.one_of("transport", get_args(TransportName), "services_transport"),
            models.CheckConstraint(
                condition=rows.positive("connect_timeout", "read_timeout", "total_timeout"),
                name="services_timeouts",
            ),
            models.CheckConstraint(
                condition=rows.empty_or_positive("first_byte_timeout"), name="services_first_byte"
            ),
            models.CheckConstraint(condition=Q(slow_start__gte=0), name="services_slow_start"),
            *RESILIENCE_CONSTRAINTS,
        ]

    def __str__(self) -> str:
        return self.name

    def clean(self) -> None:
        """Compile the service without its instances, which answer for themselves."""
        rows.raise_by_field(rows.SERVICE, lambda: table.compile_service(self.name, self._spec()))

    def to_spec(self) -> ServiceSpec:
        """The service and its instances (ordered by URL) as the document has them.

        Raises ConfigurationError where a row holds what the document cannot.
        """
        stored = self.instances.all() if self.pk else ()
        ordered = sorted(stored, key=lambda instance: instance.url)
        return self._spec(instances=tuple(instance.to_spec() for instance in ordered))

    def fill(self, spec: ServiceSpec) -> list[Change]:
        """Lay *spec* onto this row, its instances excepted; not saved. Returns what changed."""
        return rows.SERVICE.write(self, spec)

    def _spec(self, **more: Any) -> ServiceSpec:
        return rows.SERVICE.read(self, f"services.{self.name}", **more)


class ServiceInstance(TrackedModel):
    """One address of a service."""

    service = models.ForeignKey(
        Service,
        on_delete=models.CASCADE,
        related_name="instances",
        help_text="The service this address belongs to.",
    )
    url = models.CharField(
        "URL",
        max_length=255,
        help_text="Origin of the instance: http://host:port or https://host:port.",
    )
    weight = models.PositiveSmallIntegerField(
        default=1, help_text="Share of requests, 0 to 1000. 0 drains the instance."
    )
    healthy = models.BooleanField(
        default=True, help_text="Off takes the instance out, whatever its health check says."
    )

    objects = rows.ConfigurationQuerySet.as_manager()

    class Meta:
        db_table = "service_instances"
        ordering = ["service", "url"]
        verbose_name = "instance"
        constraints = [
            models.UniqueConstraint(fields=["service", "url"], name="service_instances_url"),
            models.CheckConstraint(
                condition=Q(weight__gte=0, weight__lte=1000), name="service_instances_weight"
            ),
        ]

    def __str__(self) -> str:
        return self.url

    def clean(self) -> None:
        """Check the row alone and bring its URL into the one spelling that can be compared."""
        rows.raise_by_field(rows.INSTANCE, self._compile)

    def _compile(self) -> None:
        spec = self.to_spec()
        plan = table.compile_service("any", ServiceSpec(instances=(spec,)))
        address = plan.instances[0].address
        self.url = f"{address.scheme}://{address.authority.decode()}"

    def to_spec(self) -> InstanceSpec:
        """This row as the document has it. Raises ConfigurationError."""
        return rows.INSTANCE.read(self, f"instances.{self.url}")

    def fill(self, spec: InstanceSpec) -> list[Change]:
        """Lay *spec* onto this row; not saved. Returns what changed."""
        return rows.INSTANCE.write(self, spec)
