"""Who the client is, and which networks an address lies in."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.networks import client_address, contains, limit_key, parse_address, parse_networks

PROXIES = parse_networks(["10.0.0.0/8", "fd00::/8"])
addresses = st.ip_addresses()


@pytest.mark.parametrize(
    "text",
    ["", "10.0.0.1/8", "10.0.0.0/33", "ten", "010.0.0.1", "fe80::1%eth0", "10.0.0.0/8,::/0", "1"],
)
def test_a_bad_network_is_refused_by_name(text: str) -> None:
    with pytest.raises(ValueError, match=repr(text)):
        parse_networks([text])


@pytest.mark.parametrize(
    ("network", "address", "inside"),
    [
        ("10.0.0.0/8", "10.255.0.1", True),
        ("10.0.0.0/8", "11.0.0.1", False),
        ("10.0.0.0/8", "::ffff:10.1.2.3", True),
        ("::ffff:10.0.0.0/104", "10.1.2.3", True),
        ("::ffff:10.0.0.0/104", "11.1.2.3", False),
        ("192.0.2.7", "192.0.2.7", True),
        ("2001:db8::/32", "2001:db8::1", True),
        ("fe80::/10", "fe80::1%eth0", True),
        ("0.0.0.0/0", "2001:db8::1", False),
        ("::/0", "192.0.2.7", False),
        ("0.0.0.0/0", "", False),
        ("0.0.0.0/0", "unix:/run/x", False),
        ("0.0.0.0/0", "2130706433", False),
    ],
)
def test_containment(network: str, address: str, inside: bool) -> None:
    assert contains(parse_networks([network]), address) is inside


@pytest.mark.parametrize(
    ("peer", "forwarded", "client"),
    [
        ("198.51.100.1", [b"1.1.1.1"], "198.51.100.1"),
        ("10.0.0.1", [], "10.0.0.1"),
        ("10.0.0.1", [b"203.0.113.9"], "203.0.113.9"),
        ("::ffff:10.0.0.1", [b"203.0.113.9"], "203.0.113.9"),
        ("10.0.0.1", [b"1.1.1.1, 203.0.113.9, 10.0.0.2"], "203.0.113.9"),
        ("10.0.0.1", [b"1.1.1.1", b"203.0.113.9,10.0.0.2"], "203.0.113.9"),
        ("10.0.0.1", [b"10.0.0.3, 10.0.0.2"], "10.0.0.3"),
        ("10.0.0.1", [b"1.1.1.1, unknown, 10.0.0.2"], "10.0.0.2"),
        ("10.0.0.1", [b"1.1.1.1, "], "10.0.0.1"),
        ("10.0.0.1", [b"203.0.113.9:4711"], "203.0.113.9"),
        ("fd00::1", [b"[2001:db8::9]:4711"], "2001:db8::9"),
        ("fd00::1", [b"2001:DB8::9"], "2001:db8::9"),
        ("10.0.0.1", [b"\xff\x00"], "10.0.0.1"),
        ("", [b"203.0.113.9"], ""),
    ],
)
def test_the_client_is_the_rightmost_address_that_is_no_trusted_proxy(
    peer: str, forwarded: list[bytes], client: str
) -> None:
    assert client_address(peer, forwarded, PROXIES) == client


def test_without_trusted_proxies_nothing_forwarded_is_believed() -> None:
    assert client_address("10.0.0.1", [b"1.1.1.1"], ()) == "10.0.0.1"


@pytest.mark.parametrize(
    "forwarded",
    [
        [b"203.0.113.9," + b"10.0.0.2," * 10_000 + b"10.0.0.2"],
        [b"203.0.113.9", *[b"10.0.0.2"] * 100],
    ],
)
def test_an_endless_list_of_proxies_is_read_for_a_bounded_number_of_hops(
    forwarded: list[bytes],
) -> None:
    assert client_address("10.0.0.1", forwarded, PROXIES) == "10.0.0.2"


@given(addresses, st.lists(st.binary(max_size=30), max_size=3))
def test_an_untrusted_peer_is_the_client_whatever_it_claims(
    peer: IPv4Address | IPv6Address, forwarded: list[bytes]
) -> None:
    text = str(peer)
    if not contains(PROXIES, text):
        assert client_address(text, forwarded, PROXIES) == str(parse_address(text))


@given(st.text(max_size=80))
def test_any_text_is_an_address_or_none(text: str) -> None:
    parsed = parse_address(text)
    assert parsed is None or parse_address(str(parsed)) == parsed


@pytest.mark.parametrize(
    ("address", "key"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("", ""),
    ],
)
def test_limits_count_ipv6_by_its_64_bit_network(address: str, key: str) -> None:
    assert limit_key(address) == key
