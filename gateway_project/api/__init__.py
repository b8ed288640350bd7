"""The REST API under ``/api/gateway/`` (CONTRACT §6): the admin's models, for programs.

It spans the apps, so it stands on the top floor. It validates nothing itself: services and routes
go through :mod:`routing.decoding` and :func:`routing.revision.apply`, the rest through the models.
"""
