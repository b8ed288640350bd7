"""What clients send: JSON without ambiguity, YAML as text, and merge patches (RFC 7396).

A body that could be read in two ways (a key given twice, ``NaN``) is refused, as in files.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from http import HTTPStatus
from typing import IO, Any

from rest_framework.exceptions import ParseError
from rest_framework.parsers import BaseParser
from rest_framework.request import Request
from rest_framework.views import APIView

from gateway_project.api.problems import Refusal
from routing.files import MAX_BYTES


class _TextParser(BaseParser):
    def parse(
        self,
        stream: IO[bytes],
        media_type: str | None = None,
        parser_context: Mapping[str, Any] | None = None,
    ) -> Any:
        return self.read(_text(stream))

    def read(self, text: str) -> Any:
        """What the view gets."""
        return text


class JsonParser(_TextParser):
    """JSON as plain data."""

    media_type = "application/json"

    def read(self, text: str) -> Any:
        try:
            return json.loads(text, object_pairs_hook=_once, parse_constant=_no_number)
        except RecursionError:
            raise ParseError("not JSON: nested too deeply") from None
        except ValueError as error:
            raise ParseError(f"not JSON: {error}") from None


class MergePatchParser(JsonParser):
    """The same under the name RFC 7396 gives it."""

    media_type = "application/merge-patch+json"


class JsonBodies(APIView):
    """A view that takes JSON, and with PATCH either name of it."""

    def get_parsers(self) -> list[BaseParser]:
        is_patch = getattr(self.request, "method", None) == "PATCH"
        return [JsonParser(), MergePatchParser()] if is_patch else [JsonParser()]


class YamlParser(_TextParser):
    """YAML as text, to be read as files are."""

    media_type = "application/yaml"


class OtherYamlParser(YamlParser):
    """The older name of the media type."""

    media_type = "application/x-yaml"


def content_of(request: Request) -> Any:
    """The parsed body. An empty one is refused: REST framework would take it for ``{}``, which
    is a document without services.
    """
    if not int(request.META.get("CONTENT_LENGTH") or 0):
        raise ParseError("the body is empty")
    return request.data


def as_text(data: Any) -> str:
    """A parsed body as the text of a configuration file (JSON is YAML)."""
    return data if isinstance(data, str) else json.dumps(data, ensure_ascii=False)


def merge(target: Any, patch: Any) -> Any:
    """*patch* applied to *target* (RFC 7396 section 2); neither is changed."""
    if not isinstance(patch, dict):
        return patch
    kept = dict(target) if isinstance(target, dict) else {}
    for name, value in patch.items():
        if value is None:
            kept.pop(name, None)
        else:
            kept[name] = merge(kept.get(name), value)
    return kept


def _text(stream: IO[bytes]) -> str:
    content = stream.read(MAX_BYTES + 1)
    if len(content) > MAX_BYTES:
        detail = f"The body is larger than {MAX_BYTES} bytes."
        raise Refusal(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "body_too_large", detail)
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise ParseError("not UTF-8") from None


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    content = dict(pairs)
    if len(content) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"the key {twice!r} is given twice")
    return content


def _no_number(text: str) -> Any:
    raise ValueError(f"{text} is no number")
