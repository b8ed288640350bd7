"""One signal for changes of configuration rows that ``post_save`` does not see.

``QuerySet.update``, ``bulk_create`` and ``bulk_update`` write rows without a model signal. A
publisher that listens here as well as to ``post_save`` and ``post_delete`` misses nothing.
"""

from __future__ import annotations

from django.dispatch import Signal

#: Sent once per call with ``sender`` = the model and ``using`` = the database alias.
configuration_changed = Signal()
