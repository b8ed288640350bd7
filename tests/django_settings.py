"""Settings of the test session: nothing of the developer's ``.env``, nothing under ``var/``.

Must be loaded before Django: the variables are set here, then the product's settings are read.
"""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile
from pathlib import Path

DIRECTORY = Path(tempfile.mkdtemp(prefix="gateway-tests-"))
atexit.register(shutil.rmtree, DIRECTORY, ignore_errors=True)
RUN_DIRECTORY = Path(os.environ.setdefault("GATEWAY_TEST_RUN", str(DIRECTORY)))
"""Of the first process of a parallel run, which outlives its workers."""
ENVIRONMENT = {
    "ENVIRONMENT": "default",
    "ENV_FILE": os.devnull,
    "VAR_DIRECTORY": str(DIRECTORY),
    "DEBUG": "false",
    "DRAIN_ACCEPT_SECONDS": "0",
    "COMPILED_DATA_PLANE": os.environ.get("COMPILED_DATA_PLANE", "off"),
    "SECRET_KEY": "a-secret-of-the-test-session-0123456789-abcdefgh",
    "JWT_SECRET_KEY": "another-secret-of-the-test-session-0123456789-abc",
}


def _keep_only_what_tests_ask_for() -> None:
    from gateway_project.env_files import declarations

    for name in declarations():
        os.environ.pop(name.upper(), None)
        os.environ.pop(f"{name.upper()}_FILE", None)
    os.environ.update(ENVIRONMENT)


_keep_only_what_tests_ask_for()

from gateway_project.settings import *

# A file, not memory: threads and second connections see what the product's would see.
DATABASES["default"]["TEST"] = {"NAME": str(DIRECTORY / "test.sqlite3")}
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
# The product's listener thread would hide records from caplog.
LOGGING_CONFIG = None
# Each test client loads the middleware anew; looking through all static files each time is most of
# what a request would cost.
WHITENOISE_AUTOREFRESH = True
