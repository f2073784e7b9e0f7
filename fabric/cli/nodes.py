"""The command `nodes`.

Knows nothing of workloads but their names.
"""

from __future__ import annotations

import typer

from fabric.cli import show
from fabric.cli.jobs import Json
from fabric.cli.session import session

COLUMNS = ("NAME", "TIER", "STATE", "CPUS", "GPUS", "MEMORY", "WORKLOADS")
"""Heads of the list of nodes; amounts are used / there."""


def nodes(ctx: typer.Context, json: Json = False) -> None:
    """List the nodes, what is used of them and by whom."""
    with session(ctx).client() as client:
        found = client.nodes()
    if json:
        from fabric.api.admin import NodeList

        show.as_json(NodeList(nodes=found))
        return
    rows = (
        (
            node.name,
            node.tier,
            node.state + (", heads" if node.heads else ""),
            _share(node.used, node.capacity, "cpus"),
            _share(node.used, node.capacity, "gpus"),
            f"{show.size(node.used.get('memory_bytes', 0))} / {show.size(node.capacity.get('memory_bytes', 0))}",
            " ".join(node.workloads) or "-",
        )
        for node in found
    )
    show.console().print(show.table(COLUMNS, rows))


def _share(used: dict[str, float], capacity: dict[str, float], what: str) -> str:
    return f"{used.get(what, 0):g} / {capacity[what]:g}" if capacity.get(what) else "-"
