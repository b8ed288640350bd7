"""Each setting of Redis reaches its client."""

from __future__ import annotations

import dataclasses

from pytest_django import Settings as DjangoSettings

from gateway_project.redis_place import redis_place
from runtime.redis_place import Place


def test_a_cluster_has_settings_of_its_own(settings: DjangoSettings) -> None:
    gateway = dataclasses.replace(
        settings.GATEWAY,
        redis_url="redis://elsewhere:1",
        redis_cluster_enabled=True,
        redis_cluster_nodes=("a:1", "b:2"),
        redis_cluster_password="word",
        redis_cluster_socket_timeout=2.5,
        redis_cluster_max_connections=7,
    )
    assert Place(**redis_place(gateway)) == Place(
        cluster_nodes=("a:1", "b:2"), password="word", timeout=2.5, max_connections=7
    )


def test_a_host_makes_an_address(settings: DjangoSettings) -> None:
    gateway = dataclasses.replace(
        settings.GATEWAY,
        redis_host="here",
        redis_password="a/b",
        redis_timeout=0.3,
        redis_cluster_socket_timeout=2.5,
    )
    place = Place(**redis_place(gateway))
    assert (place.url, place.timeout) == ("redis://:a%2Fb@here:6379/0", 0.3)
