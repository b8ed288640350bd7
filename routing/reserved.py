"""Paths the gateway answers itself: they are never proxied and no route may shadow them.

CONTRACT §6. Pure: leans on ``re`` alone.
"""

from __future__ import annotations

import re

EXACT = frozenset(
    {
        "/health",
        "/ready",
        "/metrics",
        "/auth/token",
        "/auth/refresh",
        "/auth/revoke",
        "/.well-known/jwks.json",
    }
)
UNDER = ("/admin", "/api/gateway")

_BELOW = tuple(f"{path}/" for path in UNDER)
_PARAMETERS = re.compile("(?:;|%3B)[^/]*")
_SLASHES = re.compile("//+")


def is_reserved(path_text: str) -> bool:
    """Whether a canonical path, its ``;parameters`` ignored, is the gateway's own."""
    if ";" in path_text or "%3B" in path_text:
        path_text = _PARAMETERS.sub("", path_text)
    return path_text in EXACT or path_text in UNDER or path_text.startswith(_BELOW)


def is_administrative(path_text: str) -> bool:
    """Whether it is a reserved path by which the gateway is configured."""
    path_text = _PARAMETERS.sub("", path_text)
    return path_text in UNDER or path_text.startswith(_BELOW)


def shadows(pattern: str) -> bool:
    """Whether the text of a path pattern names a reserved path or something under one.

    A pattern that only could match one, ``/{rest:path}``, is no shadow: reserved paths win.
    """
    literal = pattern.partition("{")[0]
    return is_reserved(_SLASHES.sub("/", literal))
