"""Nodes that come, go and fail become events of the site; a thread of its own.

Knows nothing of how a node's state is found out, nor of nodes that people drain: that is an event when they do so.
"""

import logging
import threading
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from itertools import groupby

from fabric.control.ports import KeptEvents
from fabric.core.errors import FabricError
from fabric.core.numa import Note
from fabric.scheduler.snapshot import Node, NodeState
from fabric.store.site_events import SiteEvent

_log = logging.getLogger(__name__)

LOOK_EVERY_S = 5.0
"""Seconds between two looks."""
MOST_SINGLE = 5
"""Nodes of a tier that are told one by one; where more do the same at once, it is one event of their tier."""
_KINDS: Mapping[NodeState, str] = {
    NodeState.READY: "node_up",
    NodeState.DOWN: "node_down",
    NodeState.REFUSED: "node_refused",
    NodeState.DRAINING: "node_cordoned",
}
"""What a state is told as; one that a node is only for a while is not told."""
_IS: Mapping[str, str] = {
    "node_up": "in service",
    "node_down": "down",
    "node_refused": "refused by the check of its tier",
    "node_cordoned": "held back by others than the fabric",
    "node_gone": "no longer there",
}
"""What is said of a node, behind `is`."""
_SAME = {"node_returned": "node_up", "node_drained": "node_up"}
"""What people do with a node leaves it, for the watch, as if it had come up."""


class NodeWatch(threading.Thread):
    """Looks at nodes, and tells what has become of them since the last look, also of an earlier control."""

    def __init__(
        self,
        kept: KeptEvents,
        nodes: Callable[[], Iterable[Node]],
        *,
        drained: Callable[[], Collection[str]],
        notes: Callable[[], Mapping[str, Note]],
        now: Callable[[], float],
    ) -> None:
        """Look at nothing yet.

        Args:
            kept: Where events go.
            nodes: Every node as it is.
            drained: Names of those that people drain.
            notes: What the backend says of nodes, by name.
            now: Seconds since the epoch.
        """
        super().__init__(name="node-watch", daemon=True)
        self._kept, self._nodes, self._drained, self._notes, self._now = kept, nodes, drained, notes, now
        self._told: dict[str, str] | None = None
        self._tiers: dict[str, str] = {}
        self._drained_before: frozenset[str] = frozenset()
        self._over = threading.Event()

    def run(self) -> None:
        """Look until told to end."""
        while not self._over.wait(LOOK_EVERY_S):
            try:
                self.look()
            except FabricError as error:
                _log.warning("what became of nodes is told later: %s", error.message)
            except Exception:  # a mistake of ours must not end what looks for others'
                _log.exception("the watch of nodes goes on in spite of an error")

    def end(self) -> None:
        """Stop; the next control goes on from what was told."""
        self._over.set()
        if self.is_alive():
            self.join(timeout=5.0)

    def look(self) -> None:
        """Look once.

        Raises:
            FabricError: If the events cannot be read or written; all of it is told at the next look.
        """
        first = self._told is None
        told = self._told_before() if self._told is None else dict(self._told)
        drained_now, tiers = frozenset(self._drained()), dict(self._tiers)
        # A cordon of the fabric's own is lifted a moment after its drain has ended.
        drained = drained_now | self._drained_before
        changed: list[tuple[str, str, str]] = []
        seen = {node.name: node for node in self._nodes()}
        for name, node in sorted(seen.items()):
            tiers[name] = node.tier
            kind = "node_up" if name in drained and node.state is NodeState.DRAINING else _KINDS.get(node.state)
            if kind is None:
                continue
            # What stood there ready when the watch began has not just come.
            if kind != told.get(name, "node_up" if first else None):
                changed.append((kind, node.tier, name))
            told[name] = kind
        for name in sorted(told.keys() - seen.keys()):
            if told[name] != "node_gone":
                changed.append(("node_gone", tiers.get(name, ""), name))
                told[name] = "node_gone"
        self._kept.add_site_events(self._events(changed))
        self._told, self._tiers, self._drained_before = told, tiers, drained_now

    def _told_before(self) -> dict[str, str]:
        return {node: _SAME.get(kind, kind) for node, kind in self._kept.node_kinds().items()}

    def _events(self, changed: Iterable[tuple[str, str, str]]) -> Iterator[SiteEvent]:
        """An event for each node, or one for many of a tier of which the same is told."""
        now, notes = self._now(), self._notes()
        for (kind, tier), group in groupby(sorted(changed), key=lambda each: each[:2]):
            names = [name for _, _, name in group]
            if len(names) > MOST_SINGLE:
                some = f"{', '.join(names[:MOST_SINGLE])} and {len(names) - MOST_SINGLE} more"
                yield SiteEvent(now, kind, "", f"{len(names)} nodes of tier {tier} are {_IS[kind]}: {some}")
                continue
            for name in names:
                why = notes[name].said if name in notes and kind != "node_up" else ""
                yield SiteEvent(now, kind, name, f"is {_IS[kind]}: {why}" if why else f"is {_IS[kind]}")
