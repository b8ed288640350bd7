"""Headers that travel, that end at the gateway, and that it adds."""

from __future__ import annotations

import pytest

from tests.conformance.case import Case, head, play, rows
from tests.conformance.front import TRUSTED, Front
from tests.conformance.header_table import CASES
from tests.conformance.origin import Origin
from tests.support.raw import Reply


def ask(front: Front, *lines: str, source: str = TRUSTED, target: str = "/open/h") -> Reply:
    with front.connect(source) as client:
        client.send(head(f"GET {target}", *lines))
        return client.read_reply()


@pytest.mark.parametrize("case", rows(CASES))
def test_a_header(case: Case, front: Front, origin: Origin) -> None:
    play(case, front, origin)


def test_two_cookie_lines_stay_two_or_are_joined(front: Front, origin: Origin) -> None:
    ask(front, "Cookie: a=1", "Cookie: b=2; c=3")
    assert "; ".join(origin.whole[0].received.all("cookie")) == "a=1; b=2; c=3"
    assert "," not in "".join(origin.whole[0].received.all("cookie"))


@pytest.mark.usefixtures("gateway")
def test_a_trusted_proxy_speaks_for_the_client(front: Front, origin: Origin) -> None:
    ask(front, "X-Forwarded-For: 6.6.6.6, 203.0.113.9", "X-Forwarded-Proto: https",
        "X-Forwarded-Host: shop.test", "X-Forwarded-Port: 443")  # fmt: skip
    seen = origin.whole[0].received
    assert seen.all("x-forwarded-for") == [f"6.6.6.6, 203.0.113.9, {TRUSTED}"]
    assert seen.all("x-forwarded-proto") == ["https"]
    assert seen.all("x-forwarded-host") == ["shop.test"]
    assert seen.all("x-forwarded-port") == ["443"]


@pytest.mark.usefixtures("gateway")
def test_limits_use_the_rightmost_untrusted_address(front: Front) -> None:
    def limited(forwarded_for: str, source: str = TRUSTED) -> int:
        line = f"X-Forwarded-For: {forwarded_for}"
        return ask(front, line, source=source, target="/by-address").status

    assert limited("198.51.100.1") == 200
    assert limited("6.6.6.6, 198.51.100.1") == 429
    assert limited("198.51.100.1, 198.51.100.2") == 200
    assert limited(f"198.51.100.2, {TRUSTED}") == 429


@pytest.mark.usefixtures("gateway")
def test_a_stranger_cannot_choose_the_address_it_is_limited_by(front: Front) -> None:
    statuses = [
        ask(front, f"X-Forwarded-For: {address}", source="127.0.0.7", target="/by-address").status
        for address in ("192.0.2.1", "192.0.2.2", "127.0.0.2")
    ]
    assert statuses == [200, 429, 429]


@pytest.mark.parametrize(
    "lines",
    [["X-Request-Id: " + "x" * 129], ["X-Request-Id: two words"], ["X-Request-Id: caf\xe9"],
     ["X-Request-Id:"], ["X-Request-Id: a", "X-Request-Id: b"]],
    ids=["long", "blank", "non-ASCII", "empty", "two"],
)  # fmt: skip
@pytest.mark.usefixtures("gateway")
def test_a_request_id_that_is_none_is_replaced(
    front: Front, origin: Origin, lines: list[str]
) -> None:
    reply = ask(front, *lines)
    [given] = reply.all("x-request-id")
    assert origin.whole[0].received.all("x-request-id") == [given]
    assert 0 < len(given) <= 128
    assert given.isascii()
    assert given not in ("a", "b")


@pytest.mark.usefixtures("gateway")
def test_an_answer_without_date_gets_one(front: Front) -> None:
    assert len(ask(front).all("date")) == 1
