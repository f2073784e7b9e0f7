"""Every node by tier: what it has, what is granted of it, and who holds it.

Knows nothing of why work is where it is.
"""

from itertools import groupby

from nicegui import ui
from starlette.requests import Request

from fabric.api.admin import NodeView
from fabric.console.frame import Console, part
from fabric.console.markup import Child, Markup, join, tag
from fabric.console.words import bar, heading, link_to, node_path, number, size, table

COLUMNS = ("Node", "State", "GPUs", "CPUs", "Memory", "Workloads")
"""Of a tier's table."""
MOST_NAMED = 6
"""Workloads of one node that are named; the others are counted."""


def add(console: Console) -> None:
    """Add the page."""

    @ui.page("/nodes", title="Nodes · fabric", response_timeout=20)
    async def nodes(request: Request) -> None:
        visit = console.visit(request)
        with console.page(visit, "Nodes", "/nodes"):
            shown = part()

            async def refresh() -> None:
                shown.show(nodes_of(await visit.session.client.nodes()))

            await console.keep(visit, refresh)


def nodes_of(found: tuple[NodeView, ...]) -> Markup:
    """A map of all nodes, and a table for each tier."""
    if not found:
        return tag("p", "This site has no nodes yet.", class_="empty")
    by_tier = groupby(sorted(found, key=lambda node: (node.tier, node.name)), key=lambda node: node.tier)
    return join([_tier(name, tuple(nodes)) for name, nodes in by_tier])


def _tier(name: str, nodes: tuple[NodeView, ...]) -> Markup:
    ready = sum(node.state == "ready" for node in nodes)
    said = tag("span", f" {ready} of {len(nodes)} ready", class_="quiet")
    return join(
        heading(name, said),
        tag("div", [_square(node) for node in nodes], class_="map"),
        table(COLUMNS, [_row(node) for node in nodes], "No nodes.", f"Nodes of {name}"),
    )


def _square(node: NodeView) -> Markup:
    """One node of the map: the darker, the more of its scarcest resource is granted."""
    share = share_of(node)
    said = f"{node.name}: {node.state}, {100 * share:.0f} % granted"
    fill = tag("i", style=f"height:{100 * share:.0f}%")
    classes = "square" + ("" if node.state == "ready" else " away")
    return tag("a", fill, href=f"#node-{node.name}", class_=classes, title=said, aria_label=said)


def share_of(node: NodeView) -> float:
    """The largest share of a resource that is granted."""
    shares = (node.used.get(key, 0.0) / most for key, most in node.capacity.items() if most > 0)
    return min(1.0, max(shares, default=0.0))


def _row(node: NodeView) -> tuple[Child, ...]:
    classes = "state good" if node.state == "ready" else "state waits"
    drained = f"by {node.drain.by}" + (f": {node.drain.reason}" if node.drain.reason else "") if node.drain else None
    name = tag("a", node.name, href=node_path(node.name), class_="name")
    named = [join(link_to(name, node.name), " ") for name in node.workloads[:MOST_NAMED]]
    more = max(0, len(node.workloads) - MOST_NAMED) + node.others
    return (
        tag("div", name, tag("div", "heads", class_="quiet") if node.heads else None, id=f"node-{node.name}"),
        join(
            tag("span", node.state, class_=classes),
            [tag("div", said, class_="quiet why") for said in (drained, node.said) if said],
        ),
        _used(node, "gpus") if node.capacity.get("gpus") else "–",
        _used(node, "cpus"),
        _used(node, "memory_bytes"),
        join(named, f"and {more} more" if named and more else f"{more} of others" if more else None)
        if named or more
        else "–",
    )


def _used(node: NodeView, key: str) -> Markup:
    write = size if key == "memory_bytes" else number
    used, most = node.used.get(key, 0.0), node.capacity.get(key, 0.0)
    return join(
        bar(used, most, f"{key.partition('_')[0]} granted"),
        tag("div", f"{write(used)} of {write(most)}", class_="quiet"),
    )
