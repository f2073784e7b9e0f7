"""How long until the workers of a gang can work on a tier, or on the nodes that were found for them.

Knows nothing of queues, and nothing of where measurements come from.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from fabric.config.staging import StagingPriors
from fabric.core.errors import BadInput
from fabric.scheduler.columns import NodeColumns
from fabric.scheduler.shape import Part, Shape
from fabric.scheduler.slices import Piece
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


def staging_of(pieces: Iterable[Piece], site: NodeColumns, known: Experience) -> Staging:
    """The staging that a gang waits for on the nodes that were found for it.

    Raises:
        BadInput: If one of their tiers has no first guesses.
    """
    alike = Counter((piece.part, site.tier_of[piece.row], _held(piece, site)) for piece in pieces)
    return slowest(
        known.of(part, tier, Holds(artifacts=held, caches=held), nodes) for (part, tier, held), nodes in alike.items()
    )


def _held(piece: Piece, site: NodeColumns) -> frozenset[str]:
    """What its node has of what it needs; compiled kernels of a model are taken to be where its weights are."""
    needs = (artifact.name for artifact in (piece.part.image, piece.part.weights) if artifact)
    return frozenset(name for name in needs if piece.row in site.holders.get(name, ()))
