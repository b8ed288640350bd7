"""Rows of this app: limits, plans, and the history of what they allowed and refused."""

from quotas.models.limit import RateLimit
from quotas.models.plan import Plan, PlanMembership, PlanNotice
from quotas.models.record import RateLimitRecord, RateLimitRollup, RollupState

__all__ = [
    "Plan",
    "PlanMembership",
    "PlanNotice",
    "RateLimit",
    "RateLimitRecord",
    "RateLimitRollup",
    "RollupState",
]
