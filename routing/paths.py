"""One canonical form of a request path: what is matched is what is forwarded.

Every spelling of a path is either that path or refused (CONTRACT §3, HAZARDS "Paths"); nothing
is guessed. Pure: leans on ``re`` alone. RFC 3986 sections 2.1, 2.3, 3.3, 5.2.4 and 6.2.2.
"""

from __future__ import annotations

import re
import string
from collections.abc import Sequence
from dataclasses import dataclass

from routing.errors import BadPath

_UNRESERVED = frozenset(string.ascii_letters + string.digits + "-._~")
# Visible ASCII that means the same raw and escaped to nearly every upstream. The forwarded form
# keeps them as they came; the matching form decodes them, or ``/a%3Ab`` would slip past ``/a:b``.
_FOLDED = frozenset("!\"$&'()*+,:<=>@[]^`{|}")

_SIMPLE = re.compile(rb"(?=/)(?:/(?!\.{1,2}(?:/|\Z))[!\"$&-.0-:<->@-\[\]-~]++)*+/?")
_NOT_VISIBLE = re.compile(rb"[^!-~]")
_RESERVED = re.compile(rb"[\\#?]")
_BROKEN_ESCAPE = re.compile(rb"%(?![0-9A-Fa-f]{2})")
_ESCAPE = re.compile("%..")
_ESCAPED_CONTROL = re.compile("%(?:[01]|7F)")
# Forms longer than needed, of which lenient decoders make "/" or "." (RFC 3629 section 3).
_OVERLONG = re.compile("%(?:C[01]|E0%[89]|F0%8|F8%8[0-7]|FC%8[0-3])")
_PARAMETERS = re.compile(";|%3B")
_ESCAPED_SEPARATOR = re.compile("%2F|%5C")
_NOT_NAMES = frozenset({"", ".", ".."})

_FORWARDED = {
    f"%{code:02X}": chr(code) if chr(code) in _UNRESERVED else f"%{code:02X}" for code in range(256)
}
_MATCHED = {
    f"%{code:02X}": chr(code) if chr(code) in _FOLDED else f"%{code:02X}" for code in range(256)
}


@dataclass(frozen=True, slots=True)
class CanonicalPath:
    """A path in the one form that is matched and forwarded.

    ``text`` is forwarded: it begins with ``/`` and its slashes are merged. ``raw_segments`` are
    its pieces after the first ``/``. ``segments`` are the same pieces for comparing: without
    their ``;parameters`` and with every visible character that may stand raw decoded.
    ``unmerged`` is the same request with its repeated slashes kept, for routes that want them;
    ``None`` when there were none.
    """

    text: str
    segments: tuple[str, ...]
    raw_segments: tuple[str, ...]
    unmerged: CanonicalPath | None = None

    def variant(self, *, merge_slashes: bool) -> CanonicalPath:
        """The path as a route with this ``merge_slashes`` sees it."""
        return self if merge_slashes or self.unmerged is None else self.unmerged


def canonical(raw: bytes) -> CanonicalPath:
    """The canonical form of *raw*, a path in origin form without its query.

    Raises ``BadPath`` for a path that has none. Applying it again changes nothing.
    """
    if _SIMPLE.fullmatch(raw):
        text = raw.decode("ascii")
        segments = tuple(text[1:].split("/"))
        return CanonicalPath(text, segments, segments)
    _refuse_bytes(raw)
    text = _normalise_escapes(raw.decode("ascii"))
    pieces = text[1:].split("/")
    for piece in pieces:
        _refuse_ambiguous(piece)
    if "//" not in text:
        return _assemble(pieces)
    # Merging comes before dot segments, as in nginx, the stricter of the two readings.
    merged = [piece for piece in pieces[:-1] if piece] + pieces[-1:]
    return _assemble(merged, unmerged=_assemble(pieces))


def _refuse_bytes(raw: bytes) -> None:
    if not raw.startswith(b"/"):
        raise BadPath("the path must begin with '/'")
    if _NOT_VISIBLE.search(raw):
        raise BadPath("the path holds a raw control, space or non-ASCII byte")
    if _RESERVED.search(raw):
        raise BadPath("the path holds a raw '\\', '#' or '?'")
    if _BROKEN_ESCAPE.search(raw):
        raise BadPath("the path holds a broken escape: '%' needs two hexadecimal digits")


def _normalise_escapes(text: str) -> str:
    text = _ESCAPE.sub(lambda escape: _FORWARDED[escape[0].upper()], text)
    if _ESCAPED_CONTROL.search(text):
        raise BadPath("the path holds an escaped control character")
    if _OVERLONG.search(text):
        raise BadPath("the path holds an overlong UTF-8 escape")
    return text


def _refuse_ambiguous(segment: str) -> None:
    """Refuse what becomes another path once an upstream decodes it or drops its parameters."""
    if ";" not in segment and "%" not in segment:
        return
    for piece in _ESCAPED_SEPARATOR.split(segment):
        name = _PARAMETERS.split(piece, maxsplit=1)[0]
        if name in _NOT_NAMES and name != segment:
            raise BadPath("the path holds a disguised dot segment or empty segment")


def _assemble(pieces: Sequence[str], unmerged: CanonicalPath | None = None) -> CanonicalPath:
    raw = _without_dot_segments(pieces)
    return CanonicalPath("/" + "/".join(raw), tuple(map(_matched, raw)), raw, unmerged)


def _without_dot_segments(pieces: Sequence[str]) -> tuple[str, ...]:
    """RFC 3986 section 5.2.4; a ``..`` above the root is dropped."""
    kept: list[str] = []
    for piece in pieces:
        if piece == "..":
            del kept[-1:]
        elif piece != ".":
            kept.append(piece)
    if pieces[-1] in {".", ".."}:
        kept.append("")
    return tuple(kept)


def _matched(segment: str) -> str:
    name = _PARAMETERS.split(segment, maxsplit=1)[0]
    return _ESCAPE.sub(lambda escape: _MATCHED[escape[0]], name) if "%" in name else name
