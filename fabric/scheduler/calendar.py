"""When nodes are taken away by maintenance and capability weeks: windows become claims on single nodes.

Knows nothing of what runs there, and nothing of time zones: a row of windows is the same instant plus whole days.
"""

import itertools
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from fabric.config.windows import DAY_S, Window
from fabric.scheduler.snapshot import Claim, Node


@dataclass(frozen=True, slots=True)
class Closure:
    """A node that is not for everybody for a while."""

    node: str
    start_s: float
    """Seconds since the epoch, like the next; work must have left by then."""
    end_s: float
    windows: tuple[str, ...]
    """The windows that close it, by name."""
    project: str | None
    """Who has the node meanwhile; None is nobody."""


def closures(windows: Sequence[Window], tiers: Mapping[str, str], now: float, horizon_s: float) -> tuple[Closure, ...]:
    """Every claim of `windows` on nodes within [now, now + horizon_s), by node and time.

    The whole node is claimed. Claims on one node never overlap: where windows do, maintenance goes before capability
    weeks and of these the one that started first, ties by name. Claims begin no earlier than `now` and end no later
    than the horizon.

    Args:
        windows: Of the site.
        tiers: The tier of each node, by the node's name.
        now: Seconds since the epoch.
        horizon_s: How far to look, in seconds.

    Raises:
        ValueError: If the horizon is not finite, as a row of windows may go on for ever.
    """
    until = now + horizon_s
    if not math.isfinite(until):
        raise ValueError(f"windows are worked out up to a finite horizon, not {horizon_s} s")
    # Nodes of a tier mostly share their windows, so each set of windows is worked out once.
    worked_out: dict[tuple[str, ...], tuple[Closure, ...]] = {}
    by_name = {window.name: window for window in windows}
    result: list[Closure] = []
    for node in sorted(tiers):
        names = tuple(window.name for window in windows if tiers[node] in window.tiers or node in window.nodes)
        if names not in worked_out:
            worked_out[names] = tuple(_claims([by_name[name] for name in names], now, until))
        result += [_of(node, claim) for claim in worked_out[names]]
    return tuple(result)


def claims_of(windows: Sequence[Window], nodes: Iterable[Node], now: float, horizon_s: float) -> tuple[Claim, ...]:
    """Windows as claims on the nodes there are, those that are alike taken together.

    Args:
        windows: Of the site.
        nodes: Its nodes, whatever their state.
        now: Seconds since the epoch.
        horizon_s: How far to look, in seconds.
    """
    alike: dict[tuple[float, float, tuple[str, ...], str | None], list[str]] = {}
    for one in closures(windows, {node.name: node.tier for node in nodes}, now, horizon_s):
        alike.setdefault((one.start_s, one.end_s, one.windows, one.project), []).append(one.node)
    return tuple(
        Claim(" and ".join(names), start_s, end_s, tuple(on), project=project)
        for (start_s, end_s, names, project), on in alike.items()
    )


def _occurrences(window: Window, now: float, until: float) -> Iterator[tuple[float, float]]:
    """Start and end of each occurrence that ends after `now` and starts before `until`, in order."""
    start_s, length_s = window.start_s, window.end_s - window.start_s
    if window.every_days is None:
        if start_s < until and start_s + length_s > now:
            yield start_s, start_s + length_s
        return
    period_s = window.every_days * DAY_S
    last_s = min(until, window.until_s if window.until_s is not None else math.inf)
    number = max(0, math.floor((now - start_s - length_s) / period_s) + 1)
    while (at := start_s + number * period_s) < last_s:
        yield at, at + length_s
        number += 1


@dataclass(frozen=True, slots=True)
class _Taken:
    start_s: float
    end_s: float
    window: Window

    @property
    def precedence(self) -> tuple[bool, float, str]:
        return (self.window.kind != "maintenance", self.start_s, self.window.name)


def _claims(windows: Sequence[Window], now: float, until: float) -> Iterator[Closure]:
    """Claims of windows on a node that all of them take, without its name."""
    taken = [_Taken(*at, window) for window in windows for at in _occurrences(window, now, until)]
    edges = sorted({min(until, max(now, edge)) for one in taken for edge in (one.start_s, one.end_s)})
    before: Closure | None = None
    for start_s, end_s in itertools.pairwise(edges):
        here = sorted((one for one in taken if one.start_s <= start_s < one.end_s), key=lambda one: one.precedence)
        if not here:
            continue
        names = tuple(sorted({one.window.name for one in here}))
        claim = Closure("", start_s, end_s, names, here[0].window.project)
        if before and before.end_s == start_s and (before.windows, before.project) == (names, claim.project):
            before = Closure("", before.start_s, end_s, names, claim.project)
            continue
        if before:
            yield before
        before = claim
    if before:
        yield before


def _of(node: str, claim: Closure) -> Closure:
    return Closure(node, claim.start_s, claim.end_s, claim.windows, claim.project)
