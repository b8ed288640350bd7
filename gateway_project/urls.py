"""Paths that Django answers: the admin. The gateway's own probes stand in front of Django."""

from __future__ import annotations

from django.contrib import admin
from django.urls import path

urlpatterns = [path("admin/", admin.site.urls)]
