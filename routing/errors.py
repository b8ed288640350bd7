"""What can be wrong with configuration.

::

    RoutingError
    ├── ConfigurationError   one or more objects do not compile; lists every fault found
    └── BadPath              a request path that has no canonical form (400 ``bad_path``)
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


class RoutingError(Exception):
    """Base of this app's errors."""


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing wrong with one object.

    ``where`` names the object as a reader of the file would (``services.billing``,
    ``routes[3] (projects)``), ``field`` the path inside it (``instances[0].url``; empty for the
    object as a whole), ``reason`` what is wrong and what is allowed.
    """

    where: str
    field: str
    reason: str
    file: str = ""

    @property
    def place(self) -> str:
        """``routes[3] (projects).rate_limit.per``; empty for a whole file."""
        return ".".join(part for part in (self.where, self.field) if part)

    def __str__(self) -> str:
        """One line, whatever a name holds."""
        text = ": ".join(part for part in (self.file, self.place, self.reason) if part)
        if text.isprintable():
            return text
        return "".join(one if one.isprintable() else ascii(one)[1:-1] for one in text)


class ConfigurationError(RoutingError):
    """The configuration does not validate; nothing of it was applied."""

    def __init__(self, faults: Sequence[Fault]) -> None:
        self.faults = tuple(faults)
        super().__init__("\n".join(str(fault) for fault in self.faults))


class BadPath(RoutingError):
    """A request path that is refused instead of guessed at."""
