"""The lines of the RAM bill: what a slice keeps in memory or in files, how large each may grow, and which of it is RAM.

Knows nothing of nodes, of sums or of superchips.
"""

from dataclasses import dataclass
from enum import StrEnum

from fabric.config.memory import Ram
from fabric.config.site import Tier
from fabric.core.quantity import Bytes
from fabric.core.resources import Resources

OBJECT_STORE_LEAST = Bytes(75 * 2**20)
"""Smallest object store that Ray starts with (ray_constants.OBJECT_STORE_MINIMUM_MEMORY_BYTES)."""

_NONE = Bytes(0)


class Kept(StrEnum):
    """Where the bytes of a line are, and so who limits and who pays them."""

    MEMORY = "memory"
    """In the slice's memory on any tier; the kernel counts them towards the slice's limit."""
    FILES = "files"
    """Files of the slice: on a disk where the node has one, otherwise in RAM."""
    LAYERS = "layers"
    """Files that the slices of a node share, written by the container runtime and counted towards no slice."""


@dataclass(frozen=True, slots=True)
class Volume:
    """An emptyDir, and the size at which it is full."""

    name: str
    size: Bytes
    in_memory: bool = False
    """Whether it asks for `medium: Memory`, which is RAM on every tier."""


@dataclass(frozen=True, slots=True)
class Image:
    """A container image by name, and its unpacked layers."""

    name: str
    layers: Bytes


@dataclass(frozen=True, slots=True)
class Needs:
    """What one slice will keep; None takes the tier's cap."""

    asked: Resources
    """Of all its workers together; the memory is what their processes allocate."""
    head: Bytes = _NONE
    """Memory of a Ray head that runs inside it and was not asked for as `asked`."""
    object_store: Bytes | None = None
    shm: Bytes | None = None
    volumes: tuple[Volume, ...] = ()
    scratch: Bytes | None = None
    spill: Bytes | None = None
    logs: Bytes | None = None
    jit: Bytes | None = None
    weights: Bytes = _NONE
    """Weights read from files, whose pages the kernel keeps."""
    image: Image | None = None


@dataclass(frozen=True, slots=True)
class Caps:
    """The tier's constants of `fabric.config.memory.Ram`, as quantities."""

    object_store_permille: int
    object_store_most: Bytes
    shm: Bytes
    scratch: Bytes
    logs: Bytes
    spill: Bytes
    jit: Bytes
    image: Bytes
    agents: Bytes

    @classmethod
    def of(cls, ram: Ram) -> "Caps":
        """Read the settings."""
        sizes = (ram.object_store_most, ram.shm, ram.scratch, ram.logs, ram.spill, ram.jit, ram.image, ram.agents)
        return cls(ram.object_store_permille, *map(Bytes.of, sizes))


@dataclass(frozen=True, slots=True)
class Terms:
    """How one tier charges; made once from its settings, since reading sizes costs more than billing."""

    tier: str
    diskless: bool
    caps: Caps | None
    """None where only what is asked for is charged."""
    unit: Resources | None
    """A superchip, where nodes are given out in whole ones."""
    block: bool = False
    """Whether a diskless node keeps files in a block RAM disk, whose bytes no slice's limit counts."""


def terms(tier: Tier) -> Terms:
    """How `tier` charges."""
    return Terms(
        tier=tier.name,
        diskless=tier.diskless,
        caps=Caps.of(tier.charges) if tier.charges else None,
        unit=tier.superchip.resources if tier.superchip else None,
        block=tier.diskless and tier.charges is not None and tier.charges.disk == "block",
    )


@dataclass(frozen=True, slots=True)
class Line:
    """One item of a bill."""

    what: str
    size: Bytes
    charged: bool
    """Whether it is in RAM; otherwise it is only a limit."""
    why: str
    kept: Kept = Kept.MEMORY
    shared: str = ""
    """Name under which the slices of a node pay it once together."""

    @property
    def cost(self) -> Bytes:
        """What it takes of the node's RAM."""
        return self.size if self.charged else _NONE


def lines(needs: Needs, terms: Terms) -> tuple[Line, ...]:
    """Every line of what a slice keeps, in an order that never changes."""
    application = Line("application memory", needs.asked.memory, True, "asked for by its workers")
    head = (Line("Ray head", needs.head, True, "GCS, dashboard and driver inside the slice"),) if needs.head else ()
    volumes = [_volume(volume, terms) for volume in needs.volumes]
    if terms.caps is None:
        return (application, *head, *volumes)
    caps = terms.caps
    store, why = _object_store(needs, caps)
    return (
        application,
        *head,
        Line("object store", store, True, why),
        Line("shared memory", _or(needs.shm, caps.shm), True, "beside the object store in /dev/shm"),
        *volumes,
        _file("scratch", needs.scratch, caps.scratch, terms),
        _file("logs", needs.logs, caps.logs, terms),
        _file("spill", needs.spill, caps.spill, terms),
        _file("JIT caches", needs.jit, caps.jit, terms),
        _weights(needs.weights, terms),
        Line("Ray agents", caps.agents, True, "raylet and its agents"),
        _image(needs.image, caps.image, terms),
    )


def _object_store(needs: Needs, caps: Caps) -> tuple[Bytes, str]:
    if needs.object_store is not None:
        return max(needs.object_store, OBJECT_STORE_LEAST), "its workload says so"
    # Rounded up, so that slices never cost less together than one for all of their workers.
    share = Bytes(-(-needs.asked.memory.count * caps.object_store_permille // 1000))
    most = max(caps.object_store_most, OBJECT_STORE_LEAST)
    part = f"{caps.object_store_permille / 10:g} % of application memory"
    if share > most:
        return most, f"{part}, at most {most}"
    return max(share, OBJECT_STORE_LEAST), part if share >= OBJECT_STORE_LEAST else "the least that Ray starts with"


def _volume(volume: Volume, terms: Terms) -> Line:
    if volume.in_memory:
        return Line(f"emptyDir {volume.name}", volume.size, True, "medium: Memory")
    return Line(f"emptyDir {volume.name}", volume.size, terms.diskless, _place(terms), Kept.FILES)


def _file(what: str, said: Bytes | None, cap: Bytes, terms: Terms) -> Line:
    return Line(what, _or(said, cap), terms.diskless, _place(terms), Kept.FILES)


def _weights(weights: Bytes, terms: Terms) -> Line:
    why = "kept, or a reload crosses the network" if terms.diskless else "given up under pressure, read again from disk"
    return Line("page cache of weights", weights, terms.diskless, why)


def _image(image: Image | None, guess: Bytes, terms: Terms) -> Line:
    if image is None:
        # Two images that nobody named may differ, so each slice pays its own.
        return Line("image layers", guess, terms.diskless, f"size not known, {_place(terms)}", Kept.LAYERS)
    why = f"{image.name}, {_place(terms)}, once for all slices of the node"
    return Line("image layers", image.layers, terms.diskless, why, Kept.LAYERS, image.name)


def _place(terms: Terms) -> str:
    if not terms.diskless:
        return "on the node's disk"
    return "in the node's RAM disk" if terms.block else "in tmpfs"


def _or(said: Bytes | None, cap: Bytes) -> Bytes:
    return cap if said is None else said
