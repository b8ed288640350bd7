"""Writing the audit log: who acts, what is left out, and the one function that writes.

The control plane sets the actor with :func:`acting_as` around what it does; whatever changes
rows meanwhile is recorded under that name. Leans on the ORM; never called on the request path.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal

from django.db import models

from audit.models import ActorType, AuditEntry
from runtime.networks import parse_address

Source = Literal["admin", "api", "command", "rollback", "client", "system", "outside"]

REDACTED = "***"
_SECRET_NAMES = ("password", "secret", "token", "digest", "key")
_ACTOR_TYPES: dict[Source, ActorType] = {
    "admin": ActorType.USER,
    "api": ActorType.USER,
    "rollback": ActorType.USER,
    "command": ActorType.COMMAND,
    "client": ActorType.CLIENT,
}


@dataclass(frozen=True, slots=True)
class Acting:
    """Who acts now and through which door. ``outside`` is code nobody announced (a shell)."""

    actor: str = ""
    source: Source = "outside"
    request_id: str = ""
    client_ip: str = ""

    @property
    def actor_type(self) -> ActorType:
        return _ACTOR_TYPES.get(self.source, ActorType.SYSTEM)


_NOBODY = Acting()
_acting: ContextVar[Acting] = ContextVar("acting", default=_NOBODY)


_gathering: ContextVar[list[AuditEntry] | None] = ContextVar("gathering", default=None)


def acting() -> Acting:
    """Who acts in this context."""
    return _acting.get()


@contextmanager
def acting_as(
    actor: str, source: Source, request_id: str = "", client_ip: str = ""
) -> Iterator[Acting]:
    """Name the actor of everything recorded inside the block."""
    here = Acting(actor, source, request_id, client_ip)
    token = _acting.set(here)
    try:
        yield here
    finally:
        _acting.reset(token)


@contextmanager
def gathered(using: str) -> Iterator[None]:
    """Write what is recorded inside the block in one go at its end, before its transaction's.

    A change of ten thousand rows takes the chain's lock once. Nothing is written when the block
    fails: neither is the change.
    """
    entries: list[AuditEntry] = []
    token = _gathering.set(entries)
    try:
        yield
    finally:
        _gathering.reset(token)
    AuditEntry.objects.using(using).append(entries)


def record(
    action: str,
    *,
    actor: str | None = None,
    actor_type: ActorType | None = None,
    obj: models.Model | None = None,
    object_type: str = "",
    object_name: str = "",
    changes: Mapping[str, Any] | None = None,
    outcome: str = "success",
    using: str | None = None,
) -> AuditEntry:
    """Write one entry, in the caller's transaction if there is one; see :func:`gathered`.

    *actor* and *actor_type* default to those of :func:`acting_as`; *object_type* and
    *object_name* to the model's name and ``str(obj)``. Values in *changes* whose name speaks of
    a secret are replaced.
    """
    here = acting()
    entry = new_entry(
        action,
        actor=here.actor if actor is None else actor,
        actor_type=actor_type or here.actor_type,
        object_type=object_type or (obj._meta.model_name or "" if obj else ""),
        object_id="" if obj is None or obj.pk is None else str(obj.pk),
        object_name=object_name or ("" if obj is None else str(obj)),
        changes=changes or {},
        request_id=here.request_id,
        client_ip=here.client_ip,
        outcome=outcome,
    )
    entries = _gathering.get()
    if entries is None:
        entry.save(using=using)
    else:
        entries.append(entry)
    return entry


def new_entry(
    action: str, *, changes: Mapping[str, Any], client_ip: str, **fields: Any
) -> AuditEntry:
    """An entry not yet written: secrets left out, texts cut to what fits."""
    fitting = {
        name: _fit(name, value) if isinstance(value, str) else value
        for name, value in fields.items()
    }
    return AuditEntry(
        action=action, changes=redact(changes), client_ip=_address(client_ip), **fitting
    )


def redact(values: Mapping[str, Any]) -> dict[str, Any]:
    """A copy of *values* in which everything under a secret's name is ``***``, at any depth."""
    return {
        name: REDACTED if _is_secret(name) and not _tells_nothing(value) else _inside(value)
        for name, value in values.items()
    }


def _inside(value: Any) -> Any:
    if value is None or isinstance(value, str | int | float):
        return value
    if isinstance(value, Mapping):
        return redact(value)
    if isinstance(value, list | tuple):
        return [_inside(item) for item in value]
    return value


@lru_cache(maxsize=4096)
def _is_secret(name: str) -> bool:
    lowered = str(name).lower()
    return any(secret in lowered for secret in _SECRET_NAMES)


def _tells_nothing(value: Any) -> bool:
    """A switch named after a credential (``forward_authorization``) holds none."""
    if isinstance(value, Mapping):
        return all(_tells_nothing(inner) for inner in value.values())
    return value is None or isinstance(value, bool)


def _fit(name: str, text: str) -> str:
    field = AuditEntry._meta.get_field(name)
    return text[: getattr(field, "max_length", None)]


def _address(text: str) -> str | None:
    # One spelling, or the hash of what is stored would not be that of what was written.
    address = parse_address(text)
    return None if address is None else str(address)
