"""What a shell offers when somebody presses Tab: names of the fabric that answers.

Knows nothing of shells. Whatever goes wrong, nothing is offered, as a person is in the middle of a line.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING

import typer

from fabric.cli.session import Session, session
from fabric.core.errors import FabricError

if TYPE_CHECKING:
    from fabric.api.admin import WorkloadView
    from fabric.sdk import Client

TIMEOUT_S = 2.0
"""Longest wait for an answer, in seconds."""
MOST_OFFERED = 50
"""Names that are offered at once."""


def workloads(ctx: typer.Context, incomplete: str) -> list[str]:
    """Names of workloads, newest first, those that have ended too."""
    return _offered(ctx, incomplete, lambda client: (view.name for view in _found(client, incomplete)))


def arrays(ctx: typer.Context, incomplete: str) -> list[str]:
    """Names of arrays."""
    return _offered(
        ctx, incomplete, lambda client: (view.array.name for view in _found(client, incomplete) if view.array)
    )


def nodes(ctx: typer.Context, incomplete: str) -> list[str]:
    """Names of nodes."""
    return _offered(ctx, incomplete, lambda client: (node.name for node in client.nodes()))


def deployments(ctx: typer.Context, incomplete: str) -> list[str]:
    """Names of deployments."""
    return _offered(ctx, incomplete, lambda client: (each.name for each in client.deployments(None)))


def _found(client: Client, incomplete: str) -> Sequence[WorkloadView]:
    return client.search(incomplete, limit=MOST_OFFERED).workloads


def _offered(ctx: typer.Context, incomplete: str, look: Callable[[Client], Iterable[str]]) -> list[str]:
    to = session(ctx)
    try:
        with Session(to.transport, patience_s=0.0, timeout_s=TIMEOUT_S).client() as client:
            names = dict.fromkeys(name for name in look(client) if name.startswith(incomplete))
    except (FabricError, OSError):
        return []
    return list(names)[:MOST_OFFERED]
