"""The product's settings with another URLconf."""

from __future__ import annotations

from gateway_project.settings import *  # noqa: F403 the settings under test

ROOT_URLCONF = "tests.support.mounted_urls"
