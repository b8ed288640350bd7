"""The hash chain of audit entries: what is hashed, and how. Pure.

Each node has a chain of its own. An entry holds its place in it (``sequence``, from 1 without a
gap), the hash of the entry before, and its own: SHA-256 over a canonical encoding of everything
else. So a row that is changed, taken away or moved no longer fits.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any, Final, Protocol

GENESIS: Final = "0" * 64
"""What the first entry of a chain has for the hash of the one before."""

_FORMAT: Final = 1
_TEXTS: Final = (
    "actor",
    "actor_type",
    "action",
    "object_type",
    "object_id",
    "object_name",
    "request_id",
    "client_ip",
    "outcome",
)


class Link(Protocol):
    """An entry with its place in the chain; it also has every field of ``_TEXTS``."""

    node: str
    sequence: int
    previous_hash: str
    at: datetime
    changes: Any


def link_hash(entry: Link) -> str:
    """The hash of *entry* as 64 hexadecimal digits.

    The encoding is a JSON array in ASCII without blanks, object keys sorted: nothing in it
    depends on the database that stored the entry. Times are UTC with microseconds.
    """
    content = [
        _FORMAT,
        entry.node,
        entry.sequence,
        entry.previous_hash,
        entry.at.astimezone(UTC).isoformat(timespec="microseconds"),
        *(getattr(entry, name) for name in _TEXTS),
        _settled(entry.changes),
    ]
    return sha256(json.dumps(content, separators=(",", ":"), sort_keys=True).encode()).hexdigest()


def _settled(value: Any) -> Any:
    """*value* with whole numbers as integers: databases differ in giving back 1.0 or 1."""
    if isinstance(value, dict):
        return {name: _settled(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [_settled(item) for item in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value
