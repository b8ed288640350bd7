"""The gateway as a Django view: ``re_path(r"^shop/", gateway_view)`` in your own URLconf.

The slow binding; see ``proxying.bindings.view`` for what it does not carry. The node starts with
the first request.
"""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.views.decorators.clickjacking import xframe_options_exempt
from django.views.decorators.csrf import csrf_exempt

from gateway_project.asgi import application
from proxying.bindings.view import serve


@csrf_exempt
@xframe_options_exempt
async def gateway_view(request: HttpRequest, **captured: Any) -> HttpResponseBase:
    """Serve *request* by its whole path; what the URLconf captured is not looked at."""
    node = await application.node()
    return await serve(node.gateway, request)
