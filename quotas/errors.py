"""What can go wrong while a caller's use is measured.

::

    QuotaError
    ├── BadRule             a limit that does not compile (an unknown ``by``)
    ├── StoreUnavailable    the bucket store failed, is too slow, or its queue is full
    └── LimiterUnavailable  a limit with ``on_store_failure: closed`` could not be checked
                            (503 ``limiter_unavailable``)

A store translates every foreign exception into ``StoreUnavailable`` at its border; what that means
for a request is each rule's own policy and is decided in ``quotas.limiter``.
"""

from __future__ import annotations


class QuotaError(Exception):
    """Base of this app's errors."""


class BadRule(QuotaError, ValueError):
    """A limit that does not compile."""


class StoreUnavailable(QuotaError):
    """The buckets cannot be asked now."""


class LimiterUnavailable(QuotaError):
    """A limit that must be checked could not be."""
