"""The product's settings with another URLconf."""

from __future__ import annotations

from tests.support.served_settings import *

ROOT_URLCONF = "tests.support.mounted_urls"
