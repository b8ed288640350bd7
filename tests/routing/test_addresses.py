"""Instance URLs: one spelling, no credentials, no metadata services."""

from __future__ import annotations

import pytest

from routing.addresses import Address, AddressError, parse_instance_url


@pytest.mark.parametrize(
    ("url", "address"),
    [
        ("http://127.0.0.1:9001", Address("http", "127.0.0.1", 9001, b"127.0.0.1:9001")),
        ("http://example.com", Address("http", "example.com", 80, b"example.com")),
        ("http://example.com:80/", Address("http", "example.com", 80, b"example.com")),
        ("https://example.com", Address("https", "example.com", 443, b"example.com")),
        ("https://example.com:80", Address("https", "example.com", 80, b"example.com:80")),
        ("HTTP://Example.COM", Address("http", "example.com", 80, b"example.com")),
        ("http://my_app-1.web_1:65535", Address("http", "my_app-1.web_1", 65535,
                                                b"my_app-1.web_1:65535")),
        ("http://xn--bcher-kva.example", Address("http", "xn--bcher-kva.example", 80,
                                                 b"xn--bcher-kva.example")),
        ("http://[::1]:8080", Address("http", "::1", 8080, b"[::1]:8080")),
        ("http://[2001:DB8:0::1]", Address("http", "2001:db8::1", 80, b"[2001:db8::1]")),
        ("http://10.0.0.1.example", Address("http", "10.0.0.1.example", 80, b"10.0.0.1.example")),
    ],
)  # fmt: skip
def test_an_origin_is_taken_apart(url: str, address: Address) -> None:
    assert parse_instance_url(url) == address


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("", "http://"),
        ("example.com", "http://"),
        ("example.com:80", "http://"),
        ("//example.com", "http://"),
        ("ftp://example.com", "http://"),
        ("unix:///run/x.sock", "http://"),
        ("http:/example.com", "http://"),
        ("http://", "host is required"),
        ("http:///", "host is required"),
        ("http://:80", "host is required"),
        ("http://user@example.com", "user name"),
        ("http://user:secret@example.com", "user name"),
        ("http://example.com@", "user name"),
        ("http://example.com/api", "no path"),
        ("http://example.com//", "no path"),
        ("http://example.com?", "no path"),
        ("http://example.com?x=1", "no path"),
        ("http://example.com#", "no path"),
        ("http://example.com/#x", "no path"),
        ("http://example.com\\x", "no path"),
        (" http://example.com", "spaces"),
        ("http://exa mple.com", "spaces"),
        ("http://example.com\n", "spaces"),
        ("http://example.com\x00", "spaces"),
        ("http://bücher.example", "punycode"),
        ("http://\uff11\uff12\uff17.0.0.1", "punycode"),
        ("http://example.com:", "1 to 65535"),
        ("http://example.com:0", "1 to 65535"),
        ("http://example.com:65536", "1 to 65535"),
        ("http://example.com:-1", "1 to 65535"),
        ("http://example.com:+80", "1 to 65535"),
        ("http://example.com:080", "1 to 65535"),
        ("http://example.com:8_0", "1 to 65535"),
        ("http://example.com:80:80", "1 to 65535"),
        ("http://2130706433", "four decimal"),
        ("http://0x7f000001", "four decimal"),
        ("http://0x7f.0.0.1", "four decimal"),
        ("http://0177.0.0.1", "four decimal"),
        ("http://127.1", "four decimal"),
        ("http://127.0.1", "four decimal"),
        ("http://127.0.0.0x1", "four decimal"),
        ("http://127.0.0.01", "four decimal"),
        ("http://127.0.0.256", "four decimal"),
        ("http://1.2.3.4.5", "four decimal"),
        ("http://[::ffff:169.254.169.254]", "mapped"),
        ("http://[::ffff:7f00:1]", "mapped"),
        ("http://[fe80::1%eth0]", "zone"),
        ("http://[::1", "brackets"),
        ("http://::1", "brackets"),
        ("http://[]", "not valid"),
        ("http://[example.com]", "not valid"),
        ("http://[127.0.0.1]", "not valid"),
        ("http://example.com.", "letters, digits"),
        ("http://example..com", "letters, digits"),
        ("http://-example.com", "letters, digits"),
        ("http://exam%70le.com", "letters, digits"),
        ("http://a,b", "letters, digits"),
        ("http://" + "a" * 64 + ".com", "letters, digits"),
        ("http://" + "a." * 127 + "com", "letters, digits"),
    ],
)
def test_anything_else_is_refused_and_the_reason_says_what_is_allowed(
    url: str, reason: str
) -> None:
    with pytest.raises(AddressError, match=reason):
        parse_instance_url(url)


def test_a_refusal_never_repeats_a_password() -> None:
    with pytest.raises(AddressError) as refusal:
        parse_instance_url("http://user:hunter2@example.com")
    assert "hunter2" not in str(refusal.value)
