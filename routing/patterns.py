"""Path patterns: what the ``path`` of a route may say.

Literal segments, ``{name}`` for one whole segment, and a final ``{rest:path}`` for all that
remain (CONTRACT §3). Pure: leans on ``routing.paths`` alone.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from functools import lru_cache

from routing.errors import BadPath
from routing.paths import CanonicalPath, canonical

_PLACEHOLDER = re.compile(r"\{([A-Za-z_][A-Za-z0-9_]*)(:path)?\}")
_OTHERS_WAY = re.compile(r"\*+|:[A-Za-z_]\w*")
"""A parameter as other gateways write it; as text it would never match what was meant."""


class PatternError(ValueError):
    """A path pattern or template that cannot be compiled; the message says what is allowed."""


class Kind(IntEnum):
    """What a segment of a pattern accepts; lower wins."""

    LITERAL = 0
    PARAMETER = 1
    REST = 2
    END = 3
    """Behind the last segment, so that of two patterns the longer comes first."""


@dataclass(frozen=True, slots=True)
class Pattern:
    """A compiled path pattern.

    ``segments`` pairs each kind with its literal (in the form ``CanonicalPath.segments`` has) or
    the name of its parameter.
    """

    text: str
    segments: tuple[tuple[Kind, str], ...]

    @property
    def specificity(self) -> tuple[Kind, ...]:
        """Sorts patterns that accept one path: the more specific is smaller."""
        return (*(kind for kind, _ in self.segments), Kind.END)

    @property
    def parameters(self) -> dict[str, slice]:
        """Where the value of each parameter stands in the segments of a matching path."""
        return {
            name: slice(place, None if kind is Kind.REST else place + 1)
            for place, (kind, name) in enumerate(self.segments)
            if kind is not Kind.LITERAL
        }

    def fits(self, segments: Sequence[str]) -> bool:
        """Whether a path of these segments (as ``CanonicalPath.segments`` has them) matches."""
        for place, (kind, name) in enumerate(self.segments):
            if place == len(segments):
                return False
            if kind is Kind.REST:
                return True
            if segments[place] != name if kind is Kind.LITERAL else not segments[place]:
                return False
        return len(segments) == len(self.segments)


def compile_pattern(text: str, *, merge_slashes: bool = True) -> Pattern:
    """Compile ``/literal/{name}/{rest:path}``; raises ``PatternError``.

    ``{name}`` takes one whole segment that is not empty; ``{rest:path}`` stands last and takes
    one or more remaining segments, which may be a single empty one (``/files/``). A pattern with
    ``//`` can only be matched without merging, so it needs ``merge_slashes=False``.
    """
    if not text.startswith("/"):
        raise PatternError("must begin with '/'")
    pieces = text[1:].split("/")
    for piece in filter(_OTHERS_WAY.fullmatch, pieces):
        escaped = f"%{ord(piece[0]):X}{piece[1:]}"
        raise PatternError(
            f"a parameter is written {{name}}, the rest of a path {{rest:path}}; {piece} itself is "
            f"{escaped}"
        )
    holes = [_PLACEHOLDER.fullmatch(piece) for piece in pieces]
    filled = ("x" if hole else piece for hole, piece in zip(holes, pieces, strict=True))
    literal = canonical_literal("/" + "/".join(filled), merge_slashes=merge_slashes)
    segments = tuple(
        _hole(Kind.REST if hole[2] else Kind.PARAMETER, hole[1]) if hole else (Kind.LITERAL, name)
        for hole, name in zip(holes, literal.segments, strict=True)
    )
    _refuse_misplaced(segments)
    return Pattern(text, segments)


@lru_cache(maxsize=256)
def _hole(kind: Kind, name: str) -> tuple[Kind, str]:
    """One object for all routes with a parameter of this name."""
    return kind, name


def canonical_literal(text: str, *, merge_slashes: bool = True) -> CanonicalPath:
    """The path that *text* spells out; raises ``PatternError`` unless it is canonical already."""
    if "{" in text or "}" in text:
        raise PatternError(
            "a parameter is a whole segment, {name} or a final {rest:path}; names are identifiers"
        )
    try:
        path = canonical(text.encode(errors="surrogatepass")).variant(merge_slashes=merge_slashes)
    except BadPath as error:
        raise PatternError(str(error)) from error
    if ";" in text or "%3B" in path.text:
        raise PatternError("must not hold ';': path parameters are ignored when matching")
    if path.text != text:
        raise PatternError(
            "is not in canonical form: no '//', dot segments, lower-case or needless escapes"
        )
    return path


def _refuse_misplaced(segments: tuple[tuple[Kind, str], ...]) -> None:
    names = [name for kind, name in segments if kind is not Kind.LITERAL]
    if len(set(names)) != len(names):
        raise PatternError("each parameter needs a name of its own")
    if any(kind is Kind.REST for kind, _ in segments[:-1]):
        raise PatternError("a {rest:path} parameter must stand last")
