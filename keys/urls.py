"""Where the token endpoints are (CONTRACT §6)."""

from __future__ import annotations

from django.urls import path

from keys import views

urlpatterns = [
    path("auth/token", views.token),
    path("auth/refresh", views.refresh),
    path("auth/revoke", views.revoke),
    path(".well-known/jwks.json", views.jwks),
]
