"""The product's settings for gateways that tests start: a password costs no third of a second."""

from __future__ import annotations

from gateway_project.settings import *
from tests.support.as_installed import leave_out_requests

leave_out_requests()
PASSWORD_HASHERS = ["tests.support.quick_hasher.QuickHasher"]
