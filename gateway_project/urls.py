"""Paths that Django answers: the admin, the REST API, the token endpoints. The data plane has the
probes."""

from __future__ import annotations

from django.contrib import admin
from django.urls import include, path

urlpatterns = [
    path("admin/", admin.site.urls),
    path("api/gateway/", include("gateway_project.api.urls")),
    path("", include("keys.urls")),
]

handler400 = "gateway_project.refused.bad_request"
handler404 = "gateway_project.refused.not_found"
handler500 = "gateway_project.refused.failed"
