"""How long until work can start on a node: boot, image, weights, caches, Ray; predicted from what was measured.

Knows nothing of how any of it is done; seconds come from whoever watched, first guesses from the site file.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from statistics import median

from fabric.config.staging import StagingPriors
from fabric.core.errors import BadInput
from fabric.core.quantity import Bytes

KEPT_SAMPLES = 64
"""Newest measurements kept of each kind, so that a faster file system is believed after as many starts; a choice."""

SAFE_LEVEL = 0.95
"""Part of the starts that are at most as long as the safe prediction says, if they come as the measured ones did."""


class Stage(StrEnum):
    """What happens before work starts, in order."""

    BOOT = "boot"
    IMAGE = "image"
    WEIGHTS = "weights"
    CACHES = "caches"
    RAY = "Ray start"


@dataclass(frozen=True, slots=True, order=True)
class Kind:
    """Starts that are alike: one stage of one artifact, loaded one way, on one tier."""

    stage: Stage
    tier: str
    artifact: str = ""
    """Image or model; empty for boot and Ray."""
    loader: str = ""
    """How weights are loaded, such as `safetensors` or `streamer`; empty where nothing is loaded."""


@dataclass(frozen=True, slots=True)
class Artifact:
    """An image or a model's weights."""

    name: str
    size: Bytes


@dataclass(frozen=True, slots=True)
class Measured:
    """Seconds seen so far by kind, oldest first; never changed in place."""

    samples: Mapping[Kind, tuple[float, ...]] = field(default_factory=dict)
    sizes: Mapping[Kind, Bytes] = field(default_factory=dict)
    """Of the artifacts whose size is known; their rates are first guesses for artifacts not seen yet."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What must be on a node before the work starts there."""

    tier: str
    image: Artifact | None = None
    weights: Artifact | None = None
    loader: str = ""


@dataclass(frozen=True, slots=True)
class Holds:
    """What a node has already."""

    booted: bool = True
    artifacts: frozenset[str] = frozenset()
    """Images and models on the node."""
    caches: frozenset[str] = frozenset()
    """Models whose compiled kernels and graphs are on the node."""


@dataclass(frozen=True, slots=True)
class Line:
    """One stage on one node."""

    stage: Stage
    expected_s: float
    """Median."""
    safe_s: float
    """Upper quantile at `SAFE_LEVEL`."""
    why: str


@dataclass(frozen=True, slots=True)
class Staging:
    """All stages of one start, one after the other."""

    lines: tuple[Line, ...]

    @property
    def expected_s(self) -> float:
        """Sum of the medians, for order and cost."""
        return sum(line.expected_s for line in self.lines)

    @property
    def safe_s(self) -> float:
        """Sum of the upper quantiles, for promises; late stages seldom come together, so it errs on the long side."""
        return sum(line.safe_s for line in self.lines)

    def __str__(self) -> str:
        rows = [f"{line.stage} {line.expected_s:.1f} s (safe {line.safe_s:.1f} s, {line.why})" for line in self.lines]
        return f"staging {self.expected_s:.1f} s (safe {self.safe_s:.1f} s): " + "; ".join(rows)


def observe(measured: Measured, kind: Kind, seconds: float, size: Bytes | None = None) -> Measured:
    """`measured` with one more measurement; the old value stays as it was.

    Raises:
        BadInput: If `seconds` is no duration.
    """
    if not math.isfinite(seconds) or seconds < 0:
        raise BadInput(f"{kind.stage} of {kind.artifact or kind.tier} took {seconds} s; report a duration of 0 or more")
    kept = (*measured.samples.get(kind, ()), seconds)[-KEPT_SAMPLES:]
    sizes = measured.sizes if size is None else {**measured.sizes, kind: size}
    return Measured({**measured.samples, kind: kept}, sizes)


def predict(wanted: Wanted, holds: Holds, measured: Measured, priors: StagingPriors, *, nodes: int = 1) -> Staging:
    """Predict the staging of work that starts on `nodes` equal nodes side by side and waits for the last of them.

    What a node holds costs nothing; copying weights from its own memory into accelerators belongs to the work. Nodes
    are taken to be independent: that many of them slow each other down is seen only in measurements of such starts.

    Args:
        wanted: Image, weights and loader.
        holds: What each of the nodes has.
        measured: What was seen so far.
        priors: The tier's first guesses.
        nodes: How many start together.

    Raises:
        ValueError: If `nodes` is below one.
    """
    if nodes < 1:
        raise ValueError(f"work starts on at least one node, not {nodes}")
    return Staging(
        tuple(
            Line(kind.stage, 0.0, 0.0, "held by the node") if held else _line(kind, prior, measured, nodes)
            for kind, held, prior in _stages(wanted, holds, measured, priors)
        )
    )


def slowest(stagings: Iterable[Staging]) -> Staging:
    """The staging that a gang waits for, of those of its groups; nothing at all if there are none."""
    return max(stagings, key=lambda staging: (staging.safe_s, staging.expected_s), default=Staging(()))


@dataclass(frozen=True, slots=True)
class _Guess:
    expected_s: float
    safe_s: float
    why: str


def _stages(
    wanted: Wanted, holds: Holds, measured: Measured, priors: StagingPriors
) -> Iterable[tuple[Kind, bool, _Guess]]:
    """Every stage with whether the node can skip it, and its first guess."""
    tier, factor = wanted.tier, priors.safe_factor
    yield Kind(Stage.BOOT, tier), holds.booted, _fixed(priors.boot_s, factor)
    if wanted.image is not None:
        kind = Kind(Stage.IMAGE, tier, wanted.image.name)
        held = wanted.image.name in holds.artifacts
        yield kind, held, _sized(kind, wanted.image.size, measured, _rate(priors.image_per_s, factor))
    if wanted.weights is not None:
        model = wanted.weights.name
        kind = Kind(Stage.WEIGHTS, tier, model, wanted.loader)
        guess = _sized(kind, wanted.weights.size, measured, _rate(priors.weights_per_s, factor))
        yield kind, model in holds.artifacts, guess
        caches = Kind(Stage.CACHES, tier, model, wanted.loader)
        yield caches, model in holds.caches, _fixed(priors.caches_s, factor)
    yield Kind(Stage.RAY, tier), False, _fixed(priors.ray_s, factor)


def _fixed(seconds: float, factor: float) -> _Guess:
    return _Guess(seconds, seconds * factor, "the site's guess")


def _rate(per_s: str, factor: float) -> tuple[float, float]:
    return float(Bytes.of(per_s).count), factor


def _sized(kind: Kind, size: Bytes, measured: Measured, rate: tuple[float, float]) -> _Guess:
    """A guess from the rate at which other artifacts were loaded the same way, else from the site's."""
    per_s, factor = rate
    alike = [
        known.count / median(measured.samples[other])
        for other, known in measured.sizes.items()
        if (other.stage, other.tier, other.loader) == (kind.stage, kind.tier, kind.loader)
        and other != kind
        and median(measured.samples[other]) > 0
    ]
    per_s = median(alike) if alike else per_s
    source = f"the rate of {len(alike)} others" if alike else "the site's guess"
    return _Guess(size.count / per_s, size.count / per_s * factor, f"{size} at {Bytes(int(per_s))}/s, {source}")


def _line(kind: Kind, guess: _Guess, measured: Measured, nodes: int) -> Line:
    """Prediction for the last of `nodes`.

    The guess counts as one measurement towards the median. The safe value is the order statistic that the next start
    exceeds with probability at most 1 - SAFE_LEVEL if starts are exchangeable (rank ceil(level * (n + 1)), as in
    conformal prediction); where there are too few for that rank, it is the longest seen or the safe guess.
    """
    samples = sorted(measured.samples.get(kind, ()))
    pool = sorted([*samples, guess.expected_s])
    expected_s = _ranked(pool, 0.5 ** (1 / nodes), pool[-1])
    longest_s = max([guess.safe_s, *samples[-1:]])
    safe_s = max(expected_s, _ranked(samples, SAFE_LEVEL ** (1 / nodes), longest_s))
    why = f"{len(samples)} measurements" if samples else guess.why
    return Line(kind.stage, expected_s, safe_s, why)


def _ranked(ordered: Sequence[float], level: float, otherwise: float) -> float:
    """The value of rank ceil(level * (n + 1)), or `otherwise` where that rank does not exist."""
    rank = math.ceil(round(level * (len(ordered) + 1), 9))
    return ordered[rank - 1] if rank <= len(ordered) else otherwise
