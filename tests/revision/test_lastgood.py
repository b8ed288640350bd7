"""The last good document is whole, or it is not believed."""

from __future__ import annotations

import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from routing.document import Document, RouteSpec, digest
from routing.lastgood import FILE_NAME, Published, load, save

DOCUMENT = Document(routes=(RouteSpec(name="é", path="/a", service="s"),)).encode()
PUBLISHED = Published(7, digest(DOCUMENT), DOCUMENT)


def test_what_was_saved_is_loaded(tmp_path: Path) -> None:
    save(tmp_path / "var", PUBLISHED)
    assert load(tmp_path / "var") == PUBLISHED


def test_the_file_is_its_owners_alone_and_nothing_else_is_left(tmp_path: Path) -> None:
    save(tmp_path, PUBLISHED)
    save(tmp_path, PUBLISHED)
    (file,) = tmp_path.iterdir()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_no_file_is_no_document(tmp_path: Path) -> None:
    assert load(tmp_path) is None


@pytest.mark.parametrize(
    "damage",
    [
        lambda content: content[: len(content) // 2],
        lambda content: content.replace(b"/a", b"/b"),
        lambda content: b"",
        lambda content: b"\xff" + content,
    ],
)
def test_a_damaged_file_is_ignored_and_logged(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, damage: Callable[[bytes], bytes]
) -> None:
    save(tmp_path, PUBLISHED)
    file = tmp_path / FILE_NAME
    file.write_bytes(damage(file.read_bytes()))
    assert load(tmp_path) is None
    assert "last good document" in caplog.text


def test_a_failed_write_leaves_the_old_file(tmp_path: Path) -> None:
    save(tmp_path, PUBLISHED)
    (tmp_path / FILE_NAME).rename(tmp_path / "kept")
    (tmp_path / FILE_NAME).mkdir()
    (tmp_path / FILE_NAME / "in-the-way").touch()
    with pytest.raises(OSError, match="directory"):
        save(tmp_path, PUBLISHED)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["kept", FILE_NAME]
