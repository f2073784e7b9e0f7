"""Which placement policies a site weighs, and what they say of the nodes in one decision.

Knows nothing of gangs: it compares nodes for one worker.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from pydantic import field_validator

from fabric.config.settings import Settings
from fabric.scheduler.columns import Amounts, Rows
from fabric.scheduler.columns import NodeColumns as Site
from fabric.scheduler.policies.columns import Floats, Ints
from fabric.scheduler.policies.fragmentation import TaskMix
from fabric.scheduler.policies.policy import Context, in_steps
from fabric.scheduler.policies.table import POLICIES, weighted
from fabric.scheduler.policies.view import ask_of, expected_mix, fixed, held_bytes, most_by_device, needed_bytes, view
from fabric.scheduler.shape import Part


class Placement(Settings):
    """Where work goes among the nodes that take it."""

    weights: dict[str, float] = {}
    """Weight of each placement policy by its name; their weighted mean decides. Without any, the fullest node that
    takes a worker is best, and work without accelerators goes where there are none."""

    ties: Literal["fullest", "name"] = "fullest"
    """Which of equally good nodes is taken: the fullest, or the first by name as in the published experiments."""

    @field_validator("weights")
    @classmethod
    def _known(cls, weights: dict[str, float]) -> dict[str, float]:
        unknown = sorted(weights.keys() - POLICIES.keys())
        if unknown:
            raise ValueError(f"there is no placement policy {unknown[0]!r}. Choose of {', '.join(POLICIES)}")
        wrong = sorted(name for name, weight in weights.items() if not 0 <= weight < float("inf"))
        if wrong:
            raise ValueError(f"the weight of {wrong[0]} must be 0 or more, not {weights[wrong[0]]}")
        if weights and not any(weights.values()):
            raise ValueError("one weight at least must be above 0; leave `weights` out for none")
        return weights


@dataclass(frozen=True, slots=True, eq=False)
class Scores:
    """What a decision compares nodes by; made once for it."""

    weights: Mapping[str, float]
    site: Site
    mix: TaskMix | None = None
    """The tasks to come; without them, the next one is expected to be like the one that is placed."""
    ties: Literal["fullest", "name"] = "fullest"
    seed: tuple[int, ...] = (0,)
    """Entropy of the decision."""
    devices: Ints | None = None
    """(N, D) What each device of every node has left, where somebody knows; then no worker is put on pieces of devices.
    Otherwise it is reckoned from the sums (`view.free_devices`)."""

    @classmethod
    def of(
        cls, placement: Placement, site: Site, *, expected: Iterable[Part] = (), seed: tuple[int, ...] = (0,)
    ) -> "Scores | None":
        """The scores that a site chose; None if it weighs no policy.

        Args:
            placement: Its choice.
            site: The nodes.
            expected: What is likely to come, such as everything that waits; looked at where `fgd` has a weight.
            seed: Entropy of the decision.
        """
        weights = {name: weight for name, weight in placement.weights.items() if weight}
        if not weights:
            return None
        mix = expected_mix(expected, site) if "fgd" in weights else None
        return cls(weights, site, mix, placement.ties, seed)

    @property
    def beside(self) -> bool:
        """Whether the slices that a gang has already change the scores."""
        return any(POLICIES[name].beside for name in self.weights)

    def steps(self, part: Part, rows: Rows, free: Amounts, *, siblings: Sequence[int] = ()) -> Floats:
        """(N,) How good each node is for one worker, in whole steps.

        Args:
            part: Whose worker.
            rows: Nodes that take it.
            free: What each of these has left.
            siblings: Rows of the slices that the workload holds already.
        """
        ask = ask_of(part.request)
        seen = fixed(self.site)
        near = np.array(siblings, dtype=np.intp)
        context = Context(
            seed=self.seed,
            mix=self.mix or expected_mix([part], self.site),
            siblings=np.stack([seen.group[near], seen.rack[near]], axis=1),
            needed=needed_bytes(part),
            held_bytes=held_bytes(part, rows, self.site) if "locality" in self.weights else None,
        )
        nodes = view(self.site, rows, free, devices=self.devices)
        return in_steps(weighted(ask, nodes, context, weights=self.weights))

    def most(self, part: Part, rows: Rows, free: Amounts) -> Ints | None:
        """(N,) How many workers the devices of each node take; None if nobody knows the devices, or none is needed."""
        if self.devices is None:
            return None
        return most_by_device(ask_of(part.request), view(self.site, rows, free, devices=self.devices))
