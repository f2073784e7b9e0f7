"""How long until the workers of a gang can work on a tier.

Knows nothing of queues, and nothing of where measurements come from.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from fabric.config.staging import StagingPriors
from fabric.core.errors import BadInput
from fabric.scheduler.shape import Part, Shape
from fabric.scheduler.staging import Holds, Measured, Staging, Wanted, predict, slowest


@dataclass(frozen=True, slots=True)
class Experience:
    """What is known of how long things take."""

    priors: Mapping[str, StagingPriors]
    """First guesses, by tier."""
    measured: Measured = field(default_factory=Measured)
    loader: str = ""
    """How weights are loaded."""

    def of(self, part: Part, tier: str, holds: Holds, nodes: int = 1) -> Staging:
        """The staging of a part on some nodes of one tier that hold the same.

        Raises:
            BadInput: If the tier has no first guesses.
        """
        if tier not in self.priors:
            raise BadInput(
                f"nothing is known of how tier {tier!r} starts work; known: {', '.join(sorted(self.priors))}."
            )
        wanted = Wanted(tier, part.image, part.weights, self.loader if part.weights else "")
        return predict(wanted, holds, self.measured, self.priors[tier], nodes=nodes)


NO_EXPERIENCE = Experience({})
"""Nothing is known of any tier."""


def staging_on(shape: Shape, tier: str, known: Experience, *, holds: Holds | None = None, nodes: int = 1) -> Staging:
    """The staging that a gang waits for, of those of its parts that may run on `tier`; nothing at all if none may.

    Args:
        shape: The gang.
        tier: Where it would run.
        known: What is known of how long things take.
        holds: What each of the nodes has; by default it is up and has nothing.
        nodes: On how many nodes each part starts.

    Raises:
        BadInput: If the tier has no first guesses.
    """
    here = Holds() if holds is None else holds
    return slowest(known.of(part, tier, here, nodes) for part in shape.parts if part.tier in (None, tier))
