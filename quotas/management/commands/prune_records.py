"""``manage.py prune_records --older-than 90d``: forget the history of limits before then.

Deletes in batches, so that workers go on writing meanwhile. What monthly quotas are restored from
is never old enough to be deleted.
"""

from __future__ import annotations

from argparse import ArgumentParser
from datetime import datetime, timedelta
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.db.models import Model
from django.utils import timezone

from keys.durations import parse_duration
from quotas.models import PlanNotice, RateLimitRecord, RateLimitRollup

SHORTEST = timedelta(days=32)
_BATCH = 5000


class Command(BaseCommand):
    """Deletes old records, sums and notices."""

    help = "Delete the history of limits that is older than a time."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--older-than", metavar="TIME", required=True, help="a number and d or w: 90d, 52w"
        )
        parser.add_argument(
            "--keep-sums", action="store_true", help="keep the sums that the usage pages show"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            age = parse_duration(options["older_than"])
        except ValueError as error:
            raise CommandError(f"--older-than {error}") from None
        if age < SHORTEST:
            raise CommandError(
                f"--older-than {options['older_than']}: at least {SHORTEST.days}d, as quotas of "
                "a month are restored from the records"
            )
        before = timezone.now() - age
        deleted = _delete(RateLimitRecord, "window_start", before)
        deleted += _delete(PlanNotice, "period_start", before)
        if not options["keep_sums"]:
            deleted += _delete(RateLimitRollup, "window_start", before)
        self.stdout.write(f"{deleted} rows deleted.")


def _delete(model: type[Model], field: str, before: datetime) -> int:
    deleted = 0
    rows = model._default_manager.filter(**{f"{field}__lt": before}).order_by(field)
    while ids := list(rows.values_list("pk", flat=True)[:_BATCH]):
        deleted += model._default_manager.filter(pk__in=ids).delete()[0]
    return deleted
