"""The command `simulate openb`.

Knows nothing of how a policy chooses.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fabric.cli import show
from fabric.cli.jobs import Json
from fabric.core.errors import BadInput

if TYPE_CHECKING:
    from fabric.simulator.openb_summary import Spread, Summary

COLUMNS = ("DEMAND", "ALLOCATED", "SD", "FRAGMENT OF IDLE", "SD")
"""Heads of the table; all but demand, which is in percent of capacity, are means over seeds in percent."""


def openb(
    nodes: Annotated[Path, typer.Option(metavar="NODES.csv", help="Node list of the trace.", show_default=False)],
    pods: Annotated[Path, typer.Option(metavar="PODS.csv", help="Pod list of the trace.", show_default=False)],
    policy: Annotated[
        str,
        typer.Option(
            metavar="POLICY",
            help="One of random, dotprod, gpu-clustering, gpu-packing, best-fit, fgd.",
            show_default=True,
        ),
    ] = "fgd",
    seeds: Annotated[int, typer.Option(min=1, metavar="K", help="Runs, with the seeds 42, 43, ...")] = 10,
    json: Json = False,
) -> None:
    """Fill the openb cluster with pods and tell how many of its accelerators a placement policy can grant."""
    # Numpy is loaded by this command only.
    from fabric.simulator.openb import FIRST_SEED, simulate
    from fabric.simulator.openb_summary import summary
    from fabric.simulator.openb_trace import read_nodes, read_pods

    _require_known(policy)
    cluster, workload = read_nodes(nodes), read_pods(pods)
    began = time.monotonic()
    found = summary([simulate(cluster, workload, policy, FIRST_SEED + k) for k in range(seeds)])
    seconds_per_run = (time.monotonic() - began) / seeds
    if json:
        show.plain_json(as_fields(found) | {"seconds_per_run": round(seconds_per_run, 3)})
        return
    show.console().print(show.table(COLUMNS, _rows(found)))
    show.note(
        f"{policy}, {seeds} seeds: {found.num_lost:.0f} of {found.num_pods:.0f} pods fitted nowhere; "
        f"{seconds_per_run:.1f} s a run"
    )


def _require_known(policy: str) -> None:
    """Check that there are published figures for the policy.

    Raises:
        BadInput: With those there are.
    """
    from fabric.simulator.openb import POLICIES

    if policy not in POLICIES:
        raise BadInput(f"the openb experiment has no policy {policy!r}. Choose one of {', '.join(POLICIES)}.")


def as_fields(found: Summary) -> dict[str, Any]:
    """The fields of `--json`; percentages are by demand in percent of capacity."""
    return {
        "policy": found.policy,
        "seeds": list(found.seeds),
        "num_pods": found.num_pods,
        "num_lost": found.num_lost,
        "allocation_pct": {str(pct): round(at.mean, 4) for pct, at in found.allocation_pct.items()},
        "allocation_pct_sd": {str(pct): round(at.sd, 4) for pct, at in found.allocation_pct.items()},
        "fragmentation_pct": {str(pct): round(at.mean, 4) for pct, at in found.fragmentation_pct.items()},
        "fragmentation_pct_sd": {str(pct): round(at.sd, 4) for pct, at in found.fragmentation_pct.items()},
    }


def _rows(found: Summary) -> list[tuple[str, ...]]:
    fragments = found.fragmentation_pct
    return [(f"{pct} %", *_pair(at), *_pair(fragments[pct])) for pct, at in found.allocation_pct.items()]


def _pair(at: Spread) -> tuple[str, str]:
    return f"{at.mean:.2f}", f"{at.sd:.2f}"
