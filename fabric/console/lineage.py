"""Where the versions of a model come from and what they became, as a graph and as a picture of it.

Knows nothing of how models are made or served. Data, then the models that versions began with, the versions, how they
were judged, the aliases that point to them, and what serves them: each is a layer, and lines lead from one to the next.
Where there is room the layers stand beside each other; on a phone everything has a row of its own, with arcs beside.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal
from urllib.parse import quote

from fabric.api.admin import EvaluationView, ModelVersionView
from fabric.console.markup import Markup, tag
from fabric.console.words import number, path_of

Layer = Literal["data", "parent", "version", "evaluation", "alias", "served"]
LAYERS: tuple[Layer, ...] = ("data", "parent", "version", "evaluation", "alias", "served")
"""From where things come to where they go."""
TITLES: Mapping[Layer, str] = {
    "data": "Data", "parent": "Begun with", "version": "Version", "evaluation": "Judged", "alias": "Alias",
    "served": "Served by",
}  # fmt: skip
"""What stands above each layer."""
MOST_DRAWN = 8
"""Versions in one picture: those with an alias or a service, and then the newest; the others are in the table."""

COLUMN, ROW, BOX, TALL = 178, 44, 34, 30
"""Width of a layer and heights of a row and of a box; height of a row on a phone; in pixels."""
GAP, TOP, GUTTER, PHONE = 34, 26, 92, 340
"""Between two layers, above all, of the arcs on a phone, and width there; in pixels."""
LETTERS = 20
"""Of a label; the whole of it is in its title."""


@dataclass(frozen=True, slots=True)
class Node:
    """One thing in the graph."""

    layer: Layer
    name: str
    """Unique in its layer."""
    label: str
    """What is written."""
    told: str
    """What is said of it to who cannot see it, and on pointing at it."""
    link: str | None = None

    @property
    def key(self) -> tuple[Layer, str]:
        """Unique in the graph."""
        return self.layer, self.name


@dataclass(frozen=True, slots=True)
class Graph:
    """Things and what leads to what."""

    nodes: tuple[Node, ...]
    """By layer, in the order in which they are drawn."""
    edges: tuple[tuple[Node, Node], ...]
    """From the earlier layer to the later one."""


def place_of(version: ModelVersionView) -> str:
    """A version as people write it."""
    return f"{version.name}:{version.version}"


def anchor_of(version: ModelVersionView) -> str:
    """Where on the page a version's row is; two projects may have models of one name."""
    return f"model-{version.project}/{place_of(version)}"


def known_by(found: Iterable[ModelVersionView]) -> dict[str, ModelVersionView]:
    """Versions by what a lineage may call them: MODEL:VERSION, and content hash."""
    known: dict[str, ModelVersionView] = {}
    for version in found:
        known[place_of(version)] = version
        if version.digest:
            known.setdefault(version.digest, version)
    return known


def version_meant(text: str, known: Mapping[str, ModelVersionView]) -> ModelVersionView | None:
    """The registered version that a part of a lineage means; None if it is none."""
    return known.get(text) or known.get(text.rpartition("@")[2])


def parts_of(version: ModelVersionView, word: str) -> list[str]:
    """What a lineage says under a word, one by one."""
    return [text for text in version.lineage.get(word, "").split(", ") if text]


def graph_of(versions: Sequence[ModelVersionView], known: Mapping[str, ModelVersionView]) -> Graph:
    """The graph of some versions of one model.

    Args:
        versions: Newest first.
        known: All registered versions, as `known_by` has them.
    """
    building = _Building()
    for version in versions:
        place = place_of(version)
        here = building.node(Node("version", place, place, f"version {place}", f"#{anchor_of(version)}"))
        for text in parts_of(version, "data"):
            building.edge(_data(building, text), here)
        for text in parts_of(version, "made_from"):
            building.edge(building.node(Node("parent", text, text, f"made from {text}")), here)
        for text in parts_of(version, "parent"):
            meant = version_meant(text, known)
            label = place_of(meant) if meant else text
            link = f"#{anchor_of(meant)}" if meant else None
            parent = building.node(Node("parent", label, label, f"begun with {text}", link))
            building.edge(parent, here)
            for before in parts_of(meant, "data") if meant else ():
                building.edge(_data(building, before), parent)
        judged = here
        if version.evaluation is not None:
            said = judged_as(version.evaluation)
            judged = building.node(Node("evaluation", place, said, f"{place} was judged: {said}"))
            building.edge(here, judged)
        aliases = {
            alias: building.node(Node("alias", alias, f"@{alias}", f"alias {alias}")) for alias in version.aliases
        }
        for alias in aliases.values():
            building.edge(judged, alias)
        for by in version.served_by:
            name, state = by.deployment or by.workload, by.condition or by.state
            told = f"{name} serves {place}: {state}"
            served = building.node(Node("served", by.workload, name, told, path_of(by.workload)))
            building.edge(aliases.get(by.asked.partition("@")[2], judged), served)
    return building.graph()


def _data(building: "_Building", text: str) -> Node:
    return building.node(Node("data", text, text, f"data {text}"))


class _Building:
    """A graph that grows."""

    def __init__(self) -> None:
        self._nodes: dict[tuple[Layer, str], Node] = {}
        self._edges: dict[tuple[Node, Node], None] = {}

    def node(self, node: Node) -> Node:
        """The node, or the one that was made before of that name."""
        return self._nodes.setdefault(node.key, node)

    def edge(self, before: Node, after: Node) -> None:
        self._edges[before, after] = None

    def graph(self) -> Graph:
        nodes = sorted(self._nodes.values(), key=lambda node: LAYERS.index(node.layer))
        return Graph(tuple(nodes), tuple(self._edges))


def judged_as(evaluation: EvaluationView) -> str:
    """How a version was judged, in a few words."""
    if evaluation.num_items:
        return f"{evaluation.num_right} of {evaluation.num_items} right"
    name, value = next(iter(sorted(evaluation.metrics.items())), ("judged", None))
    return name if value is None else f"{name} {number(value)}"


def drawn_of(versions: Sequence[ModelVersionView]) -> list[ModelVersionView]:
    """Those of a model that are drawn, newest first."""
    in_use = [version for version in versions if version.aliases or version.served_by]
    others = [version for version in versions if not (version.aliases or version.served_by)]
    chosen = [*in_use, *others][:MOST_DRAWN]
    return sorted(chosen, key=lambda version: -version.version)


def picture_of(graph: Graph, name: str) -> Markup:
    """The graph as it is drawn where there is room, and on a phone; the page shows one of both."""
    return tag("div", _wide(graph, name), _tall(graph, name), class_="lineage")


def words_of(graph: Graph) -> Markup:
    """The same in words: each version with what leads to it, and what it leads to."""
    into: dict[Node, list[Node]] = {}
    out: dict[Node, list[Node]] = {}
    for before, after in graph.edges:
        into.setdefault(after, []).append(before)
        out.setdefault(before, []).append(after)
    lines = [
        tag("li", f"{node.label}: ", "; ".join(each.told for each in [*into.get(node, []), *_behind(node, out)]) or "–")
        for node in graph.nodes
        if node.layer == "version"
    ]
    return tag("details", tag("summary", "In words"), tag("ul", lines))


def _behind(node: Node, out: Mapping[Node, Sequence[Node]]) -> Iterator[Node]:
    for after in out.get(node, ()):
        yield after
        yield from _behind(after, out)


def _wide(graph: Graph, name: str) -> Markup:
    """Layers beside each other, from left to right; those without anything are left out."""
    layers = [layer for layer in LAYERS if any(node.layer == layer for node in graph.nodes)]
    slots = _slots(graph, layers)
    height = TOP + ROW * max((len(column) for column in slots), default=0)
    width = COLUMN * len(layers) - GAP
    where = {
        key: (COLUMN * at, TOP + ROW * row + (height - TOP - ROW * len(column)) / 2)
        for at, column in enumerate(slots)
        for row, key in enumerate(column)
    }
    lines = [tag("path", d=_curve([where[key] for key in way])) for way in (_way(edge, layers) for edge in graph.edges)]
    heads = [tag("text", TITLES[layer], x=COLUMN * at, y=14, class_="head") for at, layer in enumerate(layers)]
    boxes = [_box(node, *where[node.key], id=f"{name}-wide") for node in graph.nodes]
    drawing = tag(
        "svg", heads, tag("g", lines, class_="edges"), boxes, viewBox=f"-2 0 {width + 4} {height}", width=width + 4,
        height=height, role="group", aria_label=f"Lineage of {name}, from left to right; in words below",
    )  # fmt: skip
    return tag("div", drawing, class_="wide", tabindex=0, role="region", aria_label=f"Lineage of {name}")


_Key = tuple[str, str]
"""Of a node, or of the place at which a long line passes through a layer."""


def _way(edge: tuple[Node, Node], layers: Sequence[Layer]) -> list[_Key]:
    """Where a line passes: from its beginning through a place of its own in each layer between to its end."""
    before, after = edge
    between = layers[layers.index(before.layer) + 1 : layers.index(after.layer)]
    return [before.key, *((layer, f"\0{before.key}{after.key}") for layer in between), after.key]


def _slots(graph: Graph, layers: Sequence[Layer]) -> list[list[_Key]]:
    """What stands in each layer, from above; each near the middle of what leads to it, so that few lines cross."""
    ways = [_way(edge, layers) for edge in graph.edges]
    columns: dict[str, dict[_Key, None]] = {layer: {} for layer in layers}
    for node in graph.nodes:
        columns[node.layer][node.key] = None
    into: dict[_Key, list[_Key]] = {}
    for way in ways:
        for key in way[1:-1]:
            columns[key[0]][key] = None
        for before, after in pairwise(way):
            into.setdefault(after, []).append(before)
    found: list[list[_Key]] = []
    above: dict[_Key, float] = {}
    for layer in layers:
        column = list(columns[layer])
        middles = {key: _middle([above[each] for each in into.get(key, ())], at) for at, key in enumerate(column)}
        column.sort(key=lambda key: middles[key])
        above |= {key: float(at) for at, key in enumerate(column)}
        found.append(column)
    return found


def _middle(places: Sequence[float], otherwise: float) -> float:
    return sum(places) / len(places) if places else otherwise


def _curve(corners: Sequence[tuple[float, float]]) -> str:
    """A smooth line from the right of the first box, past others, to the left of the last one."""
    half, box = BOX / 2, COLUMN - GAP
    x, y = corners[0][0] + box, corners[0][1] + half
    parts = [f"M{x:.0f} {y:.1f}"]
    for number_of, (left, top) in enumerate(corners[1:], 1):
        to_y = top + half
        parts.append(f"C{x + GAP / 2:.0f} {y:.1f} {left - GAP / 2:.0f} {to_y:.1f} {left:.0f} {to_y:.1f}")
        x, y = left, to_y
        if number_of < len(corners) - 1:
            x = left + box
            parts.append(f"H{x:.0f}")
    return " ".join(parts)


def _box(node: Node, x: float, y: float, *, id: str) -> Markup:
    box = tag("rect", x=f"{x:.0f}", y=f"{y:.1f}", width=COLUMN - GAP, height=BOX, rx=6)
    text = tag("text", _short(node.label, LETTERS), x=f"{x + 9:.0f}", y=f"{y + BOX / 2 + 4:.1f}")
    return _told(node, box, text, id=id)


def _tall(graph: Graph, name: str) -> Markup:
    """A row for each thing, one below the other, and arcs from what leads to what."""
    row = {node.key: number_of for number_of, node in enumerate(graph.nodes)}
    middle = {key: TALL * number_of + TALL / 2 for key, number_of in row.items()}
    arcs = []
    for before, after in graph.edges:
        first, last = middle[before.key], middle[after.key]
        out = GUTTER - min(GUTTER - 8.0, 14.0 + 7.0 * (row[after.key] - row[before.key]))
        arcs.append(
            tag("path", d=f"M{GUTTER} {first:.0f} C{out:.0f} {first:.0f} {out:.0f} {last:.0f} {GUTTER} {last:.0f}")
        )
    rows = [
        _told(
            node,
            tag("circle", cx=GUTTER, cy=f"{middle[node.key]:.0f}", r=5),
            tag(
                "text",
                _short(f"{TITLES[node.layer]}: {node.label}", LETTERS + 13),
                x=GUTTER + 12,
                y=f"{middle[node.key] + 4:.0f}",
            ),
            id=f"{name}-tall",
        )
        for node in graph.nodes
    ]
    height = TALL * len(graph.nodes)
    drawing = tag(
        "svg", tag("g", arcs, class_="edges"), rows, viewBox=f"0 0 {PHONE} {height}", role="group",
        aria_label=f"Lineage of {name}, from above; in words below",
    )  # fmt: skip
    return tag("div", drawing, class_="tall")


def _told(node: Node, *drawn: Markup, id: str) -> Markup:
    """A thing with what is said of it; what has a page or a row of its own is a link to that."""
    title = tag("title", node.told)
    if node.link is None:
        return tag("g", title, drawn, class_=f"thing {node.layer}", role="img", aria_label=node.told)
    anchor = f"graph-{quote(f'{id}/{node.layer}/{node.name}')}"
    return tag("a", title, drawn, href=node.link, class_=f"thing {node.layer}", id=anchor, aria_label=node.told)


def _short(text: str, letters: int) -> str:
    return text if len(text) <= letters else f"{text[: letters - 1]}…"
