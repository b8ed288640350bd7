"""Where the processes of one gateway keep the metrics they share: in memory, where that is had.

The files are mapped into memory. On a full disk the first write to a new page of one ends the
process (SIGBUS), so they lie on no disk if that can be had. Leans on nothing of Django.
"""

from __future__ import annotations

import os
import shutil
import stat
from hashlib import sha256
from pathlib import Path

from runtime.rows import SUFFIX

_MEMORY = Path("/dev") / "shm"
_VARIABLE = "PROMETHEUS_MULTIPROC_DIR"


def prepare(var_directory: Path) -> None:
    """Make an empty directory for the gateway in *var_directory*, and tell prometheus_client of it.

    Raises ``OSError``.
    """
    directory = _in_memory(var_directory) or var_directory / "metrics"
    directory.mkdir(mode=0o750, parents=True, exist_ok=True)
    for file in (*directory.glob("*.db"), *directory.glob("*" + SUFFIX)):
        file.unlink()
    os.environ[_VARIABLE] = str(directory)


def remove() -> None:
    """Give the memory back, when every process has ended."""
    directory = Path(os.environ.get(_VARIABLE, ""))
    if directory.parent == _MEMORY:
        shutil.rmtree(directory, ignore_errors=True)


def _in_memory(var_directory: Path) -> Path | None:
    """``None`` where there is no memory to be had, or somebody else has taken the name."""
    name = sha256(str(var_directory.resolve()).encode()).hexdigest()[:16]
    directory = _MEMORY / f"gateway-{os.geteuid()}-{name}"
    try:
        directory.mkdir(mode=0o700, exist_ok=True)
        found = directory.lstat()
    except OSError:
        return None
    ours = stat.S_ISDIR(found.st_mode) and found.st_uid == os.geteuid()
    return directory if ours and not found.st_mode & 0o022 else None
