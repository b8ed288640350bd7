"""Where upstreams may be, when saved and when connected to."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from routing.address_rules import AddressRules, address_rules
from routing.document import InstanceSpec, ServiceSpec
from routing.errors import ConfigurationError
from routing.table import compile_service
from runtime.networks import parse_networks


def rules(*allowed: str, denied: tuple[str, ...] = ("169.254.0.0/16",)) -> AddressRules:
    return AddressRules(parse_networks(denied), parse_networks(allowed))


@pytest.mark.parametrize(
    "address",
    [
        "169.254.169.254",
        "169.254.0.1",
        "100.100.100.200",
        "168.63.129.16",
        "::ffff:169.254.169.254",
        "64:ff9b::a9fe:a9fe",
        "2002:a9fe:a9fe::",
        "fe80::1",
        "fe80::1%eth0",
        "febf::1",
        "fd00:ec2::254",
        "fd20:ce::254",
        "0.0.0.0",
        "::",
        "::ffff:0.0.0.0",
    ],
)
def test_machine_credentials_are_out_of_reach_by_default(address: str) -> None:
    assert not address_rules().permits(address)


@pytest.mark.parametrize("address", ["127.0.0.1", "::1", "10.0.0.1", "64:ff9b::a00:1", "8.8.8.8"])
def test_everything_else_is_within_reach_by_default(address: str) -> None:
    assert address_rules().permits(address)


@pytest.mark.parametrize(
    ("address", "permitted"),
    [
        ("10.1.2.3", True),
        ("::ffff:10.1.2.3", True),
        ("64:ff9b::a01:203", True),
        ("fd12::1", True),
        ("11.0.0.1", False),
        ("127.0.0.1", False),
        ("::1", False),
        ("10.9.0.1", False),
    ],
)
def test_where_networks_are_allowed_nothing_else_is(address: str, permitted: bool) -> None:
    some = rules("10.0.0.0/8", "fd12::/16", denied=("10.9.0.0/16",))
    assert some.permits(address) is permitted


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("http://169.254.169.254", "UPSTREAM_DENIED_NETWORKS"),
        ("http://[64:ff9b::a9fe:a9fe]", "UPSTREAM_DENIED_NETWORKS"),
        ("http://[fe80::1]", "UPSTREAM_DENIED_NETWORKS"),
        ("http://0.0.0.0:9000", "unspecified"),
        ("http://[::]", "unspecified"),
        ("http://metadata.google.internal", "metadata"),
        ("http://127.0.0.1:8765", "this gateway"),
        ("http://127.9.9.9:8765", "this gateway"),
        ("http://[::1]:8765", "this gateway"),
        ("http://LocalHost:8765", "this gateway"),
        ("http://127.0.0.1:8766", "this gateway"),
    ],
)
def test_an_address_that_is_not_allowed_is_refused_when_it_is_saved(
    settings: Any, url: str, reason: str
) -> None:
    settings.GATEWAY = replace(settings.GATEWAY, port=8765, admin_port=8766)
    with pytest.raises(ConfigurationError) as refusal:
        compile_service("a", ServiceSpec(instances=(InstanceSpec(url=url),)))
    [fault] = refusal.value.faults
    assert fault.field == "instances[0].url"
    assert reason in fault.reason


def test_an_operator_may_allow_what_is_denied_by_default(settings: Any) -> None:
    settings.GATEWAY = replace(settings.GATEWAY, upstream_denied_networks=())
    for url in ("http://169.254.169.254", "http://metadata.google.internal"):
        compile_service("a", ServiceSpec(instances=(InstanceSpec(url=url),)))


def test_another_machine_may_have_a_port_of_ours(settings: Any) -> None:
    settings.GATEWAY = replace(settings.GATEWAY, port=8765)
    for url in ("http://10.0.0.1:8765", "http://other:8765", "http://127.0.0.1:8764"):
        compile_service("a", ServiceSpec(instances=(InstanceSpec(url=url),)))


def test_the_control_plane_is_where_no_other_service_may_be(settings: Any) -> None:
    settings.GATEWAY = replace(
        settings.GATEWAY, admin_port=8766, upstream_denied_networks=("127.0.0.0/8",)
    )
    spec = ServiceSpec(instances=(InstanceSpec(url="http://127.0.0.1:8766"),))
    [instance] = compile_service("own", spec, own=True).instances
    assert not instance.link.guarded
