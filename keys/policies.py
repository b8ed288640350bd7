"""What apps above attach to consumers: limits and plans are rows of ``quotas``, a floor above.

It travels with the caller of every request, so it is read with the consumer's keys, in the same
round, and is as old as they are: whoever changes it raises the :class:`~keys.models.KeyEpoch`.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping

Provider = Callable[[Collection[int]], Mapping[int, object]]
"""From ids of consumers to what is attached to them; who has nothing is left out."""

_providers: list[Provider] = []


def provide(provider: Provider) -> None:
    """Attach what *provider* gives to every caller; there is one provider."""
    _providers[:] = [provider]


def policies_of(consumer_ids: Collection[int]) -> Mapping[int, object]:
    """What is attached to these consumers; a fixed number of queries."""
    return _providers[0](consumer_ids) if _providers and consumer_ids else {}
