"""The rows configuration is edited in: services, their instances, routes, and what was published.

Field names and defaults are those of the document (:mod:`routing.document`); what a value means is
checked by compiling it (:mod:`routing.table`), so a form refuses exactly what a worker would.
"""

from __future__ import annotations

from routing.models.revision import Revision, RevisionHead
from routing.models.route import Route
from routing.models.service import Service, ServiceInstance

__all__ = ["Revision", "RevisionHead", "Route", "Service", "ServiceInstance"]
