"""API keys in the database: the functions :class:`keys.lookup.KeyLookup` is handed.

Synchronous, run in a database thread, a fixed number of queries whatever is asked. The two that
every round makes are compiled by the ORM once and then sent as they are: thousands of unknown keys
a second cost the worker's only interpreter 30 µs a query instead of 700. A stored row that would
not be safe to use (edited past the models' validation) is given as good nowhere.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from functools import lru_cache

from django.db import connections, router

from keys.caller import Caller, KeyRecord
from keys.claims import is_plain
from keys.credentials import CredentialKind
from keys.models import ApiKey, KeyEpoch
from keys.policies import policies_of
from runtime.networks import Network, parse_networks
from runtime.transactions import repeated

logger = logging.getLogger(__name__)

_READ = tuple(
    f"{prefix}{name}"
    for prefix, names in {
        "": "pk prefix enabled revoked_at expires_at grace_until roles permissions allowed_routes "
        "allowed_networks",
        "consumer__": "name enabled roles permissions",
    }.items()
    for name in names.split()
)
"""What a record is made of."""


def fetch_records(digests: Sequence[str]) -> dict[str, KeyRecord]:
    """The keys with these digests, revoked and expired ones included; two queries, and a few more
    for what is attached to their consumers. When none is stored, one query in all.
    """
    marks = read_marks(digests)
    if not marks:
        return {}
    rows = ApiKey.objects.filter(digest__in=marks).select_related("consumer")
    policies = policies_of({row.consumer_id for row in rows})
    return {
        row.digest: _record(row, policies.get(row.consumer_id), marks[row.digest]) for row in rows
    }


def read_epoch() -> int:
    """The number of changes of keys so far; one query."""
    with connections[router.db_for_read(KeyEpoch)].cursor() as cursor:
        cursor.execute("SELECT number FROM key_epoch WHERE id = 1")
        row = cursor.fetchone()
    return int(row[0]) if row else 0


def read_marks(digests: Sequence[str]) -> dict[str, int]:
    """Those of *digests* that belong to a key, each with a number that is another one, in this
    process, once something was stored that changes the key's record; one query.
    """
    if not digests:
        return {}
    size = 1 << (len(digests) - 1).bit_length()
    padded = [*digests, *[digests[-1]] * (size - len(digests))]
    using = router.db_for_read(ApiKey)
    with connections[using].cursor() as cursor:
        cursor.execute(_marks_query(using, size), padded)
        return {row[0]: hash(str(row)) for row in cursor.fetchall()}


@lru_cache(maxsize=64)
def _marks_query(using: str, size: int) -> str:
    """What :func:`read_marks` sends to the database *using* for *size* digests, a power of two."""
    rows = ApiKey.objects.filter(digest__in=[str(number) for number in range(size)])
    compiler = rows.order_by().values_list("digest", *_READ).query.get_compiler(using)
    return str(compiler.as_sql()[0])


@repeated
def write_last_used(times: Mapping[int, float]) -> None:
    """Store last uses (key id to epoch seconds), never going back in time; one statement.

    Nodes write independently, so each row keeps the later value. Neither signals nor the epoch
    are touched: a use changes nothing about what a key is worth.
    """
    if not times:
        return
    using = router.db_for_write(ApiKey)
    adapt = connections[using].ops.adapt_datetimefield_value
    moments = {key_id: adapt(datetime.fromtimestamp(when, UTC)) for key_id, when in times.items()}
    newer = [value for key_id, moment in moments.items() for value in (key_id, moment, moment)]
    with connections[using].cursor() as cursor:
        cursor.execute(_last_used_query(using, len(moments)), [*newer, *moments])


@lru_cache(maxsize=8)
def _last_used_query(using: str, size: int) -> str:
    """What :func:`write_last_used` sends to the database *using* for so many keys."""
    quoted = connections[using].ops.quote_name
    pk, last = quoted("id"), quoted("last_used_at")
    newer = f"WHEN {pk} = %s AND ({last} IS NULL OR {last} < %s) THEN %s"
    words = [
        *("UPDATE", quoted(ApiKey._meta.db_table), "SET", last, "= CASE"),
        *[newer] * size,
        *("ELSE", last, "END WHERE", pk, "IN", f"({', '.join(['%s'] * size)})"),
    ]
    return " ".join(words)


def _record(row: ApiKey, policy: object, mark: int) -> KeyRecord:
    consumer = row.consumer
    ends = [end.timestamp() for end in (row.expires_at, row.grace_until) if end is not None]
    try:
        caller = _caller(row, policy)
    except ValueError as error:
        logger.warning("API key %s cannot be used: %s", row.prefix, error)
        caller = _nowhere(row)
    return KeyRecord(
        digest=row.digest,
        caller=caller,
        key_id=row.pk,
        active=row.enabled and consumer.enabled and row.revoked_at is None,
        expires_at=min(ends, default=None),
        mark=mark,
    )


def _caller(row: ApiKey, policy: object) -> Caller:
    name = sys.intern(row.consumer.name)  # There may be thousands of keys of it in memory.
    if not is_plain(name):
        raise ValueError("its consumer's name cannot be a header")
    return Caller(
        kind=CredentialKind.API_KEY,
        user_id=name,
        identity=sys.intern(f"consumer:{name}"),
        consumer=name,
        roles=_header_items(row.roles or row.consumer.roles),
        permissions=_header_items(row.permissions or row.consumer.permissions),
        key_id=row.pk,
        key_prefix=row.prefix,
        allowed_routes=frozenset(_texts(row.allowed_routes)) or None,
        allowed_networks=_networks(row.allowed_networks),
        policy=policy,
    )


def _nowhere(row: ApiKey) -> Caller:
    return Caller(
        kind=CredentialKind.API_KEY,
        user_id="",
        identity="",
        key_id=row.pk,
        key_prefix=row.prefix,
        allowed_networks=(),
    )


def _networks(value: object) -> tuple[Network, ...] | None:
    return parse_networks(_texts(value)) or None


def _header_items(value: object) -> tuple[str, ...]:
    items = _texts(value)
    if not all(is_plain(item) and "," not in item for item in items):
        raise ValueError("a role or permission cannot be in a header")
    return items


def _texts(value: object) -> tuple[str, ...]:
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise ValueError("something stored is no list of texts")
    return tuple(value)
