"""How the admin looks: Unfold's settings, and the sidebar in the order people work.

A page is listed for those who may see it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.http import HttpRequest
from django.templatetags.static import static
from django.urls import reverse_lazy


def _may_view(app: str, model: str) -> Callable[[HttpRequest], bool]:
    return lambda request: request.user.has_perm(f"{app}.view_{model}")


def _page(title: str, icon: str, app: str, model: str) -> dict[str, Any]:
    return {
        "title": title,
        "icon": icon,
        "link": reverse_lazy(f"admin:{app}_{model}_changelist"),
        "permission": _may_view(app, model),
    }


def _group(title: str, *pages: dict[str, Any]) -> dict[str, Any]:
    return {"title": title, "separator": True, "items": list(pages)}


UNFOLD: dict[str, Any] = {
    "SITE_TITLE": "API gateway",
    "SITE_HEADER": "API gateway",
    "SITE_SYMBOL": "hub",
    "SITE_FAVICONS": [
        {
            "rel": "icon",
            "type": "image/svg+xml",
            "href": lambda _: static("gateway_project/icon.svg"),
        }
    ],
    "SITE_URL": None,
    "SHOW_VIEW_ON_SITE": False,
    "SHOW_BACK_BUTTON": True,
    "SIDEBAR": {
        "show_search": True,
        "show_all_applications": False,
        "navigation": [
            _group(
                "Routing",
                _page("Routes", "alt_route", "routing", "route"),
                _page("Services", "dns", "routing", "service"),
                _page("Instances", "lan", "routing", "serviceinstance"),
            ),
            _group(
                "Callers",
                _page("Consumers", "groups", "keys", "consumer"),
                _page("API keys", "key", "keys", "apikey"),
                _page("Deleted API keys", "key_off", "keys", "archivedapikey"),
                _page("Staff", "person", "auth", "user"),
                _page("Staff groups", "group", "auth", "group"),
            ),
            _group(
                "Limits",
                _page("Rate limits", "speed", "quotas", "ratelimit"),
                _page("Quota plans", "workspace_premium", "quotas", "plan"),
                _page("Usage", "bar_chart", "quotas", "ratelimitrollup"),
                _page("Rate limit records", "receipt", "quotas", "ratelimitrecord"),
            ),
            _group(
                "Health",
                _page("Instance health", "monitor_heart", "proxying", "instancehealth"),
                _page("Circuit breakers", "electrical_services", "proxying", "breakerstate"),
                _page("Breaker orders", "gavel", "proxying", "breakeroverride"),
            ),
            _group(
                "History",
                _page("Revisions", "history", "routing", "revision"),
                _page("Audit log", "receipt_long", "audit", "auditentry"),
            ),
        ],
    },
}
