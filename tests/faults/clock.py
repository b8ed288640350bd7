"""A wall clock that a test sets, for processes of their own: ``clock.c``, preloaded."""

from __future__ import annotations

import os
import struct
import subprocess
from pathlib import Path

from tests import servers


class WallClock:
    """Off by as many seconds as it was last set to, in every process that has its environment."""

    def __init__(self, directory: Path) -> None:
        [compiler] = servers.require("cc")
        source, library = Path(__file__).with_name("clock.c"), directory / "clock.so"
        command = [compiler, "-shared", "-fPIC", "-O1", "-o", str(library), str(source), "-ldl"]
        subprocess.run(command, check=True)
        self._file = os.open(directory / "clock", os.O_RDWR | os.O_CREAT)
        self.environment = {
            "LD_PRELOAD": str(library),
            "CLOCK_OFFSET_FILE": str(directory / "clock"),
        }
        self.set(0)

    def set(self, seconds: int) -> None:
        """From this moment on it is *seconds* fast, or slow when they are negative."""
        os.pwrite(self._file, struct.pack("=q", seconds), 0)

    def close(self) -> None:
        """The file is not needed any more."""
        os.close(self._file)
