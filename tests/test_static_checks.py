"""The static checks hold everywhere, and the stubs they rest on speak of what there is."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest

PROJECT = Path(__file__).resolve().parent.parent
EXEMPTION = re.compile(r"#\s*(?:noqa|type:\s*ignore|ruff:|flake8:|mypy:)", re.IGNORECASE)
STUBS = PROJECT / "typings"
NOT_SOURCE = {"var", "build"}


def sources() -> Iterator[Path]:
    yield from PROJECT.glob("*.py")
    for directory in PROJECT.iterdir():
        if directory.is_dir() and directory.name[0] != "." and directory.name not in NOT_SOURCE:
            yield from directory.rglob("*.py")
            yield from directory.rglob("*.pyi")


def test_no_line_is_exempt_from_the_checks() -> None:
    exempt = [
        f"{path.relative_to(PROJECT)}:{number}"
        for path in sources()
        for number, line in enumerate(path.read_text("utf-8").splitlines(), 1)
        if EXEMPTION.search(line)
    ]
    assert exempt == []


def described(path: Path) -> set[str]:
    """The classes, methods and functions a file defines, private type variables left out."""
    names = set()
    for node in ast.parse(path.read_text("utf-8")).body:
        if isinstance(node, ast.ClassDef):
            names.add(node.name)
            methods = [each for each in node.body if isinstance(each, ast.FunctionDef)]
            names |= {f"{node.name}.{each.name}" for each in methods}
        elif isinstance(node, ast.FunctionDef):
            names.add(node.name)
    return names


@pytest.mark.parametrize(
    "stub", sorted(STUBS.rglob("*.pyi")), ids=lambda stub: str(stub.relative_to(STUBS))
)
def test_a_stub_describes_nothing_its_package_lacks(stub: Path) -> None:
    parts = stub.relative_to(STUBS).with_suffix("").parts
    spec = find_spec(".".join(part for part in parts if part != "__init__"))
    assert spec is not None
    assert spec.origin is not None
    inherited = {"OpenApiSerializerExtension.__init_subclass__"}
    assert described(stub) - inherited <= described(Path(spec.origin))
