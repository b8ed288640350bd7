"""Somebody else's Django project with the gateway mounted as a view under everything but /admin."""

from __future__ import annotations

import os
from typing import Any

from django.core.asgi import get_asgi_application

os.environ["DJANGO_SETTINGS_MODULE"] = "tests.support.mounted_settings"
_django = get_asgi_application()


async def application(scope: dict[str, Any], receive: Any, send: Any) -> None:
    """Django's own handler; the view starts the node with the first request."""
    await _django(scope, receive, send)
