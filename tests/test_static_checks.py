"""The static checks hold everywhere: no line and no file is exempt by a comment."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

PROJECT = Path(__file__).resolve().parent.parent
EXEMPTION = re.compile(r"#\s*(?:noqa|type:\s*ignore|ruff:|flake8:|mypy:)", re.IGNORECASE)
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
