"""Clusters are kept warm where nobody else has use for the room, so that short interactive work need not wait for Ray.

Knows nothing of processes or pods. What waits warm is free in the eyes of whoever decides: it is started only while
nobody waits, where the scheduler itself would place work of that shape now, and leaves whenever somebody is granted the
room. Work that is granted exactly its slice gets it (`fabric.backends.keeping.warm`).
"""

import logging
import math
import secrets
import threading
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import replace
from typing import Protocol

from fabric.config.site import Site
from fabric.config.warm import Warm
from fabric.core.errors import FabricError
from fabric.core.resources import Resources
from fabric.scheduler.cycle import decide
from fabric.scheduler.ports import WantedCluster
from fabric.scheduler.quota import Held, Tree
from fabric.scheduler.replay import Decision
from fabric.scheduler.snapshot import NO_USAGE, NodeState, Running, Snapshot, waiting_of
from fabric.workloads.record import Grant, Instants, Record, Slice
from fabric.workloads.spec import Group, Priority, WorkloadSpec
from fabric.workloads.states import State

_log = logging.getLogger(__name__)

EVERY_S = 2.0
"""Between two looks, in seconds."""
APART_S = 10.0
"""Least time between two starts, in seconds, so that one that fails each time does not take the machine."""
END_S = 15.0
"""How long warm clusters may take to be gone when the fabric ends, in seconds; what stays leaves at the next start."""


class WarmClusters(Protocol):
    """What a backend can do about clusters that nobody has asked for."""

    def warm(self) -> Mapping[str, tuple[Slice, ...]]:
        """What each warm cluster that is not leaving is made of, by its name."""
        ...

    def keep_warm(self, wanted: WantedCluster) -> None:
        """Begin one."""
        ...

    def cool(self, cluster: str) -> None:
        """Take one away, unless work has got it."""
        ...

    def end_warm(self, patience_s: float) -> None:
        """Take all away."""
        ...


class Warmer(threading.Thread):
    """Keeps as many clusters warm as the site says."""

    def __init__(
        self,
        clusters: WarmClusters,
        site: Site,
        decision: Callable[[], Decision | None],
        made: Callable[[str, Grant], WantedCluster],
        *,
        leads: Callable[[], bool] = lambda: True,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        """Starts nothing yet.

        Args:
            clusters: Where they are.
            site: Says which.
            decision: What was decided last.
            made: The cluster of a name and a grant, that nobody has asked for.
            leads: Whether this control acts.
            now: Seconds that only grow.
        """
        super().__init__(name="warmer", daemon=True)
        self._clusters, self._site, self._decision, self._made = clusters, site, decision, made
        self._leads, self._now = leads, now
        self._may_start_at = -math.inf
        self._over = threading.Event()
        self._began = False

    def use(self, site: Site) -> None:
        """Go by another reading of the site."""
        self._site = site

    def run(self) -> None:
        """Look until told to end; whatever goes wrong is tried again."""
        while not self._over.wait(EVERY_S):
            try:
                if self._leads():
                    self.turn()
            except FabricError as error:
                _log.warning("no cluster is kept warm now: %s", error.message)
            except Exception:
                _log.exception("warmer")

    def end(self) -> None:
        """Look no more, and leave nothing warm."""
        self._over.set()
        if self.is_alive():
            self.join(timeout=END_S)
        if self._began:
            self._clusters.end_warm(END_S)

    def turn(self) -> None:
        """Take away what should not be there, and start one of what should be."""
        self._began = self._began or bool(self._site.warm)
        decision = self._decision()
        if not self._began or decision is None:
            return
        there = dict(self._clusters.warm())
        ready = {node.name for node in decision.snapshot.nodes if node.state is NodeState.READY}
        kept, lacking = set[str](), list[Warm]()
        for shape in self._site.warm:
            mine = list(self._like(shape, there, ready, kept))[: shape.count]
            kept.update(mine)
            lacking += [shape] * (len(mine) < shape.count)
        for name in there.keys() - kept:
            self._clusters.cool(name)
        if lacking and self._now() >= self._may_start_at and not decision.snapshot.waiting:
            self._start(lacking[0], decision, [there[name] for name in sorted(kept)])

    def _like(
        self, shape: Warm, there: Mapping[str, tuple[Slice, ...]], ready: Collection[str], kept: Collection[str]
    ) -> Iterator[str]:
        """Warm clusters of a shape on nodes that take work."""
        asked = resources_of(shape, self._site)
        for name, (part, *_) in sorted(there.items()):
            if (part.tier, part.resources) == (shape.tier, asked) and part.node in ready and name not in kept:
                yield name

    def _start(self, shape: Warm, decision: Decision, others: Collection[tuple[Slice, ...]]) -> None:
        name = f"warm-{secrets.token_hex(4)}"
        grant = place_of(name, spec_of(name, shape, self._site), decision, others)
        if grant is not None:
            self._may_start_at = self._now() + APART_S
            self._clusters.keep_warm(self._made(name, grant))
            _log.info("%s is kept warm on %s", name, grant.slices[0].node)


def resources_of(shape: Warm, site: Site) -> Resources:
    """What a warm cluster of a shape holds."""
    cpus = site.defaults.cpus if shape.cpus is None else shape.cpus
    return Resources.of(cpus, shape.gpus, shape.memory or site.defaults.memory)


def spec_of(name: str, shape: Warm, site: Site) -> WorkloadSpec:
    """Work of a shape, as somebody might ask for it who says little."""
    asked = resources_of(shape, site)
    group = Group(
        tier=shape.tier, cpus=asked.cpus.whole(), gpus=asked.gpus.whole(), memory=f"{asked.memory.count} B",
    )  # fmt: skip
    return WorkloadSpec(name=name, entrypoint="waits warm", groups=(group,), priority=Priority.HARVEST)


def place_of(name: str, spec: WorkloadSpec, decision: Decision, others: Collection[tuple[Slice, ...]]) -> Grant | None:
    """Where the scheduler would place such work now, in room that nobody has use for; None for nowhere.

    Args:
        name: Of the cluster.
        spec: What it is to be.
        decision: What was decided last.
        others: What other warm clusters hold.
    """
    record = Record(name, spec, State.QUEUED, Instants(decision.now))
    taken = [Running(f"{name}-{number}", Grant(parts), None) for number, parts in enumerate(others)]
    # It is nobody's, so no project's limits are about it.
    nobodys: Snapshot = replace(decision.snapshot, tree=Tree(), held=Held(), usage=NO_USAGE)
    plan = decide(nobodys.updated(started=taken, queued=(waiting_of(record, {}),)), decision.policy, decision.now)
    if plan.preempted:
        return None
    grant = next((action.grant for action in plan.placed if action.workload == name), None)
    # Only what is its own head is one Ray node, which the work that gets it needs not look for.
    return grant if grant is not None and len(grant.slices) == 1 and grant.slices[0].head else None
