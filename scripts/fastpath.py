"""Make the fast path with Cargo: part of ``make native``. Needs Rust; no package is fetched."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

_PROJECT = Path(__file__).resolve().parent.parent
_NAME = "libgateway_fastpath.so"


def main() -> int:
    """Build and put in place, unless what is there is right; 0 where it cannot be made."""
    sys.path.insert(0, str(_PROJECT))
    from gateway_project import compiled

    if compiled.fast_path() is not None:
        return 0
    cargo = shutil.which("cargo")
    if cargo is None or sys.platform != "linux":
        print("no Rust on Linux: the fast path is not made, requests go without", file=sys.stderr)
        return 0
    # Before the sources are read: a change made meanwhile makes the result out of date.
    fingerprint = compiled.fast_path_fingerprint()
    target = _PROJECT / "build" / "cargo"
    build = [cargo, "build", "--release", "--offline", "--quiet", "--target-dir", str(target)]
    subprocess.run(build, cwd=_PROJECT / "native", check=True)
    directory = compiled.fast_path_directory()
    directory.mkdir(parents=True, exist_ok=True)
    # Replaced, not written over: a worker may be running what is there.
    new = directory / f"{_NAME}.{os.getpid()}"
    shutil.copyfile(target / "release" / _NAME, new)
    new.replace(directory / _NAME)
    compiled.stamp_file(directory).write_text(fingerprint, encoding="ascii")
    return 0


if __name__ == "__main__":
    sys.exit(main())
