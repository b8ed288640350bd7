"""The product's settings for gateways that tests start: a password costs no third of a second."""

from __future__ import annotations

from gateway_project.settings import *

PASSWORD_HASHERS = ["tests.support.quick_hasher.QuickHasher"]
