"""Not one byte more can be written anywhere in the gateway's directories, and nobody notices."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults.conftest import PLAIN, Lab
from tests.faults.outcomes import figures
from tests.faults.processes import replace_workers, workers_of
from tests.support.load import Load


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 40 MB."""
    mount = tmp_path / "disk"
    mount.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=40m", "tmpfs", str(mount)]
    if subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("needs the right to mount a file system")
    yield mount
    subprocess.run(["umount", "-l", str(mount)], check=True)


@pytest.mark.slow
@pytest.mark.timeout(180)
def test_a_full_disk_costs_no_request_and_no_worker(lab: Lab, small_disk: Path) -> None:
    gateway = lab.gateway.copy(small_disk, {"LOG_DIRECTORY": str(small_disk / "logs")})
    with gateway.serving("--workers", "2"):
        process = gateway.process
        assert process is not None
        before = workers_of(process.pid)
        with Load(gateway.port, PLAIN, 300, 16).running() as load:
            _fill(small_disk)
            for target in ("/guarded", "/sticky", "/keyed", "/nothing", "/metrics"):
                assert gateway.request("GET", target).status in (200, 404)
            assert workers_of(process.pid) == before
            replace_workers(gateway, seconds=60)
        (small_disk / "filler").unlink()
    received = sum(lab.received("/plain"))
    assert figures("disk full, workers replaced", load.outcomes, received=received).errors == 0


def _fill(directory: Path) -> None:
    filler = os.open(directory / "filler", os.O_WRONLY | os.O_CREAT)
    try:
        while True:
            os.write(filler, bytes(4096))
    except OSError:
        os.close(filler)
