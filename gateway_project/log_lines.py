"""One event, one line: redaction, escaping and the two forms a line can have.

Pure: a mapping goes in, bytes come out. Two promises hold whatever a client sent: the line has no
control character, line separator or direction mark in it, and nothing that looks like a
credential.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, Final

import msgspec

REDACTED: Final = "[redacted]"
_LONGEST_TEXT: Final = 16_384
_DEEPEST: Final = 6
_NUMBERS: Final = frozenset({int, float, bool})

_SECRET_WORDS: Final = (
    "authorization", "apikey", "cookie", "password", "passwd", "passphrase",
    "token", "secret", "credential", "privatekey", "signature",
)  # fmt: skip
_NOT_A_LETTER = re.compile(r"[^a-z0-9]+")

# Cheap looks before the expensive one: every pattern below needs one of each.
_POSSIBLE = re.compile(r"[ =:,]|eyJ|gw_")
_HINTS: Final = (
    "eyj", "gw_", "bearer", "basic", "digest", "auth", "key", "pass", "token", "secret", "cookie",
    "signature", "credential", "@",
)  # fmt: skip
# Every repetition is bounded or cannot fail after it: a client chooses the text.
_CREDENTIALS = re.compile(
    r"""(?ix)
    (?P<scheme> \b(?:bearer|basic|digest)\s{1,8} ) [^\s,"']+
    | (?P<line> (?:authorization|cookie)
        (?:["']?\s{0,8}[=:]\s{0,8}(?:b(?=["']))?|["'],\s{0,8}b?(?=["'])) )
        (?: "(?:[^"\\]|\\.){0,8192}"? | '(?:[^'\\]|\\.){0,8192}'? | [^\r\n"']+ )
    | (?P<name> (?:api[_.-]?key|passw(?:or)?d|passphrase|token|secret|credentials?|private[_.-]?key
        |signature) [\w.-]{0,40} (?:["']?\s{0,8}[=:]\s{0,8}(?:b(?=["']))?|["'],\s{0,8}b?(?=["'])) )
        (?: "(?:[^"\\]|\\.){0,8192}"? | '(?:[^'\\]|\\.){0,8192}'? | [^\s&;,"'}\]]+ )
    | (?P<url> ://[^\s/@:]{0,256}: ) [^\s/]{1,1024} (?=@)
    | \beyJ[\w-]{8,}(?:\.[\w-]*){0,4}
    | \bgw_[\w-]{16,}
    """
)
_PEM = re.compile(
    r"-----BEGIN [A-Z ]{0,40}PRIVATE KEY-----.*?(?:-----END [A-Z ]{0,40}PRIVATE KEY-----|\Z)",
    re.DOTALL,
)
# DEL, the C1 controls (NEL, CSI), LINE and PARAGRAPH SEPARATOR, the direction marks, in UTF-8.
_UNSAFE = re.compile(
    rb"\x7f|\xc2[\x80-\x9f]|\xd8\x9c|\xe2\x80[\x8e\x8f\xa8-\xae]|\xe2\x81[\xa6-\xa9]|\xef\xbb\xbf"
)
_ENCODER = msgspec.json.Encoder(enc_hook=lambda value: repr(value)[:_LONGEST_TEXT])


class RequestLine(msgspec.Struct):
    """The line of one finished exchange: typed, because there is one for each request.

    Sizes in bytes, times in seconds; ``trace`` is the trace id.
    """

    time: str
    level: str
    type: str
    request_id: str
    method: str
    host: str
    path: str
    status: int
    code: str
    route: str
    service: str
    instance: str
    attempts: int
    user: str
    key: str
    client: str
    received_bytes: int
    sent_bytes: int
    seconds: float
    upstream_seconds: float
    trace: str


def request_line(line: RequestLine) -> bytes:
    """*line* as JSON; what a client had a say in is cleaned as in :func:`json_line`."""
    line.request_id = _text(line.request_id)
    line.method = _text(line.method)
    line.host = _text(line.host)
    line.path = _text(line.path)
    line.user = _text(line.user)
    return _escaped(_ENCODER.encode(line))


def json_line(fields: Mapping[str, Any]) -> bytes:
    """*fields* as one line of JSON, without the line feed."""
    return _escaped(_ENCODER.encode(_redacted(fields, 0)))


def text_line(fields: Mapping[str, Any]) -> bytes:
    """*fields* for a person: time, level, type, message, then ``name=value``; one line too."""
    clean = _redacted(fields, 0)
    head = [_word(clean.pop(name, "")) for name in ("time", "level", "type")]
    message = _ENCODER.encode(clean.pop("message", ""))[1:-1].replace(b'\\"', b'"')
    rest = [_word(name) + b"=" + _word(value) for name, value in clean.items()]
    return _escaped(b" ".join(word for word in [*head, message, *rest] if word))


def redact_text(text: str) -> str:
    """*text* with everything that looks like a credential replaced."""
    if _POSSIBLE.search(text):
        lowered = text.lower()
        for hint in _HINTS:
            if hint in lowered:
                return _CREDENTIALS.sub(_without_value, _PEM.sub(REDACTED, text))
    return text


def is_secret_name(name: str) -> bool:
    """Whether a field of that name holds a credential."""
    letters = _NOT_A_LETTER.sub("", name.lower())
    return any(word in letters for word in _SECRET_WORDS)


def _without_value(match: re.Match[str]) -> str:
    kept = match["scheme"] or match["line"] or match["name"] or match["url"] or ""
    return kept + REDACTED


def _redacted(fields: Mapping[Any, Any], depth: int) -> dict[str, Any]:
    clean: dict[str, Any] = {}
    for key, value in fields.items():
        name, is_secret = _name(key)
        if value is None or (type(value) in _NUMBERS and not is_secret):
            clean[name] = value
        elif is_secret and not _is_switch(value):
            clean[name] = REDACTED
        else:
            clean[name] = _clean(value, depth)
    return clean


def _is_switch(value: Any) -> bool:
    """Switches (``forward_authorization``), also as old and new in a change, hold no credential."""
    if isinstance(value, Mapping):
        return all(inner is None or type(inner) is bool for inner in value.values())
    return type(value) is bool


@lru_cache(maxsize=4096)
def _name(key: object) -> tuple[str, bool]:
    return _text(str(key)), is_secret_name(str(key))


def _clean(value: Any, depth: int) -> Any:
    if value is None or type(value) in _NUMBERS:
        return value
    if isinstance(value, str):
        return _text(value)
    if isinstance(value, bytes | bytearray):
        return _text(bytes(value).decode("utf-8", "backslashreplace"))
    if isinstance(value, Mapping) and depth < _DEEPEST:
        return _redacted(value, depth + 1)
    if isinstance(value, list | tuple | set | frozenset) and depth < _DEEPEST:
        return [_clean(item, depth + 1) for item in value]
    return _text(str(value))


def _text(text: str) -> str:
    if len(text) > _LONGEST_TEXT:
        text = text[:_LONGEST_TEXT] + "…"
    if not text.isascii():
        # A lone surrogate has no UTF-8.
        text = text.encode("utf-8", "backslashreplace").decode("utf-8")
    return redact_text(text)


def _word(value: object) -> bytes:
    encoded = _ENCODER.encode(value)
    plain = encoded[1:-1]
    is_plain = isinstance(value, str) and plain and not re.search(rb'[\s"=\\]', plain)
    return plain if is_plain else encoded


def _escaped(line: bytes) -> bytes:
    if line.isascii() and b"\x7f" not in line:
        return line
    return _UNSAFE.sub(_as_escape, line)


def _as_escape(match: re.Match[bytes]) -> bytes:
    return f"\\u{ord(match[0].decode()):04x}".encode()
