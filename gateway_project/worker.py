"""The application of a worker of ``serve``: the data plane alone.

The admin, the API and what they stand on take as much memory as all the rest; they are served by
the control plane, so a worker loads no app but those its models need.
"""

from __future__ import annotations

import os

from django.apps import apps
from django.conf import settings
from django.utils.log import configure_logging

from gateway_project.application import Application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "gateway_project.settings")
if settings.LOGGING_CONFIG:
    configure_logging(settings.LOGGING_CONFIG, settings.LOGGING)
apps.populate(settings.WORKER_APPS)
application = Application()
