"""Optimistic concurrency: entity tags of configuration objects and ``If-Match`` (RFC 9110 §13)."""

from __future__ import annotations

import hashlib
from http import HTTPStatus
from typing import Any

import msgspec
from django.utils.http import parse_etags
from rest_framework.request import Request

from gateway_project.api.problems import Refusal
from routing.document import plain


def tag_of(spec: Any) -> str:
    """A strong entity tag: equal content, equal tag."""
    return quoted(hashlib.sha256(msgspec.json.encode(plain(spec))).hexdigest()[:32])


def quoted(text: str) -> str:
    """*text* as an entity tag."""
    return f'"{text}"'


def require_match(request: Request, tag: str | None) -> None:
    """Refuse the write unless its preconditions hold; *tag* is None where nothing is stored."""
    # A header that holds no tag at all matches nothing: the client meant to be careful.
    wanted = request.headers.get("If-Match")
    if wanted is not None and not _matches(parse_etags(wanted), tag):
        raise _failed("It has changed since you read it; read it again.")
    unwanted = parse_etags(request.headers.get("If-None-Match", ""))
    if unwanted and _matches(unwanted, tag):
        raise _failed("It exists already.")


def is_unchanged(request: Request, tag: str) -> bool:
    """Whether the client holds this version already (304)."""
    held = parse_etags(request.headers.get("If-None-Match", ""))
    return _matches([one.removeprefix("W/") for one in held], tag)


def _matches(tags: list[str], tag: str | None) -> bool:
    return tag is not None and (tags == ["*"] or tag in tags)


def _failed(detail: str) -> Refusal:
    return Refusal(HTTPStatus.PRECONDITION_FAILED, "precondition_failed", detail)
