"""Paths that Django answers: the admin and the REST API. The probes stand in front."""

from __future__ import annotations

from django.contrib import admin
from django.urls import include, path

urlpatterns = [
    path("admin/", admin.site.urls),
    path("api/gateway/", include("gateway_project.api.urls")),
]
