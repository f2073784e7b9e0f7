"""A cluster that fills up: finds the best node for one ask after the other and takes what is granted.

Knows nothing of traces, demand or measures.
"""

from collections.abc import Hashable
from dataclasses import dataclass, replace

import numpy as np

from fabric.core.quantity import Bytes
from fabric.scheduler.policies.columns import Ask, Flags, Floats, NodeColumns, accessible, fitting
from fabric.scheduler.policies.policy import Context, Policy, devices, in_steps

_NO_FIT = -1.0


@dataclass(frozen=True, slots=True)
class Placed:
    """Where an ask went."""

    row: int
    devices: tuple[int, ...]


class Cluster:
    """Free columns that only this object changes, and scores that are kept until a node changes."""

    def __init__(self, nodes: NodeColumns, policy: Policy, context: Context, *, exact: bool = False) -> None:
        """Take a copy of `nodes`.

        Args:
            nodes: The cluster at the start; the first of equally good rows is taken.
            policy: What chooses.
            context: What it may look at; the number of each ask is appended to its seed.
            exact: Tell all scores apart, not only steps of them.
        """
        self.nodes = nodes.rows(np.arange(len(nodes)))
        self._policy, self._context, self._exact = policy, context, exact
        self._asked = 0
        self._scores: dict[Hashable, Floats] = {}
        self._stale: dict[Hashable, Flags] = {}
        self._accessible: dict[frozenset[str], Flags] = {}

    def place(self, ask: Ask) -> Placed | None:
        """Grant `ask` on the best node, or None if it fits on none."""
        context = replace(self._context, seed=(*self._context.seed, self._asked))
        self._asked += 1
        row = self._best(ask, context)
        if row is None:
            return None
        chosen = devices(self._policy, ask, self.nodes.rows(np.array([row])), context)
        self._take(ask, row, chosen)
        return Placed(row, chosen)

    def _best(self, ask: Ask, context: Context) -> int | None:
        scores = self._kept(ask, context) if self._policy.by_row else self._fresh(ask, context)
        row = int(scores.argmax())
        return row if scores[row] > _NO_FIT else None

    def _fresh(self, ask: Ask, context: Context) -> Floats:
        """Scores of all nodes, seen together; below zero where the ask does not fit."""
        rows = np.flatnonzero(fitting(ask, self.nodes))
        scores = np.full(len(self.nodes), _NO_FIT)
        scores[rows] = self._steps(self._policy.score(ask, self.nodes.rows(rows), context))
        return scores

    def _kept(self, ask: Ask, context: Context) -> Floats:
        """The same for a policy that sees one node at a time: only nodes that changed are scored anew.

        Scored is the ask without memory and model, which only decide where it fits, so that few different ones remain.
        """
        shape = replace(ask, memory=Bytes(0), models=frozenset())
        key = (ask.cpus.count, ask.num_gpus, ask.gpu.count)
        if key not in self._scores:
            self._scores[key] = np.full(len(self.nodes), _NO_FIT)
            self._stale[key] = np.ones(len(self.nodes), dtype=np.bool_)
        scores, stale = self._scores[key], np.flatnonzero(self._stale[key])
        if len(stale):
            changed = self.nodes.rows(stale)
            fits = fitting(shape, changed)
            scores[stale] = _NO_FIT
            if fits.any():
                scores[stale[fits]] = self._steps(self._policy.score(shape, changed.rows(fits), context))
            self._stale[key][stale] = False
        return np.where(self._can_hold(ask), scores, _NO_FIT)

    def _can_hold(self, ask: Ask) -> Flags:
        """Where memory suffices and the model is one that the ask can use."""
        if ask.models not in self._accessible:
            self._accessible[ask.models] = accessible(ask, self.nodes)
        return self._accessible[ask.models] & (self.nodes.free_bytes >= ask.memory.count)

    def _steps(self, scores: Floats) -> Floats:
        return scores if self._exact else in_steps(scores)

    def _take(self, ask: Ask, row: int, chosen: tuple[int, ...]) -> None:
        self.nodes.free_milli_cpus[row] -= ask.cpus.count
        self.nodes.free_bytes[row] -= ask.memory.count
        self.nodes.free_milli_gpus[row, list(chosen)] -= ask.gpu.count
        self.nodes.kinds[row] |= ask.kind
        for stale in self._stale.values():
            stale[row] = True
