"""The Content-Security-Policy of the pages Django serves."""

from __future__ import annotations

from typing import Final

from csp.constants import UNSAFE_EVAL
from csp.middleware import CSPMiddleware, PolicyParts
from django.http import HttpRequest, HttpResponseBase

_ADMIN: Final = "/admin/"


class ContentPolicyMiddleware(CSPMiddleware):
    """Allows compiled expressions under /admin/ alone: Unfold's Alpine needs them."""

    def get_policy_parts(
        self, request: HttpRequest, response: HttpResponseBase, report_only: bool = False
    ) -> PolicyParts:
        """The policy of settings, wider for the admin."""
        parts: PolicyParts = super().get_policy_parts(request, response, report_only)
        if request.path_info.startswith(_ADMIN) and not report_only:
            parts.update = {**(parts.update or {}), "script-src": UNSAFE_EVAL}
        return parts
