"""Revisions: the doors through which configuration is published, applied and taken back.

Compile, check, store, announce. A revision is the whole configuration as one document; publishing
one locks :class:`~routing.models.RevisionHead` before the rows are read, so of two publishers the
second sees what the first left. Leans on :mod:`routing.reading` and :mod:`routing.writing` for the
rows, and on ``runtime.notify`` to wake the workers.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial

import msgspec
from django.conf import settings
from django.db import transaction

from audit.recorder import Source, acting, acting_as, gathered, record
from routing.addresses import parse_instance_url
from routing.decoding import decode_document
from routing.difference import Diff, compare
from routing.document import Document, ServiceSpec, digest
from routing.errors import ConfigurationError, Fault
from routing.files import Files
from routing.models import Revision, RevisionHead
from routing.overlaps import unreachable
from routing.reading import Compiled, compile_rows, database, faults_of
from routing.suspension import suspended
from routing.writing import write
from runtime.notify import announce
from runtime.transactions import have_row, repeated

__all__ = [
    "TOPIC",
    "Compiled",
    "apply",
    "compile_rows",
    "current",
    "editing",
    "publish",
    "rollback",
]

logger = logging.getLogger(__name__)

TOPIC = "revision"
"""What watchers of the current revision are woken by."""

_FAULTS_LOGGED = 20


def current() -> Revision | None:
    """The revision workers should serve; ``None`` before the first publish."""
    using = database()
    head = RevisionHead.objects.using(using).first()
    return Revision.objects.using(using).filter(number=head.number).first() if head else None


@contextmanager
def editing() -> Iterator[Compiled]:
    """The rows as they are, while every other publisher waits: to look, decide, then write.

    One transaction; what is written inside is undone when the block raises.
    """
    with transaction.atomic(using=database()):
        _locked_head()
        yield compile_rows()


@repeated
def publish(source: Source, actor: str, comment: str = "") -> Revision | None:
    """Store all rows as a new revision and announce it; ``None`` when nothing changed.

    What does not compile is published closed, logged and counted in ``faults``: one bad row
    cannot hold up everybody else's change.
    """
    with transaction.atomic(using=database()):
        head = _locked_head()
        return _publish(head, compile_rows(), source, actor, comment)


@repeated
def apply(
    wanted: Document | Files,
    *,
    prune: bool = False,
    dry_run: bool = False,
    stored: Compiled | None = None,
    actor: str = "",
    source: Source = "command",
    comment: str = "",
) -> Diff:
    """Make the rows those of *wanted* and publish one revision; returns what changed.

    Objects that *wanted* does not name stay as they are, or go with *prune*. All happens in one
    transaction, which *dry_run* undoes. *stored* is what :func:`editing` gave to whoever calls this
    inside of it. Raises ConfigurationError, and then nothing changed.
    """
    files = wanted if isinstance(wanted, Files) else Files(wanted)
    using = database()
    by = acting_as(actor, source, acting().request_id, acting().client_ip)
    try:
        with transaction.atomic(using=using), suspended(), by:
            head = _locked_head()
            stored = stored or compile_rows()
            goal = _goal(stored, files.document, prune=prune)
            diff = replace(compare(stored.document, goal), warnings=tuple(_warnings(goal, files)))
            with gathered(using):
                write(stored, goal, diff, using)
            reached = compile_rows()
            _require(goal, reached.document)
            if dry_run:
                transaction.set_rollback(True, using=using)
                return diff
            published = _publish(head, reached, source, actor, comment)
            number = published.number if published else None
            return replace(diff, revision=number, document=reached.document)
    except ConfigurationError as error:
        raise ConfigurationError([files.locate(fault) for fault in error.faults]) from error


def _warnings(goal: Document, files: Files) -> Iterator[Fault]:
    """Routes without effect, where one of the two is in *files*."""
    named = {route.name for route in files.document.routes}
    for overlap in unreachable(goal.routes):
        if overlap.route in named or overlap.winner in named:
            yield files.locate(Fault(f"routes.{overlap.route}", "", str(overlap)))


def rollback(number: int, actor: str) -> Revision | None:
    """Restore the rows of revision *number* and publish them as a new revision.

    ``None`` when it is what is published already. Raises ConfigurationError when there is no
    such revision or it does not validate.
    """
    old = Revision.objects.using(database()).filter(number=number).first()
    if old is None:
        raise ConfigurationError([Fault(f"revision {number}", "", "does not exist")])
    decoded = decode_document(old.document.encode())
    if decoded.faults:
        raise ConfigurationError(decoded.faults)
    diff = apply(
        decoded.document,
        prune=True,
        actor=actor,
        source="rollback",
        comment=f"rollback to revision {number}",
    )
    return current() if diff.revision else None


def _locked_head() -> RevisionHead:
    heads = RevisionHead.objects.using(database())
    head = heads.select_for_update().first()
    if head is None:
        have_row(RevisionHead(), database())
        head = heads.select_for_update().get(pk=1)
    return head


def _goal(stored: Compiled, wanted: Document, *, prune: bool) -> Document:
    """The document to reach. Raises ConfigurationError when *wanted* has a fault in it."""
    services = dict(wanted.services)
    routes = {route.name: route for route in wanted.routes}
    named = {*(f"services.{name}" for name in services), *(f"routes.{name}" for name in routes)}
    named |= {f"limits[{place}]" for place in range(len(wanted.limits))}
    limits = wanted.limits
    if not prune:
        services = {**stored.document.services, **services}
        routes = {**{route.name: route for route in stored.document.routes}, **routes}
        limits = limits or stored.document.limits
    goal = Document(services=services, routes=tuple(routes.values()), limits=limits).canonical()
    # A fault of a row that is not touched is older than this change and does not forbid it.
    faults = [one for one in faults_of(goal, stored.unreadable - named) if one.where in named]
    if faults:
        raise ConfigurationError(faults)
    as_stored = {name: _as_stored(spec) for name, spec in wanted.services.items()}
    return msgspec.structs.replace(goal, services={**goal.services, **as_stored})


def _as_stored(spec: ServiceSpec) -> ServiceSpec:
    """*spec* with the one spelling and order of instances that rows are kept in."""
    instances = [msgspec.structs.replace(one, url=_origin(one.url)) for one in spec.instances]
    ordered = tuple(sorted(instances, key=lambda one: one.url))
    return msgspec.structs.replace(spec, instances=ordered)


def _origin(url: str) -> str:
    address = parse_instance_url(url)
    return f"{address.scheme}://{address.authority.decode()}"


def _require(goal: Document, reached: Document) -> None:
    missed = compare(goal, reached)
    if missed:
        raise ConfigurationError(
            [
                Fault(f"{one.kind}s.{one.name}", field.field, "cannot be stored as written")
                for one in missed.changes
                for field in one.fields
            ]
        )


def _publish(
    head: RevisionHead, compiled: Compiled, source: Source, actor: str, comment: str
) -> Revision | None:
    encoded = compiled.document.encode()
    sha256 = digest(encoded)
    if sha256 == head.sha256:
        return None
    using = database()
    revision = Revision(
        number=head.number + 1,
        sha256=sha256,
        document=encoded.decode(),
        created_by=actor[: Revision._meta.get_field("created_by").max_length],
        source=source,
        comment=comment[: Revision._meta.get_field("comment").max_length],
        faults=compiled.faulty,
    )
    revision.save(using=using, force_insert=True)
    head.number, head.sha256 = revision.number, sha256
    head.save(using=using)
    oldest = revision.number - settings.GATEWAY.revisions_kept
    Revision.objects.using(using).filter(number__lte=oldest).delete()
    _tell(revision, compiled, actor)
    transaction.on_commit(partial(announce, TOPIC), using=using)
    return revision


def _tell(revision: Revision, compiled: Compiled, actor: str) -> None:
    """Log and audit a new revision and the faults it was published with."""
    logger.info("published revision %d (%s)", revision.number, revision.sha256[:12])
    for fault in compiled.faults[:_FAULTS_LOGGED]:
        logger.error("revision %d: %s", revision.number, fault)
    record(
        "revision.published",
        actor=actor,
        obj=revision,
        changes={
            "source": revision.source,
            "faults": [str(fault) for fault in compiled.faults[:_FAULTS_LOGGED]],
        },
        using=revision._state.db,
    )
