"""The written settings file and the written documentation."""

from __future__ import annotations

import stat
import subprocess
import sys
from pathlib import Path

import pytest

from gateway_project import env_files
from gateway_project.declaring import SettingsError
from gateway_project.env import get_settings

PROJECT = Path(__file__).resolve().parents[2]


def test_the_documentation_says_what_the_code_does() -> None:
    assert (PROJECT / "docs/settings.md").read_text("utf-8") == env_files.markdown()


def test_a_file_is_never_overwritten(tmp_path: Path) -> None:
    path = tmp_path / ".env"
    path.write_text("mine", "utf-8")
    with pytest.raises(SettingsError, match="left as it is"):
        env_files.create("default", path=path)
    assert path.read_text("utf-8") == "mine"


def test_the_file_is_readable_by_its_owner_alone(tmp_path: Path) -> None:
    path = env_files.create("default", path=tmp_path / ".env")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_the_written_file_is_complete_and_loads(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = env_files.create("prod", "cluster", tmp_path / ".env.prod")
    for name in ("SECRET_KEY", "JWT_SECRET_KEY", "DEBUG", "VAR_DIRECTORY"):
        monkeypatch.delenv(name)
    get_settings.cache_clear()
    settings = get_settings("prod", str(path))
    get_settings.cache_clear()
    assert settings.is_cluster_mode
    assert len(settings.secret_key) >= 64
    assert settings.secret_key != settings.jwt_secret_key


def test_every_commented_default_is_an_allowed_value(tmp_path: Path) -> None:
    text = env_files.example("dev").replace("\n# ", "\n")
    lines = [line for line in text.splitlines() if line[:1].isupper() and " " not in line[:12]]
    path = tmp_path / ".env"
    path.write_text("\n".join(line for line in lines if "=" in line.split(" ")[0]), "utf-8")
    get_settings.cache_clear()
    assert get_settings("dev", str(path)).undeclared == ()
    get_settings.cache_clear()


def test_every_setting_is_in_the_file_once() -> None:
    text = env_files.example("default")
    for name in env_files.declarations():
        assert text.count(f"\n{name.upper()}=") + text.count(f"\n# {name.upper()}=") == 1


def test_the_command_runs_where_settings_cannot_be_read(
    gateway_environment: dict[str, str],
) -> None:
    gateway_environment["SECRET_KEY"] = ""
    done = subprocess.run(
        [sys.executable, PROJECT / "manage.py", "create_env", "--markdown"],
        env=gateway_environment, capture_output=True, text=True, timeout=30, check=True,
    )  # fmt: skip
    assert done.stdout.startswith("# Settings\n")
