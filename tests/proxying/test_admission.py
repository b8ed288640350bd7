"""What a request must be before anything looks at its path."""

from __future__ import annotations

import pytest

from proxying.admission import Bounds, admit
from proxying.errors import BadRequest, LoopDetected, MethodNotAllowed
from proxying.exchange import EMPTY, Exchange, Headers
from routing.errors import BadPath
from runtime.networks import parse_networks

BOUNDS = Bounds(target=100, header_block=500, trusted_proxies=parse_networks(["10.0.0.0/8"]))
HOST = (b"host", b"Api.Example.com.:8443")


def exchange(
    *headers: tuple[bytes, bytes],
    target: bytes = b"/a",
    method: str = "GET",
    peer: str = "192.0.2.1",
) -> Exchange:
    given: Headers = list(headers) or [HOST]
    return Exchange(method, target, None, given, EMPTY, peer)


def refusal(refused: Exchange) -> tuple[int, str]:
    with pytest.raises(BadRequest) as caught:
        admit(refused, BOUNDS)
    return caught.value.status, caught.value.code


def test_the_host_is_compared_without_case_port_and_final_dot() -> None:
    admitted = exchange(HOST)
    admit(admitted, BOUNDS)
    assert (admitted.host, admitted.authority) == ("api.example.com", HOST[1])


@pytest.mark.parametrize(
    "hosts", [[], [b"a", b"b"], [b""], [b"a b"], [b"a/b"], [b"a@b"], [b"a:99999"]]
)
def test_a_request_without_one_valid_host_is_400(hosts: list[bytes]) -> None:
    headers = [(b"host", value) for value in hosts] or [(b"accept", b"*/*")]
    assert refusal(exchange(*headers)) == (400, "bad_request")


def test_http_1_0_may_come_without_host() -> None:
    old = exchange((b"accept", b"*/*"))
    old.version = b"1.0"
    admit(old, BOUNDS)
    assert old.host == ""


def test_too_long_a_target_is_414() -> None:
    assert refusal(exchange(HOST, target=b"/" + b"a" * 100)) == (414, "uri_too_long")


def test_too_large_a_header_block_is_431() -> None:
    assert refusal(exchange(HOST, (b"x", b"y" * 500))) == (431, "headers_too_large")


def test_too_many_header_lines_are_431() -> None:
    many = [(b"a", b"") for _ in range(101)]
    assert refusal(exchange(HOST, *many)) == (431, "headers_too_large")


def test_an_unknown_expectation_is_417() -> None:
    assert refusal(exchange(HOST, (b"expect", b"200-ok"))) == (417, "expectation_failed")


@pytest.mark.parametrize("method", ["TRACE", "CONNECT"])
def test_methods_that_are_never_forwarded_are_405(method: str) -> None:
    with pytest.raises(MethodNotAllowed):
        admit(exchange(method=method), BOUNDS)


def test_a_path_without_one_form_is_refused_but_has_an_id() -> None:
    refused = exchange(HOST, (b"x-request-id", b"mine"), target=b"/%")
    with pytest.raises(BadPath):
        admit(refused, BOUNDS)
    assert refused.request_id == b"mine"


def test_a_loop_is_refused() -> None:
    with pytest.raises(LoopDetected):
        admit(exchange(HOST, (b"via", b"1.1 gateway")), BOUNDS)


@pytest.mark.parametrize(
    ("peer", "client"), [("10.1.2.3", "203.0.113.7"), ("192.0.2.1", "192.0.2.1")]
)
def test_the_client_is_the_rightmost_address_nobody_trusts(peer: str, client: str) -> None:
    admitted = exchange(HOST, (b"x-forwarded-for", b"6.6.6.6, 203.0.113.7"), peer=peer)
    admit(admitted, BOUNDS)
    assert admitted.client == client


def test_ids_made_here_differ() -> None:
    first, second = exchange(), exchange()
    admit(first, BOUNDS)
    admit(second, BOUNDS)
    assert first.request_id != second.request_id
