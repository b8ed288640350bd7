"""The data plane compiled: the same modules, made into machine code by mypyc (``make native``).

What is compiled is a copy beside the sources. It serves only while it was made of exactly the
sources that are here, by the Python that runs; else the sources themselves do. Nothing of the
product is different but its speed, so nothing else asks which of the two runs.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
from collections.abc import Mapping, Sequence
from enum import Enum
from importlib.abc import MetaPathFinder
from importlib.machinery import EXTENSION_SUFFIXES, ModuleSpec
from importlib.util import spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import Final

from gateway_project.declaring import SettingsError
from gateway_project.env_files import PROJECT_DIRECTORY

DIRECTORY: Final = PROJECT_DIRECTORY / "build" / "native"
GROUP: Final = "gateway_native"
"""Name of the library that holds the code; each module of it is a door to it."""
MODULES: Final = tuple(
    f"{package}.{name}"
    for package, names in {
        "gateway_project": "access_log",
        "keys": "authentication caller digest lookup pacing",
        "proxying": "adaptive admission affinity answering attempt balancing breaker exchange "
        "forwarding gateway handshake headers overload retry sliding snapshot trailers upstreams",
        "proxying.bindings": "edge",
        "proxying.upstream": "base native transports",
        "proxying.wire": "answer body client framing pace parsing pool replies requests server "
        "upload",
        "quotas": "bucket limiter meter rules",
        "quotas.stores": "lane memory redis",
        "routing": "paths plans reserved rewriting",
        "runtime": "tally",
    }.items()
    for name in names.split()
)
"""What a request passes through, but for what works in the background beside it. They are compiled
together: their calls of each other are bound to the compiled ones, so a process has all or none."""


class State(Enum):
    """Which data plane a process runs."""

    COMPILED = "in use"
    NOT_COMPILED = "none"
    OUT_OF_DATE = "out of date"
    OFF = "off"


class _Finder(MetaPathFinder):
    """Finds the compiled modules, ahead of their sources."""

    def __init__(self, files: Mapping[str, Path]) -> None:
        self._files = files

    def find_spec(
        self,
        fullname: str,
        path: Sequence[str] | None,
        target: ModuleType | None = None,
    ) -> ModuleSpec | None:
        """The compiled module of that name, if it is one."""
        file = self._files.get(fullname)
        return spec_from_file_location(fullname, file) if file is not None else None


FAST_PATH_VARIABLE: Final = "GATEWAY_FAST_PATH"
"""Where tests keep a fast path of their own; no setting of the operator's."""
_FAST_PATH_SOURCES: Final = PROJECT_DIRECTORY / "native"


def fast_path_directory() -> Path:
    """Where the fast path is, made of ``native/`` by Cargo."""
    return Path(os.environ.get(FAST_PATH_VARIABLE) or PROJECT_DIRECTORY / "build" / "fastpath")


def fast_path() -> Path | None:
    """The library of the fast path, where it was made of exactly the sources that are here."""
    directory = fast_path_directory()
    try:
        stamp = stamp_file(directory).read_text(encoding="ascii")
    except OSError:
        return None
    return directory / "libgateway_fastpath.so" if stamp == fast_path_fingerprint() else None


def fast_path_fingerprint() -> str:
    """Of the sources of the fast path that are here, as hexadecimal SHA-256."""
    files = sorted([*_FAST_PATH_SOURCES.glob("Cargo.*"), *_FAST_PATH_SOURCES.glob("src/*.rs")])
    facts = [(file.name, hashlib.sha256(file.read_bytes()).hexdigest()) for file in files]
    return hashlib.sha256(json.dumps(facts).encode()).hexdigest()


def source_of(module: str) -> Path:
    """The file a module is compiled from."""
    return PROJECT_DIRECTORY.joinpath(*module.split(".")).with_suffix(".py")


def fingerprint() -> str:
    """Of the sources that are here and of the Python that runs, as hexadecimal SHA-256."""
    facts = [sys.implementation.cache_tag, EXTENSION_SUFFIXES[0]]
    facts += [hashlib.sha256(source_of(name).read_bytes()).hexdigest() for name in MODULES]
    return hashlib.sha256(json.dumps([MODULES, facts]).encode()).hexdigest()


def stamp_file(directory: Path) -> Path:
    """Where the build leaves its fingerprint, last of all."""
    return directory / "fingerprint"


def state(directory: Path = DIRECTORY) -> State:
    """What could be run here of what was compiled into *directory*."""
    try:
        stamp = stamp_file(directory).read_text(encoding="ascii")
    except OSError:
        return State.NOT_COMPILED
    return State.COMPILED if stamp == fingerprint() else State.OUT_OF_DATE


def install(wanted: str, directory: Path = DIRECTORY) -> State:
    """Have this process import the compiled modules where there are any; what it runs then.

    *wanted* is the value of ``COMPILED_DATA_PLANE``. Raises ``SettingsError`` when that is
    ``required`` and cannot be. To be called before anything of the data plane is imported.
    """
    found = State.OFF if wanted == "off" else state(directory)
    if found is State.COMPILED and (early := sorted(sys.modules.keys() & set(MODULES))):
        raise RuntimeError(f"imported too early: {', '.join(early)}")
    if found is State.COMPILED:
        sys.meta_path.insert(0, _Finder(_files(directory)))
    elif wanted == "required":
        raise SettingsError(
            f"COMPILED_DATA_PLANE=required: run `make native`, what is compiled is {found.value}"
        )
    return found


def _files(directory: Path) -> dict[str, Path]:
    suffix = EXTENSION_SUFFIXES[0]
    names = (f"{GROUP}__mypyc", *MODULES)
    return {name: directory.joinpath(*name.split(".")).with_suffix(suffix) for name in names}
