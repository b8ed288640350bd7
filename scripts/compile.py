"""Compile the data plane with mypyc: what ``make native`` runs. Needs a C compiler.

The result is put in place when it is whole; ``gateway_project.compiled`` finds it there.
"""

from __future__ import annotations

import os
import shutil
import sys
from importlib import import_module
from pathlib import Path

from mypyc.build import mypycify

_PROJECT = Path(__file__).resolve().parent.parent
_CONFIGURATION = """\
[mypy]
python_version = 3.11
follow_imports = silent
ignore_missing_imports = True
disable_error_code = import-untyped
mypy_path = typings
"""


def main() -> None:
    """Compile into a directory of its own and swap it in, unless what is there is right."""
    sys.path.insert(0, str(_PROJECT))
    os.chdir(_PROJECT)
    from gateway_project import compiled

    if compiled.state() is compiled.State.COMPILED:
        return
    made = compiled.DIRECTORY.with_name("native-new")
    work = compiled.DIRECTORY.with_name("native-objects")
    shutil.rmtree(made, ignore_errors=True)
    work.mkdir(parents=True, exist_ok=True)
    configuration = work / "mypy.ini"
    configuration.write_text(_CONFIGURATION, encoding="ascii")
    # Before the sources are read: a change made meanwhile makes the result out of date.
    fingerprint = compiled.fingerprint()
    sources = [str(compiled.source_of(name).relative_to(_PROJECT)) for name in compiled.MODULES]
    import_module("setuptools").setup(
        name="gateway-native",
        packages=[],
        script_args=["--quiet", "build_ext", f"--build-lib={made}", f"--build-temp={work}"],
        ext_modules=mypycify(
            [f"--config-file={configuration}", *sources],
            opt_level="3",
            debug_level="0",
            group_name=compiled.GROUP,
            multi_file=True,
            target_dir=str(work / "c"),
        ),
    )
    compiled.stamp_file(made).write_text(fingerprint, encoding="ascii")
    shutil.rmtree(compiled.DIRECTORY, ignore_errors=True)
    made.rename(compiled.DIRECTORY)


if __name__ == "__main__":
    main()
