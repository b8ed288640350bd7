"""The audit log as lines: one for each committed entry, by logger ``gateway.audit``.

Where the lines go, as JSON or text, is the settings' matter (``gateway_project.logs``).
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from audit.models import AuditEntry

logger = logging.getLogger("gateway.audit")
# LOG_LEVEL chooses what else is logged; the audit log has no level.
logger.setLevel(logging.INFO)

_FIELDS = (
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
    "sequence",
    "previous_hash",
    "hash",
)


def write_line(entry: AuditEntry) -> None:
    """Log *entry*; its ``at`` is when it happened, the line's own time when it was written."""
    facts = {name: getattr(entry, name) for name in _FIELDS}
    logger.info(entry.action, extra={"action": entry.action, "at": entry.at.isoformat(), **facts})
