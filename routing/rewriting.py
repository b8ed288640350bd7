"""From the path that was matched to the path that is forwarded: ``strip_prefix`` and ``rewrite``.

Both are compiled at publish and work on canonical segments, so nothing is parsed twice. Pure:
leans on ``routing.paths`` and ``routing.patterns``.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from routing.errors import BadPath
from routing.paths import CanonicalPath, canonical
from routing.patterns import Pattern, PatternError, canonical_literal

_PLACEHOLDER = re.compile(r"\{([^{}]*)\}")


@dataclass(frozen=True, slots=True)
class StripPrefix:
    """Drops whole leading segments where they match, ``;parameters`` aside."""

    segments: tuple[str, ...]

    def apply(self, path: CanonicalPath) -> str:
        """The text of *path* without the prefix, at least ``/``."""
        length = len(self.segments)
        if path.segments[:length] != self.segments:
            return path.text
        return "/" + "/".join(path.raw_segments[length:])


@dataclass(frozen=True, slots=True)
class Template:
    """Literal text and, as slices of the path's segments, the values between it."""

    parts: tuple[str | slice, ...]

    def apply(self, path: CanonicalPath) -> str:
        """The template filled with the segments of *path*, as they are forwarded."""
        raw = path.raw_segments
        return "".join(
            part if isinstance(part, str) else "/".join(raw[part]) for part in self.parts
        )


PathChange = StripPrefix | Template


def compile_strip_prefix(text: str, *, merge_slashes: bool = True) -> StripPrefix:
    """Compile a literal prefix; one trailing ``/`` means nothing. Raises ``PatternError``."""
    segments = canonical_literal(text, merge_slashes=merge_slashes).segments
    return StripPrefix(segments[:-1] if segments[-1] == "" else segments)


def compile_rewrite(text: str, pattern: Pattern, *, merge_slashes: bool = True) -> Template:
    """Compile ``/literal/{name}`` for paths that match *pattern*; raises ``PatternError``."""
    known = pattern.parameters
    canonical_literal(_PLACEHOLDER.sub("x", text), merge_slashes=merge_slashes)
    parts: list[str | slice] = []
    for place, piece in enumerate(_PLACEHOLDER.split(text)):
        if place % 2 == 0:
            parts.append(piece)
        elif piece in known:
            parts.append(known[piece])
        else:
            raise PatternError(f"{{{piece}}} is not a parameter of path")
    return Template(tuple(parts))


def changed_path(change: PathChange, path: CanonicalPath, *, merge_slashes: bool) -> str:
    """*path* after *change*, canonical again; raises ``BadPath``.

    Repeated slashes are merged unless the route keeps them; anything else that is no longer
    canonical (an empty value that leaves ``..`` behind) is refused, never resolved.
    """
    text = change.apply(path)
    result = canonical(text.encode("ascii"))
    if result.variant(merge_slashes=False).text != text:
        raise BadPath("the rewritten path is not canonical")
    return result.variant(merge_slashes=merge_slashes).text
