"""One event is one line, and no credential is in it."""

from __future__ import annotations

import json
import unicodedata
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway_project.log_lines import (
    REDACTED,
    RequestLine,
    is_secret_name,
    json_line,
    redact_text,
    request_line,
    text_line,
)

ANY_TEXT = st.text(st.characters(exclude_categories=[]))
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | ANY_TEXT | st.binary(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(ANY_TEXT, inner, max_size=4),
    max_leaves=12,
)
EVENTS = st.dictionaries(ANY_TEXT, VALUES, max_size=6)
DIRECTION_MARKS = set(
    "\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\ufeff"
)


def is_one_safe_line(line: bytes) -> bool:
    text = line.decode("utf-8")
    unsafe = {"Cc", "Zl", "Zp"}
    return not any(
        unicodedata.category(character) in unsafe or character in DIRECTION_MARKS
        for character in text
    )


@given(EVENTS)
def test_any_event_is_one_line_of_json(fields: dict[str, Any]) -> None:
    line = json_line(fields)
    assert is_one_safe_line(line)
    assert isinstance(json.loads(line), dict)


@given(EVENTS, ANY_TEXT)
def test_any_event_is_one_line_of_text(fields: dict[str, Any], message: str) -> None:
    assert is_one_safe_line(text_line({**fields, "message": message}))


@given(ANY_TEXT)
def test_text_that_is_no_credential_comes_back_from_json(text: str) -> None:
    clean = "".join(c for c in text if c.isalnum())[:6]
    assert json.loads(json_line({"path": clean}))["path"] == clean


@pytest.mark.parametrize(
    "name",
    ["Authorization", "X-API-Key", "x_api_key", "Set-Cookie", "password", "refresh_token",
     "client.secret", "JWT_PRIVATE_KEY", "proxy-authorization"],
)  # fmt: skip
def test_fields_named_like_a_credential_are_redacted(name: str) -> None:
    assert is_secret_name(name)
    assert json.loads(json_line({"headers": {name: ["abc", 1]}})) == {"headers": {name: REDACTED}}


@pytest.mark.parametrize(
    "text",
    [
        "Authorization: Bearer hunter2",
        "authorization: Basic aHVudGVyMg==hunter2",
        "GET /x?api_key=hunter2&page=1",
        "access_token=hunter2",
        "{'password': 'hunter2'}",
        '{"refresh_token": "hunter2"}',
        "[(b'x-api-key', b'hunter2')]",
        "[(b'cookie', b'a=1; session=hunter2')]",
        "Cookie: a=1; session=hunter2",
        "cannot connect to redis://gateway:hunter2@redis:6379/0",
        "mysql://gateway:p@hunter2@db/x",
        "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJodW50ZXIyIn0.hunter2",
        "key gw_hunter2hunter2hunter2hunter2hunter2hunter2",
        "-----BEGIN PRIVATE KEY-----\nhunter2\n-----END PRIVATE KEY-----",
    ],
)
def test_text_that_holds_a_credential_is_redacted(text: str) -> None:
    assert "hunter2" not in redact_text(text)
    assert b"hunter2" not in json_line({"message": text})
    assert b"hunter2" not in text_line({"message": text, "detail": [text.encode()]})


def test_ordinary_text_is_left_alone() -> None:
    text = "GET /projects/12?page=2 from 10.0.0.1 took 12 ms: 200 OK"
    assert redact_text(text) == text


def test_numbers_keep_their_type_and_long_text_is_cut() -> None:
    fields = json.loads(json_line({"status": 200, "seconds": 0.5, "agent": "x" * 100_000}))
    assert (fields["status"], fields["seconds"]) == (200, 0.5)
    assert len(fields["agent"]) < 20_000


@pytest.mark.parametrize(
    "piece", ["token", 'token="', "-eyJ", "://a:", "bearer ", "api_key ", "cookie'", "secret="]
)
def test_no_text_makes_redaction_slow(piece: str) -> None:
    # Quadratic work on half a megabyte would run into the suite's time limit.
    assert len(redact_text(piece * (500_000 // len(piece)))) > 0


def test_a_request_line_is_cleaned_like_any_other() -> None:
    hostile = 'gw_0123456789abcdefghij\u2028"'
    line = RequestLine(
        "now", "INFO", "request", hostile, hostile, hostile, hostile, 200, "", "r", "s", "i", 1,
        hostile, "", "", 0, 0, 0.1, 0.1, "",
    )  # fmt: skip
    written = request_line(line)
    assert b"gw_0123" not in written
    assert "\u2028".encode() not in written
    assert msgspec.json.decode(written)["status"] == 200


def test_a_switch_named_after_a_credential_is_shown_with_its_change() -> None:
    fields = {"forward_authorization": {"old": None, "new": True}, "sticky_cookie": {"new": "sid"}}
    line = json.loads(json_line({"changes": fields}))
    assert line["changes"]["forward_authorization"] == {"old": None, "new": True}
    assert line["changes"]["sticky_cookie"] == REDACTED
