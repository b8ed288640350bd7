"""A bar chart as numbers for inline SVG. Pure.

The template writes them into attributes: no script and no style, so the page's content policy
stays as it is.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

WIDTH, HEIGHT = 960, 200


@dataclass(frozen=True, slots=True)
class Bar:
    """One step of time: what passed, and on top of it what was refused. In units of the picture."""

    x: float
    width: float
    allowed_y: float
    allowed_height: float
    refused_y: float
    refused_height: float
    title: str


@dataclass(frozen=True, slots=True)
class Chart:
    """Bars, and the number of requests that the full height stands for."""

    bars: tuple[Bar, ...]
    top: int
    width: int = WIDTH
    height: int = HEIGHT


def chart(points: Sequence[Mapping[str, Any]]) -> Chart:
    """A chart of rows with ``window_start``, ``allowed`` and ``refused``."""
    top = max((point["allowed"] + point["refused"] for point in points), default=0)
    slot = WIDTH / max(1, len(points))
    bars = tuple(_bar(point, place * slot, slot, top) for place, point in enumerate(points))
    return Chart(bars, top)


def _bar(point: Mapping[str, Any], x: float, slot: float, top: int) -> Bar:
    scale = HEIGHT / top if top else 0.0
    allowed, refused = point["allowed"] * scale, point["refused"] * scale
    return Bar(
        x=round(x + slot * 0.1, 2),
        width=round(slot * 0.8, 2),
        allowed_y=round(HEIGHT - allowed, 2),
        allowed_height=round(allowed, 2),
        refused_y=round(HEIGHT - allowed - refused, 2),
        refused_height=round(refused, 2),
        title=f"{point['window_start']:%Y-%m-%d %H:%M} UTC: {point['allowed']} allowed, "
        f"{point['refused']} refused",
    )
