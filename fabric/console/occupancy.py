"""How full a tier was and will be, as a picture: the past to the left of now, what is known of the future to the right.

Knows nothing of where the values come from. No script, the theme's colours, and words for who cannot see it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Self

from fabric.api.occupancy import OccupancyView, Series, Steps, TierOccupancy
from fabric.console.markup import Markup, tag
from fabric.console.words import number, roughly, when

WIDTH, HEIGHT = 640, 100
"""Of the drawing, in its own units; the page stretches it."""
PARTS = (("past", "held"), ("running", "runs until its walltime"), ("kept", "set aside"), ("away", "taken away"))
"""Classes of the areas, and what they mean."""


@dataclass(frozen=True, slots=True)
class _Drawing:
    """What is drawn of a tier: of one kind of resource, in each step."""

    label: str
    most: float
    """Height of the drawing."""
    begins: float
    """Its left edge, in seconds since the epoch, like the right one."""
    ends: float
    past: list[float]
    running: list[float]
    kept: list[float]
    away: list[float]

    @classmethod
    def of(cls, tier: TierOccupancy, seen: OccupancyView) -> Self | None:
        """Accelerators, or CPUs of a tier without any; None where there is nothing to draw."""
        label, unit = ("GPUs", "gpus") if tier.total.gpus else ("CPUs", "cpus")
        # Of a tier on which nothing was held no past is told.
        past = _values(tier.past, unit) or [0.0] * seen.past.num
        running, kept, away = (_values(series, unit) for series in (tier.running, tier.kept, tier.away))
        together = (sum(parts) for parts in zip(running, kept, away, strict=True))
        most = max(float(getattr(tier.total, unit)), *past, *together, 0.0)
        if not most or not (past or running):
            return None
        begins, ends = seen.past.begins if past else seen.at, _end(seen.ahead) if running else seen.at
        return cls(label, most, begins, ends, past, running, kept, away)

    def x(self, at: float) -> float:
        """Where an instant is."""
        return WIDTH * (min(max(at, self.begins), self.ends) - self.begins) / max(self.ends - self.begins, 1.0)

    def areas(self, seen: OccupancyView) -> list[Markup]:
        """The past, and what is ahead in three areas, one above the other."""
        before, after = _times(seen.past, seen.at), _times(seen.ahead, _end(seen.ahead))
        over = [one + more for one, more in zip(self.running, self.kept, strict=True)]
        top = [one + more for one, more in zip(over, self.away, strict=True)]
        return [
            self._area("past", before, [0.0] * len(self.past), self.past),
            self._area("running", after, [0.0] * len(self.running), self.running),
            self._area("kept", after, self.running, over),
            self._area("away", after, over, top),
        ]

    def _area(self, name: str, times: Sequence[float], low: list[float], high: list[float]) -> Markup:
        """What lies between two stairs; nothing where they are the same everywhere."""
        if low == high:
            return Markup("")
        around = [*self._stairs(times, high), *reversed(self._stairs(times, low))]
        return tag("polygon", points=" ".join(around), class_=name)

    def _stairs(self, times: Sequence[float], heights: list[float]) -> list[str]:
        points = []
        for (begins, ends), height in zip(pairwise(times), heights, strict=True):
            y = HEIGHT * (1 - height / self.most)
            points += [f"{self.x(begins):.1f},{y:.1f}", f"{self.x(ends):.1f},{y:.1f}"]
        return points

    def said(self) -> str:
        """The picture in words."""
        parts = []
        if self.past:
            now, mean = round(self.past[-1], 2), round(sum(self.past) / len(self.past), 2)
            parts.append(
                f"{number(now)} of {number(self.most)} {self.label} held now, {number(mean)} on average before"
            )
        if self.running:
            parts.append(
                f"ahead, of those who run now {number(self.running[0])} at first and {number(self.running[-1])} at last"
            )
            parts += [
                f"at most {number(max(values))} {word}"
                for values, word in ((self.kept, "set aside"), (self.away, "taken away"))
                if any(values)
            ]
        return "; ".join(parts)


def occupancy_of(tier: TierOccupancy, seen: OccupancyView) -> Markup | None:
    """A tier over time; None where nothing is known of it.

    Args:
        tier: The tier, of what is seen.
        seen: All tiers over time.
    """
    drawing = _Drawing.of(tier, seen)
    if drawing is None:
        return None
    now, begins, ends = drawing.x(seen.at), drawing.begins, drawing.ends
    present = tag("line", x1=f"{now:.1f}", x2=f"{now:.1f}", y1=0, y2=HEIGHT, vector_effect="non-scaling-stroke")
    picture = tag(
        "svg", drawing.areas(seen), present, viewBox=f"0 0 {WIDTH} {HEIGHT}", preserveAspectRatio="none", role="img",
        aria_label=f"{tier.name}: {drawing.said()}",
    )  # fmt: skip
    back = f"last {roughly(seen.at - begins)}" if drawing.past else ""
    coming = f"next {roughly(ends - seen.at)}" if drawing.running else ""
    mark = tag("b", "now", style=f"left:{100 * now / WIDTH:.1f}%")
    return tag(
        "figure",
        tag("figcaption", f"{drawing.label} over time: {', '.join(filter(None, (back, coming)))}"),
        picture,
        tag("div", when(begins), mark, when(ends), class_="axis"),
        class_="horizon",
    )


def legend_of() -> Markup:
    """What the areas mean; once for all tiers."""
    return tag("ul", [tag("li", tag("i", class_=name), meaning) for name, meaning in PARTS], class_="legend")


def _values(series: Series, unit: str) -> list[float]:
    return list(getattr(series, unit))


def _end(steps: Steps) -> float:
    return steps.begins + steps.num * steps.step_s


def _times(steps: Steps, latest: float) -> list[float]:
    """Beginnings of all steps, and the end of the last one, which may go on now."""
    begins = [steps.begins + number_of * steps.step_s for number_of in range(steps.num)]
    return [*begins, max(min(_end(steps), latest), begins[-1])] if begins else []
