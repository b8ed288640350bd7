"""How a setting is declared, and how text becomes its value.

A declaration is a dataclass field made by :class:`Group`: it carries default, allowed values,
documentation and secrecy, and its annotation is its type. Leans on nothing but the standard
library, so that a bad value can be reported before Django exists.
"""

from __future__ import annotations

import dataclasses
import ipaddress
import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

_TRUE = frozenset({"1", "true", "yes", "on"})
_FALSE = frozenset({"0", "false", "no", "off"})
_INTEGER = re.compile(r"-?[0-9]{1,18}")
_NUMBER = re.compile(r"-?[0-9]{1,18}(\.[0-9]{1,9})?")
_NODE = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+):([0-9]{1,5})")
_HIGHEST_PORT = 65535


class SettingsError(Exception):
    """A setting cannot be used. The message is one line and never shows a secret."""


@dataclass(frozen=True, slots=True)
class Declaration:
    """One environment variable: everything the documentation says of it.

    ``by_environment`` holds defaults that differ in ``dev`` or ``prod``. ``rule`` is what is
    allowed, in words; ``check`` raises ``ValueError`` for text that breaks it.
    """

    default: Any
    summary: str
    group: str
    secret: bool = False
    choices: tuple[str, ...] = ()
    minimum: float | None = None
    maximum: float | None = None
    by_environment: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    rule: str = ""
    check: Callable[[str], object] | None = None
    generated: bool = False
    """Whether ``create_env`` fills in a random value."""


@dataclass(frozen=True, slots=True)
class Group:
    """A chapter of the settings; calling it declares one of them."""

    title: str

    def __call__(self, default: object, summary: str, **details: Any) -> Any:
        """A dataclass field that carries its :class:`Declaration`."""
        declaration = Declaration(default, summary, self.title, **details)
        return dataclasses.field(
            default=default, repr=not declaration.secret, metadata={"declaration": declaration}
        )


def parse(text: str, kind: object, declaration: Declaration) -> object:
    """The value *text* stands for. Raises ``ValueError`` when it is not allowed."""
    if kind is bool:
        return _boolean(text)
    if kind is int or kind is float:
        return _in_range(_number(text, kind), declaration)
    if kind is Path:
        return Path(text)
    if kind == tuple[str, ...]:
        return tuple(
            _checked(item.strip(), declaration) for item in text.split(",") if item.strip()
        )
    return _checked(text, declaration)


def allowed(kind: object, declaration: Declaration) -> str:
    """What may stand in the variable, in words for an error line and for the documentation."""
    if declaration.rule:
        return declaration.rule
    if declaration.choices:
        choice = "one of " + ", ".join(declaration.choices)
        return f"comma-separated list; each {choice}" if kind == tuple[str, ...] else choice
    if kind is bool:
        return "true or false"
    if kind is int or kind is float:
        return ("whole number" if kind is int else "number") + _bounds(declaration)
    if kind == tuple[str, ...]:
        return "comma-separated list"
    return "path" if kind is Path else "text"


def _boolean(text: str) -> bool:
    word = text.strip().lower()
    if word not in _TRUE | _FALSE:
        raise ValueError(word)
    return word in _TRUE


def _number(text: str, kind: object) -> float:
    # int() and float() also take "1_000", "٣", "1e9" and "nan".
    pattern = _INTEGER if kind is int else _NUMBER
    if not pattern.fullmatch(text.strip()):
        raise ValueError(text)
    return int(text) if kind is int else float(text)


def _in_range(value: float, declaration: Declaration) -> float:
    low = -math.inf if declaration.minimum is None else declaration.minimum
    high = math.inf if declaration.maximum is None else declaration.maximum
    if not low <= value <= high:
        raise ValueError(value)
    return value


def _bounds(declaration: Declaration) -> str:
    low, high = declaration.minimum, declaration.maximum
    if low is not None and high is not None:
        return f" from {low} to {high}"
    return f" of at least {low}" if low is not None else ""


def _checked(text: str, declaration: Declaration) -> str:
    if declaration.choices:
        for choice in declaration.choices:
            if text.lower() == choice.lower():
                return choice
        raise ValueError(text)
    if declaration.check is not None:
        declaration.check(text)
    return text


def network(text: str) -> None:
    """Accept an address or a CIDR network; raise ``ValueError`` otherwise."""
    ipaddress.ip_network(text)


def node(text: str) -> None:
    """Accept ``host:port``; raise ``ValueError`` otherwise."""
    match = _NODE.fullmatch(text)
    if match is None or not 1 <= int(match[2]) <= _HIGHEST_PORT:
        raise ValueError(text)


def url_with(*schemes: str) -> Callable[[str], None]:
    """A check that accepts an absolute URL of one of *schemes*."""

    def check(text: str) -> None:
        parts = urlsplit(text)
        # Reading the port is what validates it.
        needs_host = parts.port is not None or parts.scheme in ("http", "https")
        if parts.scheme not in schemes or "://" not in text or (needs_host and not parts.hostname):
            raise ValueError(text)

    return check
