"""The engine's own tests: what it reads never panics, and what it computes is right."""

from __future__ import annotations

import subprocess

from tests.support.process import PROJECT


def test_the_engine_passes_its_own() -> None:
    command = ["cargo", "test", "--offline", "--quiet", "--target-dir", "../build/cargo"]
    done = subprocess.run(
        command, cwd=PROJECT / "native", capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "0 failed" in done.stdout
