"""The audit log as lines: one for each committed entry, by logger ``gateway.audit``; whoever proves
to be somebody, or fails to, is a line of ``gateway.access`` too.

Where the lines go, as JSON or text, is the settings' matter (``gateway_project.logs``).
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from audit.models import AuditEntry

logger = logging.getLogger("gateway.audit")
access_logger = logging.getLogger("gateway.access")
# LOG_LEVEL chooses what else is logged; these two have no level.
logger.setLevel(logging.INFO)
access_logger.setLevel(logging.INFO)

_EVENT = (
    "actor",
    "actor_type",
    "object_type",
    "object_id",
    "object_name",
    "changes",
    "request_id",
    "client_ip",
    "outcome",
    "node",
)
_LINK = ("sequence", "previous_hash", "hash")
_AUTHENTICATION = ("login.", "logout", "token.", "credential.")
"""How the actions begin that are lines of ``access.log``."""


def write_line(entry: AuditEntry) -> None:
    """Log *entry*; its ``at`` is when it happened, the line's own time when it was written."""
    facts = {"action": entry.action, "at": entry.at.isoformat()}
    facts |= {name: getattr(entry, name) for name in _EVENT}
    if entry.action.startswith(_AUTHENTICATION):
        access_logger.info(entry.action, extra=facts)
    logger.info(entry.action, extra=facts | {name: getattr(entry, name) for name in _LINK})
