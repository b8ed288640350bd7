"""How a presented refresh token is judged. Pure; ``refresh_rotation.lua`` has the same arithmetic.

The counter tells what a digest alone could not: that a token was spent, and how long before. Only
the token spent last has a grace; its predecessors never do.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from keys.refresh.base import Outcome, Presented, Rotation


@dataclass(frozen=True, slots=True)
class Family:
    """One family as stored. Times are in milliseconds."""

    digest: str
    """Of the current token."""
    generation: int = 0
    previous: str = ""
    """Digest of the token spent last."""
    salt: str = ""
    rotated_at: int = 0
    revoked: bool = False


def judge(family: Family, presented: Presented, grace: int, now: int) -> tuple[Rotation, Family]:
    """The answer to *presented* at *now*, and the family after it.

    *presented* is genuine, so with an older generation it was spent. A clock that steps back does
    not lengthen the grace.
    """
    if family.revoked:
        return Rotation(Outcome.REVOKED), family
    if presented.generation == family.generation and presented.digest == family.digest:
        if not presented.successor:
            return Rotation(Outcome.VALID), family
        rotated = Family(
            digest=presented.successor,
            generation=family.generation + 1,
            previous=family.digest,
            salt=presented.salt,
            rotated_at=now,
        )
        return Rotation(Outcome.ROTATED, presented.salt, now), rotated
    if presented.generation >= family.generation:
        return Rotation(Outcome.UNKNOWN), family
    spent_last = (
        presented.generation == family.generation - 1 and presented.digest == family.previous
    )
    if spent_last and abs(now - family.rotated_at) < grace:
        return Rotation(Outcome.REPEATED, family.salt, family.rotated_at), family
    return Rotation(Outcome.REUSED), replace(family, revoked=True)
