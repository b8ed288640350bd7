"""``python -m benchmarks.many_keys COUNT FILE``: that many API keys, a line each."""

from __future__ import annotations

import os
import sys
from pathlib import Path

_AT_ONCE = 5_000


def main(count: int, path: Path) -> None:
    """Store *count* new keys and write their texts to *path*."""
    os.environ["DJANGO_SETTINGS_MODULE"] = "gateway_project.settings"
    import django

    django.setup()
    from django.db.models import QuerySet

    from keys.digest import generate_api_key
    from keys.models import ApiKey, Consumer

    consumer, _ = Consumer.objects.get_or_create(name="many")
    keys = [generate_api_key() for _ in range(count)]
    # Past the models' own: an audit entry for each would take minutes, and nobody serves them yet.
    rows: QuerySet[ApiKey] = QuerySet(ApiKey)
    rows.bulk_create(
        [ApiKey(consumer=consumer, prefix=key.prefix, digest=key.digest) for key in keys],
        batch_size=_AT_ONCE,
    )
    path.touch(mode=0o600)
    path.write_text("\n".join(key.text for key in keys), "ascii")


if __name__ == "__main__":
    main(int(sys.argv[1]), Path(sys.argv[2]))
