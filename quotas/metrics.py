"""What limits count. Label values come from configuration or from fixed lists only."""

from __future__ import annotations

from prometheus_client import Counter, Gauge

from runtime.tally import CountTally

DECISIONS = CountTally(
    "gateway_limit_decisions_total",
    "Limiter decisions: allowed, refused, would_refuse (shadow), unchecked, unavailable.",
    ("route", "decision"),
)
FALLBACKS = Counter(
    "gateway_limiter_fallbacks_total",
    "Requests whose limits the store could not decide, by what was done: open, closed, local.",
    ("policy",),
)
DEGRADED = Gauge(
    "gateway_limiter_degraded_workers",
    "Workers that leave the store of limits alone because it fails.",
    multiprocess_mode="livesum",
)
PLAN_NOTICES = Counter(
    "gateway_plan_notices_total",
    "Quotas of plans of which a share (80 or 100 percent) was reached.",
    ("plan", "percent"),
)
RECORD_FAILURES = Counter(
    "gateway_limit_record_write_failures_total",
    "Batches of limit records that the database did not take; they are tried again.",
)
RECORDS_DROPPED = Counter(
    "gateway_limit_records_merged_total",
    "Requests counted under no name of their own because too many callers came in an hour.",
)
