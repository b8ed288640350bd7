"""Key sets of external issuers on disk, so that a node verifies after a restart while one is away.

A file for each issuer in ``VAR_DIRECTORY/issuers``, named after issuer and address together, so a
node that is told of another address asks there first. Only public members of keys are written.
Leans on the file system; called in a thread.
"""

from __future__ import annotations

import json
import logging
from hashlib import sha256
from pathlib import Path
from typing import Any

from keys.issuers import ExternalIssuer
from runtime.files import replace_file

logger = logging.getLogger(__name__)

_LARGEST = 256 * 1024
_PUBLIC = ("kty", "kid", "use", "alg", "crv", "x", "y", "n", "e")


def directory_of(var_directory: Path) -> Path:
    """Where the key sets are kept."""
    return var_directory / "issuers"


class KeyCache:
    """The last key set of *issuer* that could be used, in *directory*."""

    def __init__(self, directory: Path, issuer: ExternalIssuer) -> None:
        name = sha256(f"{issuer.name}\0{issuer.jwks_url}".encode()).hexdigest()[:32]
        self._path = directory / f"{name}.json"

    def load(self) -> bytes | None:
        """What was stored, ``None`` when there is nothing (or nothing that can be read)."""
        try:
            with self._path.open("rb") as file:
                return file.read(_LARGEST)
        except FileNotFoundError:
            return None
        except OSError:
            logger.exception("a stored key set cannot be read and is ignored")
            return None

    def save(self, content: bytes) -> None:
        """Store the key set in *content*, whole or not at all; a failure is logged."""
        try:
            self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            replace_file(self._path, _public_part(content))
        except OSError:
            logger.exception("a key set cannot be stored; after a restart it is fetched anew")


def _public_part(content: bytes) -> bytes:
    """The set without whatever is no public member of a key."""
    entries: list[Any] = json.loads(content)["keys"]
    kept = [
        {name: entry[name] for name in _PUBLIC if name in entry}
        for entry in entries
        if isinstance(entry, dict) and "d" not in entry
    ]
    return json.dumps({"keys": kept}).encode()
