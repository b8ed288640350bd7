"""The last good document on disk: what a node serves when the database cannot be reached.

One file, ``last_good.json`` in the var directory, written whole or not at all and believed only
if its SHA-256 is right. Leans on ``runtime.files``; called in a thread, never on the loop.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path

import msgspec

from routing.document import digest
from runtime.files import replace_file

logger = logging.getLogger(__name__)

FILE_NAME = "last_good.json"


@dataclass(frozen=True, slots=True)
class Published:
    """A stored revision: its number, and its document as the canonical JSON that was hashed."""

    number: int
    sha256: str
    document: bytes

    @property
    def intact(self) -> bool:
        """Whether the bytes are those that were hashed."""
        return digest(self.document) == self.sha256


class _Stored(msgspec.Struct):
    number: int
    sha256: str
    document: msgspec.Raw


def save(directory: Path, published: Published) -> None:
    """Replace the file, readable by its owner alone. Raises OSError; the old file then stays."""
    directory.mkdir(parents=True, exist_ok=True)
    content = msgspec.json.encode(
        _Stored(published.number, published.sha256, msgspec.Raw(published.document))
    )
    replace_file(directory / FILE_NAME, content)


def load(directory: Path) -> Published | None:
    """The stored revision; ``None`` when there is none or it is damaged (which is logged)."""
    path = directory / FILE_NAME
    try:
        stored = msgspec.json.decode(path.read_bytes(), type=_Stored)
    except FileNotFoundError:
        return None
    except (OSError, msgspec.MsgspecError, UnicodeDecodeError):
        logger.exception("the last good document cannot be read and is ignored")
        return None
    published = Published(stored.number, stored.sha256, bytes(stored.document))
    if not published.intact:
        logger.error("the last good document does not match its checksum and is ignored")
        return None
    return published
