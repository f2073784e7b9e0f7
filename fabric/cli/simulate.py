"""The commands `simulate swf`, `simulate windows`, `simulate run` and the group that `simulate openb` belongs to.

Knows nothing of how anything is simulated.
"""

from __future__ import annotations

import csv
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from fabric.cli import exits, show
from fabric.cli.jobs import Json
from fabric.cli.simulate_openb import openb

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fabric.scheduler.policy import Policy
    from fabric.simulator.metrics import Ran
    from fabric.simulator.report import Report

app = typer.Typer(
    name="simulate",
    help="Let the fabric's own loop work on a virtual clock: logs of batch systems, and scenarios.",
    epilog=exits.TABLE,
    no_args_is_help=True,
    rich_markup_mode=None,
)
"""The group; every simulation is a command of it."""
app.command(epilog=exits.TABLE)(openb)

Log = Annotated[
    Path, typer.Argument(metavar="LOG.swf.gz", help="Job log in SWF, plain or packed by gzip.", show_default=False)
]
Processors = Annotated[int, typer.Option(help="Processors of the machine.", show_default=False)]


@app.command(epilog=exits.TABLE)
def swf(
    log: Log,
    processors: Processors,
    order: Annotated[
        Literal["fcfs", "sjf"],
        typer.Option(help="Who may pass a blocked job first: the first that came, or the shortest."),
    ] = "fcfs",
    estimates: Annotated[
        Literal["requested", "exact"], typer.Option(help="What the scheduler knows of run times.")
    ] = "requested",
    waits: Annotated[
        Path | None, typer.Option(metavar="OUT.csv", help="Write the wait of every job.", show_default=False)
    ] = None,
    json: Json = False,
) -> None:
    """Run a log under EASY backfilling, as the simulator pyss does."""
    from fabric.simulator.batch import EASY, run_batch
    from fabric.simulator.metrics import average_bounded_slowdown, mean_wait_s, utilisation
    from fabric.simulator.swf import read_swf

    policy = EASY.model_copy(update={"backfill": "shortest" if order == "sjf" else "fcfs"})
    ran = run_batch(read_swf(log, processors), processors, policy=policy, exact=estimates == "exact")
    if waits is not None:
        _write_waits(ran.jobs, waits)
    found = {
        "jobs": len(ran.jobs),
        "passes": ran.num_passes,
        "avebsld": average_bounded_slowdown(ran.jobs),
        "mean_wait_s": mean_wait_s(ran.jobs),
        "utilisation": utilisation(ran.jobs, processors),
    }
    _print(found, json)


@app.command(epilog=exits.TABLE)
def windows(
    log: Log,
    processors: Processors,
    policy: Annotated[
        Literal["fcfs", "wfp3", "uni", "sjf", "f1"], typer.Option(help="Order of the queue.", show_default=False)
    ],
    backfill: Annotated[
        Literal["on", "off"], typer.Option(help="Whether others may pass a blocked job.", show_default=False)
    ],
    json: Json = False,
) -> None:
    """Run the ten windows of 1,024 jobs that RLScheduler was measured with, as its simulator does."""
    from fabric.simulator.swf import read_swf
    from fabric.simulator.windows import run_windows

    ran = run_windows(read_swf(log, processors), processors, order=policy, backfill=backfill == "on")
    _print({"passes": ran.num_passes, "bsld": ran.bsld, "utilisation": ran.utilisation}, json)


@app.command(epilog=exits.TABLE)
def run(
    scenario: Annotated[Path, typer.Argument(metavar="SCENARIO.yaml", help="Scenario file.", show_default=False)],
    policy: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Policy file instead of the scenario's or the site's.", show_default=False),
    ] = None,
    seeds: Annotated[int, typer.Option(min=1, help="How many times to draw what is left to chance.")] = 1,
    plot: Annotated[
        Path | None, typer.Option(metavar="OUT.png", help="Draw the run of the first seed.", show_default=False)
    ] = None,
    record: Annotated[
        Path | None,
        typer.Option(metavar="OUT.json", help="Write the decision with the longest queue.", show_default=False),
    ] = None,
    json: Json = False,
) -> None:
    """Run a scenario: a site, workloads and services with their true durations."""
    from fabric.config.load import load
    from fabric.config.site_file import load_site, policy_of
    from fabric.scheduler.policy import Policy
    from fabric.scheduler.replay import write_decision
    from fabric.simulator.plot import draw
    from fabric.simulator.report import report_of
    from fabric.simulator.scenario import Scenario, nodes_of, simulate

    what = load(Scenario, scenario)
    site = load_site(scenario.parent / what.site, policy=Policy)
    chosen = policy or (scenario.parent / what.policy if what.policy else None)
    how: Policy = load(Policy, chosen) if chosen else policy_of(site, Policy)
    reports = []
    for seed in range(seeds):
        engine = simulate(what, site, how, seed)
        records = engine.records
        reports.append(report_of(records.kept.values(), nodes_of(site), records.holdings, records.events))
        if record is not None and seed == 0 and engine.longest is not None:
            record.write_text(write_decision(engine.longest), encoding="utf-8")
    if plot is not None:
        draw(reports[0], plot)
    if json:
        show.plain_json({"seeds": [_as_dict(report) for report in reports], **_means(reports)})
        return
    _print_reports(reports)


def _write_waits(jobs: Sequence[Ran], path: Path) -> None:
    with path.open("w", newline="", encoding="utf-8") as out:
        writer = csv.writer(out)
        writer.writerow(("job_id", "submit", "wait"))
        writer.writerows((job.number, f"{job.submit_s:.15g}", f"{job.wait_s:.15g}") for job in jobs)


def _print(found: dict[str, float], json: bool) -> None:
    if json:
        show.plain_json(found)
        return
    for name, value in found.items():
        typer.echo(f"{name:12} {value}" if isinstance(value, int) else f"{name:12} {value:.4f}")


def _as_dict(report: Report) -> dict[str, object]:
    from fabric.scheduler.punctuality import punctuality

    return {
        "avebsld": report.avebsld,
        "mean_wait_s": report.mean_wait_s,
        "utilisation": {tier.tier: tier.share(_end(report, tier.steps)) for tier in report.occupancy},
        "span_s": report.span_s,
        "states": dict(report.states),
        "promised": len(report.late_s),
        "latest_after_promise_s": max(report.late_s, default=0.0),
        "promises": asdict(punctuality(report.late_s)),
        "starts": [asdict(start) for start in report.starts],
    }


def _end(report: Report, steps: Sequence[tuple[float, float]]) -> float:
    return steps[-1][0] if steps else report.span_s


def _means(reports: Sequence[Report]) -> dict[str, object]:
    tiers = [tier.tier for tier in reports[0].occupancy]
    shares = [{tier.tier: tier.share(_end(report, tier.steps)) for tier in report.occupancy} for report in reports]
    return {
        "avebsld": sum(report.avebsld for report in reports) / len(reports),
        "mean_wait_s": sum(report.mean_wait_s for report in reports) / len(reports),
        "utilisation": {tier: sum(share[tier] for share in shares) / len(shares) for tier in tiers},
    }


def _print_reports(reports: Sequence[Report]) -> None:
    tiers = [f"{tier.tier} ({tier.device})" for tier in reports[0].occupancy]
    rows = [
        (
            seed,
            sum(count for _, count in report.states),
            f"{report.avebsld:.3f}",
            show.duration(report.mean_wait_s),
            show.duration(max(report.waits_s, default=0.0)),
            *(f"{100 * tier.share(_end(report, tier.steps)):.1f} %" for tier in report.occupancy),
            ", ".join(f"{count} {state}" for state, count in report.states),
        )
        for seed, report in enumerate(reports)
    ]
    columns = ("SEED", "WORKLOADS", "AVEBSLD", "MEAN WAIT", "LONGEST", *tiers, "ENDED")
    show.console().print(show.table(columns, rows))
