"""Curves as pictures inside a page: no script, the theme's colours, and words for who cannot see them.

Knows nothing of what is drawn.
"""

from collections.abc import Sequence

from fabric.console.markup import Markup, tag
from fabric.console.words import number

WIDTH, HEIGHT = 320, 90
"""Of the drawing, in its own units; the page stretches it."""
MOST_POINTS = 300
"""Points of a curve that are drawn."""

Point = tuple[float, float]
"""Where, from left to right, and how high."""


def curve(
    name: str,
    points: Sequence[Point],
    *,
    least: float | None = None,
    most: float | None = None,
    ahead: bool = False,
) -> Markup:
    """A curve with its name, its present value and its bounds.

    Args:
        name: What is drawn.
        points: From left to right.
        least: Height of the lower edge; None takes the lowest point.
        most: Height of the upper edge; None takes the highest point.
        ahead: Whether it begins now; otherwise it ends now.
    """
    shown = thinned(points)
    heights = [height for _, height in shown] or [0.0]
    low, high = min(heights) if least is None else least, max(heights) if most is None else most
    now = heights[0 if ahead else -1]
    said = f"{name}: now {number(now)}, from {number(min(heights))} to {number(max(heights))}"
    line = tag("polyline", points=_places(shown, low, high), fill="none", vector_effect="non-scaling-stroke")
    drawing = tag("svg", line, viewBox=f"0 0 {WIDTH} {HEIGHT}", preserveAspectRatio="none", role="img", aria_label=said)
    return tag(
        "figure",
        tag("figcaption", name, tag("b", number(now))),
        drawing,
        tag("small", f"{number(min(heights))} to {number(max(heights))}", class_="quiet"),
        class_="curve",
    )


def thinned(points: Sequence[Point]) -> list[Point]:
    """At most `MOST_POINTS` of them, evenly, the first and the last among them."""
    if len(points) <= MOST_POINTS:
        return list(points)
    step = (len(points) - 1) / (MOST_POINTS - 1)
    return [points[round(i * step)] for i in range(MOST_POINTS)]


def _places(points: Sequence[Point], low: float, high: float) -> str:
    """The curve in the drawing's units, whose heights count from above."""
    if not points:
        return ""
    left, right = points[0][0], points[-1][0]
    wide, tall = (right - left) or 1.0, (high - low) or 1.0
    return " ".join(
        f"{WIDTH * (at - left) / wide:.1f},{2 + (HEIGHT - 4) * (high - height) / tall:.1f}" for at, height in points
    )
