"""Certificates that nobody has signed but their own key."""

from __future__ import annotations

import subprocess
from pathlib import Path

from tests.servers import require


def self_signed(directory: Path) -> tuple[str, str]:
    """Files in *directory* of a certificate for ``localhost`` and its key."""
    [openssl] = require("openssl")
    certificate, key = str(directory / "cert.pem"), str(directory / "key.pem")
    subprocess.run(
        [openssl, "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1",
         "-nodes", "-days", "1", "-subj", "/CN=localhost", "-addext",
         "subjectAltName=DNS:localhost", "-keyout", key, "-out", certificate],
        check=True, capture_output=True, timeout=60,
    )  # fmt: skip
    return certificate, key
