"""The admin, and the gateway for everything else."""

from __future__ import annotations

from django.contrib import admin
from django.urls import path, re_path

from gateway_project.mounting import gateway_view

urlpatterns = [path("admin/", admin.site.urls), re_path("", gateway_view)]
