"""Gateways that tests start find what the product's own list of requirements installs."""

from __future__ import annotations

import sys
from types import ModuleType
from typing import cast


def leave_out_requests() -> None:
    """Let it not be there: Django REST framework would load it, for a twelfth of a start."""
    sys.modules.setdefault("requests", cast(ModuleType, None))
