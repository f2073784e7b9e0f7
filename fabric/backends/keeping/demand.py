"""Which of Ray's waiting demands the grant could never meet, and what would.

Knows nothing of how demands are read, nor of who holds what now: a demand that only waits for others is none of these.
"""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from fabric.backends.local.layout import labels
from fabric.workloads.record import Slice

_FLAGS = {"CPU": "--entrypoint-num-cpus (or cpus of a group)", "GPU": "--entrypoint-num-gpus (or gpus of a group)",
          "memory": "--entrypoint-memory (or memory of a group)"}  # fmt: skip
_MORE_WORKERS = "more workers (fabric.workers, or count of a group)"
_RAYS_OWN = re.compile(r"object_store_memory|node:.*|accelerator_type:.*|.*_group_.*")
"""Resources that Ray's nodes have without being granted them: of every node, or of a placement group that is there."""
UNMET_AFTER_S = 30.0
"""How long a demand must stay impossible before it is told, in seconds (design: asking)."""
_SELECTOR = re.compile(r"(?P<no>!?)(?:in\((?P<many>.*)\)|(?P<one>.*))")


@dataclass(frozen=True, slots=True)
class Bundle:
    """What must be on one node."""

    resources: Mapping[str, float]
    """By Ray's names."""
    labels: Mapping[str, str] = field(default_factory=dict)
    """Ray's label selector: `VALUE`, `!VALUE`, `in(A, B)` or `!in(A, B)` by label."""


@dataclass(frozen=True, slots=True)
class Demand:
    """What Ray must find room for at once: the one bundle of a task or an actor, or all of a placement group."""

    bundles: tuple[Bundle, ...]
    group: bool = False
    """Whether it is a placement group."""
    infeasible: bool = False
    """Whether Ray finds that no nodes like these could hold it. Ray tells a group's strategy nowhere; this shows it."""


@dataclass(frozen=True, slots=True)
class _Offer:
    resources: Mapping[str, float]
    labels: Mapping[str, str]

    def times(self, bundle: Bundle) -> int:
        """How many such bundles fit; a large number where it asks for nothing."""
        if not all(_selects(value, self.labels.get(key)) for key, value in _own_labels(bundle).items()):
            return 0
        amounts = _amounts(bundle)
        return min((int(self.resources[kind] / amount + 1e-9) for kind, amount in amounts.items()), default=1_000_000)


def unmet(
    demands: Sequence[Demand | Mapping[str, float]], slices: Sequence[Slice], held_gpus: Mapping[str, float]
) -> str:
    """A sentence about the first demand that the whole grant, were it idle, could not meet; empty if there is none.

    Args:
        demands: That wait; resources alone stand for one bundle without labels.
        slices: Of the grant.
        held_gpus: Accelerators that the entrypoint itself holds as long as it runs, by slice.
    """
    offers = [_offer(part, held_gpus.get(part.name, 0.0)) for part in slices]
    wholes = (item if isinstance(item, Demand) else Demand((Bundle(item),)) for item in demands)
    return next(filter(None, (_problem(demand, offers) for demand in wholes)), "")


def _problem(demand: Demand, offers: Sequence[_Offer]) -> str:
    """Why no offers could meet a demand; empty if they could."""
    alone = (_unknown(bundle) or _too_large(bundle, offers) for bundle in demand.bundles)
    if found := next(filter(None, alone), ""):
        return found
    return _too_many(demand, offers) or _too_strict(demand, offers) if demand.group else ""


def _unknown(bundle: Bundle) -> str:
    """About a resource that nothing here has."""
    unknown = [kind for kind, amount in sorted(bundle.resources.items()) if amount > 0 and not _known(kind)]
    if not unknown:
        return ""
    asks = f"asks Ray for {bundle.resources[unknown[0]]:g} {unknown[0]}, but a grant has {', '.join(_FLAGS)} only"
    return f"{asks}. Ask without it; a label selector such as fabric/tier chooses nodes"


def _known(kind: str) -> bool:
    return kind in _FLAGS or _RAYS_OWN.fullmatch(kind) is not None


def _too_large(bundle: Bundle, offers: Sequence[_Offer]) -> str:
    """About a bundle that is on no slice by itself."""
    if any(offer.times(bundle) for offer in offers):
        return ""
    chosen = [offer for offer in offers if offer.times(Bundle({}, bundle.labels))]
    if not chosen:
        return _no_such_labels(bundle, offers)
    amounts = _amounts(bundle)
    largest = {kind: max(offer.resources[kind] for offer in chosen) for kind in amounts}
    short = [kind for kind, amount in amounts.items() if largest[kind] < amount] or list(amounts)
    most = ", ".join(f"{largest[kind]:g} {kind}" for kind in sorted(amounts))
    where = "slice of the grant" + (f" with {_selector(bundle)}" if _own_labels(bundle) else "")
    limit = f"the largest {where} has {most} beside what the entrypoint holds"
    return f"asks Ray for {_named(amounts)} on one node, but {limit}. {_again(short)}"


def _no_such_labels(bundle: Bundle, offers: Sequence[_Offer]) -> str:
    there = sorted(
        {f"{key}={offer.labels[key]}" for offer in offers for key in _own_labels(bundle) & offer.labels.keys()}
    )
    limit = f"the slices of the grant have {', '.join(there)}" if there else "no slice of the grant has such a label"
    return f"asks Ray for a node with {_selector(bundle)}, but {limit}. Submit again with a group on the tier it means"


def _too_many(demand: Demand, offers: Sequence[_Offer]) -> str:
    """About a placement group whose bundles fit one by one but not together."""
    sums = _total(demand)
    most = {kind: sum(offer.resources[kind] for offer in offers) for kind in sums}
    short = [kind for kind, amount in sums.items() if most[kind] < amount - 1e-9]
    limit = f"has {_named({kind: most[kind] for kind in short})}"
    for bundle, count in _shapes(demand):
        room = sum(offer.times(bundle) for offer in offers)
        if room < count:
            short, limit = list(_amounts(bundle)), f"has room for {room} of them"
            break
    if not short:
        return ""
    asks = f"asks Ray for a placement group of {_group(demand)}, but the grant {limit}"
    return f"{asks} beside what the entrypoint holds. {_again(short)}, or {_MORE_WORKERS}"


def _too_strict(demand: Demand, offers: Sequence[_Offer]) -> str:
    """About a placement group that Ray refuses although there is room, because of the nodes it wants the room on."""
    if not demand.infeasible:
        return ""
    sums = _total(demand)
    room = [offer for offer in offers if any(offer.times(bundle) for bundle in demand.bundles)]
    most = max(room, key=lambda offer: tuple(offer.resources[kind] for kind in sorted(sums)))
    wishes, limits = [], []
    if not any(offer.times(Bundle(sums)) for offer in room):
        wishes.append("all on one node (STRICT_PACK)")
        limits.append(f"the largest slice of the grant has {_named({kind: most.resources[kind] for kind in sums})}")
    if len(demand.bundles) > len(room):
        wishes.append("each on another node (STRICT_SPREAD)")
        limits.append(f"{len(room)} slices of the grant have room for one")
    if not wishes:
        return (
            f"asks Ray for a placement group of {_group(demand)}, which Ray finds impossible on the nodes of the grant"
        )
    asks = f"asks Ray for a placement group of {_group(demand)}, {' or '.join(wishes)}"
    return f"{asks}, but {' and '.join(limits)}. Ask Ray for PACK or SPREAD, or for workers of another size or number"


def _shapes(demand: Demand) -> list[tuple[Bundle, int]]:
    """Each different bundle, and how many of the group's are like it or larger, with the same labels."""
    kinds = Counter((tuple(sorted(_amounts(b).items())), tuple(sorted(_own_labels(b).items()))) for b in demand.bundles)
    return [
        (
            Bundle(dict(amounts), dict(chosen)),
            sum(n for (other, its), n in kinds.items() if its == chosen and _covers(other, amounts)),
        )
        for amounts, chosen in kinds
        if amounts
    ]


def _covers(larger: Sequence[tuple[str, float]], smaller: Sequence[tuple[str, float]]) -> bool:
    has = dict(larger)
    return all(has.get(kind, 0.0) >= amount for kind, amount in smaller)


def _offer(part: Slice, held_gpus: float) -> _Offer:
    request = part.resources
    cpus, gpus = (0.0, 0.0) if part.only_head else (request.cpus.whole(), max(0.0, request.gpus.whole() - held_gpus))
    return _Offer({"CPU": cpus, "GPU": gpus, "memory": float(request.memory.count)}, labels(part))


def _amounts(bundle: Bundle) -> dict[str, float]:
    """What a bundle asks of a grant."""
    return {kind: amount for kind, amount in bundle.resources.items() if kind in _FLAGS and amount > 0}


def _total(demand: Demand) -> dict[str, float]:
    kinds = {kind for bundle in demand.bundles for kind in _amounts(bundle)}
    return {kind: sum(bundle.resources.get(kind, 0.0) for bundle in demand.bundles) for kind in sorted(kinds)}


def _own_labels(bundle: Bundle) -> dict[str, str]:
    """The labels of a selector that the fabric or nobody sets; Ray's own are left to Ray."""
    return {key: value for key, value in bundle.labels.items() if not key.startswith("ray.io/")}


def _selects(wanted: str, found: str | None) -> bool:
    """Whether a label's value is one that a selector takes; `!` takes nodes without the label too."""
    parts = _SELECTOR.fullmatch(wanted)
    if parts is None:
        return True
    values = [part.strip() for part in parts["many"].split(",")] if parts["many"] is not None else [parts["one"]]
    return (found in values) != bool(parts["no"])


def _selector(bundle: Bundle) -> str:
    return ", ".join(f"{key}={value}" for key, value in sorted(_own_labels(bundle).items()))


def _named(amounts: Mapping[str, float]) -> str:
    return " and ".join(f"{amount:g} {kind}" for kind, amount in sorted(amounts.items()))


def _group(demand: Demand) -> str:
    counts = Counter(_named(_amounts(bundle)) or "nothing" for bundle in demand.bundles)
    return " and ".join(f"{count} × ({named})" for named, count in counts.items())


def _again(kinds: Sequence[str]) -> str:
    return f"Submit again with more: {', '.join(_FLAGS[kind] for kind in sorted(kinds))}"


class Unmet:
    """Whether the same demand has stayed impossible for so long that it is worth a word."""

    def __init__(self, after_s: float = UNMET_AFTER_S) -> None:
        self._after_s = after_s
        self._since: tuple[str, float] | None = None

    def lasts(self, sentence: str, now: float) -> bool:
        """Whether it has.

        Args:
            sentence: What is impossible now; empty for nothing.
            now: Seconds that only grow.
        """
        if not sentence:
            self._since = None
        elif self._since is None or self._since[0] != sentence:
            self._since = (sentence, now)
        return self._since is not None and now - self._since[1] >= self._after_s
