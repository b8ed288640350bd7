"""Which headers travel: pure rules."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxying.headers import (
    IDENTITY,
    Forwarding,
    Headers,
    is_traceparent,
    is_visible_ascii,
    passed_through_us,
    request_headers,
    response_headers,
    understood_traceparent,
    values_of,
)

TRACE = b"0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
NAMES = st.text("abcdefgXYZ-_.0129", min_size=1, max_size=20).map(str.encode)


def forwarded(
    received: Headers, *, trusted: bool = False, keep: bool = True, traceparent: bytes = b"tp"
) -> Headers:
    return request_headers(
        [(name.lower(), value) for name, value in received],
        host=b"upstream:80",
        forwarding=Forwarding(b"192.0.2.9", b"http", b"api.test", b"8001", trusted),
        request_id=b"id",
        traceparent=traceparent,
        identity=[(b"x-user-id", b"acme")],
        keep_authorization=keep,
    )


def answered(
    received: Headers, *, limits: Headers | None = None, bodiless: bool = False
) -> Headers:
    return response_headers(
        received, request_id=b"id", limits=limits or [], date=b"now", bodiless=bodiless
    )


@pytest.mark.parametrize("alias", [b"x-user-id", b"x_user_id", b"x.user.id", b"X-User_Id"])
def test_every_alias_of_an_identity_header_is_dropped(alias: bytes) -> None:
    assert values_of(forwarded([(alias, b"root")]), alias.lower()) in ([], [b"acme"])


@given(st.sampled_from(IDENTITY), st.text("-_. ~", min_size=1, max_size=1))
def test_no_separator_smuggles_identity(name: bytes, separator: str) -> None:
    alias = name.replace(b"-", separator.encode())
    assert (alias, b"root") not in forwarded([(alias, b"root")])


@given(st.lists(st.tuples(NAMES, st.binary(max_size=8)), max_size=12))
def test_what_is_forwarded_came_from_the_client_or_is_ours(received: Headers) -> None:
    lowered = {(name.lower(), value) for name, value in received}
    ours = {b"host", b"x-request-id", b"traceparent", b"via", b"x-user-id"}
    for name, value in forwarded(received):
        assert (name, value) in lowered or name in ours or name.startswith(b"x-forwarded-")


def test_connection_cannot_name_what_the_gateway_adds() -> None:
    sent = forwarded([(b"connection", b"x-user-id, via, host"), (b"x-plain", b"1")])
    assert values_of(sent, b"x-user-id") == [b"acme"]
    assert values_of(sent, b"via") == [b"1.1 gateway"]
    assert values_of(sent, b"x-plain") == [b"1"]


def test_a_trusted_proxy_speaks_for_the_client() -> None:
    claims = [
        (b"x-forwarded-for", b"203.0.113.7"), (b"x-forwarded-proto", b"https"),
        (b"x-real-ip", b"203.0.113.7"),
    ]  # fmt: skip
    sent = forwarded(claims, trusted=True)
    assert values_of(sent, b"x-forwarded-for") == [b"203.0.113.7, 192.0.2.9"]
    assert values_of(sent, b"x-forwarded-proto") == [b"https"]
    assert values_of(sent, b"x-real-ip") == [b"203.0.113.7"]


def test_a_stranger_does_not() -> None:
    sent = forwarded([(b"x-forwarded-for", b"203.0.113.7"), (b"forwarded", b"for=1.1.1.1")])
    assert values_of(sent, b"x-forwarded-for") == [b"192.0.2.9"]
    assert values_of(sent, b"forwarded") == []


@pytest.mark.parametrize("name", [b"x-forwarded-prefix", b"x-forwarded-user", b"x-forwarded-uri"])
def test_every_claim_of_its_family_is_the_proxys_alone(name: bytes) -> None:
    assert values_of(forwarded([(name, b"/a")]), name) == []
    assert values_of(forwarded([(name, b"/a")], trusted=True), name) == [b"/a"]
    assert (b"x_" + name[2:], b"/a") not in forwarded([(b"x_" + name[2:], b"/a")], trusted=True)


@pytest.mark.parametrize(
    ("sent", "left"), [([b"00-" + TRACE], [b"a=1"]), ([b"00-zz"], []), ([], [])]
)
def test_trace_state_goes_with_the_trace_it_belongs_to(
    sent: list[bytes], left: list[bytes]
) -> None:
    received = [*((b"traceparent", value) for value in sent), (b"tracestate", b"a=1")]
    assert values_of(forwarded(received, traceparent=b"00-" + TRACE), b"tracestate") == left


@pytest.mark.parametrize(("keep", "left"), [(True, [b"Basic x"]), (False, [])])
def test_authorization_stays_or_goes_as_told(keep: bool, left: list[bytes]) -> None:
    assert (
        values_of(forwarded([(b"authorization", b"Basic x")], keep=keep), b"authorization") == left
    )


def test_an_answer_loses_hop_by_hop_headers_and_keeps_the_rest_in_order() -> None:
    received = [
        (b"set-cookie", b"a"), (b"connection", b"x-hop"), (b"x-hop", b"1"), (b"set-cookie", b"b"),
        (b"transfer-encoding", b"chunked"), (b"x-gateway-error", b"forged"), (b"date", b"then"),
    ]  # fmt: skip
    assert answered(received) == [
        (b"set-cookie", b"a"),
        (b"set-cookie", b"b"),
        (b"date", b"then"),
        (b"via", b"1.1 gateway"),
        (b"x-request-id", b"id"),
    ]


def test_a_missing_date_is_added() -> None:
    assert values_of(answered([]), b"date") == [b"now"]


def test_a_date_that_connection_names_is_replaced() -> None:
    sent = answered([(b"connection", b"date"), (b"date", b"then")])
    assert values_of(sent, b"date") == [b"now"]


def test_a_204_carries_no_length() -> None:
    assert values_of(answered([(b"content-length", b"0")], bodiless=True), b"content-length") == []


def test_our_limit_headers_replace_the_upstreams() -> None:
    ours = [(b"ratelimit-limit", b"100")]
    sent = answered([(b"ratelimit-limit", b"5"), (b"ratelimit-reset", b"9")], limits=ours)
    assert values_of(sent, b"ratelimit-limit") == [b"100"]
    assert values_of(sent, b"ratelimit-reset") == []


@pytest.mark.parametrize(
    ("value", "ours"),
    [
        (b"1.1 gateway", True),
        (b"1.0 a, 1.1 GATEWAY (x)", True),
        (b"1.1 gateway2", False),
        (b"", False),
    ],
)
def test_a_loop_is_told_by_our_name(value: bytes, ours: bool) -> None:
    assert passed_through_us([(b"via", value)]) is ours


@pytest.mark.parametrize(
    ("value", "valid"),
    [
        (b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", True),
        (b"00-00000000000000000000000000000000-b7ad6b7169203331-01", False),
        (b"00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01", False),
        (b"00-0AF7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", False),
        (b"ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", False),
        (b"", False),
    ],
)
def test_a_trace_context_is_valid_or_not(value: bytes, valid: bool) -> None:
    assert is_traceparent(value) is valid


@pytest.mark.parametrize(
    ("value", "understood"),
    [
        (b"00-" + TRACE, b"00-" + TRACE),
        (b"00-" + TRACE + b"-more", b""),
        (b"01-" + TRACE, b"00-" + TRACE),
        (b"fe-" + TRACE + b"-more", b"00-" + TRACE),
        (b"01-" + TRACE[:-2] + b"fe", b"00-" + TRACE[:-2] + b"00"),
        (b"01-" + TRACE + b"more", b""),
        (b"01-" + TRACE[:-1], b""),
        (b"ff-" + TRACE, b""),
        (b"0x-" + TRACE, b""),
        (b"", b""),
    ],
)
def test_a_later_trace_context_is_read_as_the_one_we_know(value: bytes, understood: bytes) -> None:
    assert understood_traceparent(value) == understood


@pytest.mark.parametrize(("value", "valid"), [(b"a!~", True), (b"", False), (b"a b", False),
                                              (b"\x7f", False), (b"aaaaa", False)])  # fmt: skip
def test_visible_ascii_is_bounded(value: bytes, valid: bool) -> None:
    assert is_visible_ascii(value, 4) is valid
