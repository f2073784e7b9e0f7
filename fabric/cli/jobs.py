"""Commands about workloads that are there: `jobs`, `logs`, `stop`, `scale`, `explain`.

Knows nothing of how they came to be.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from fabric.cli import completing, show, watching
from fabric.cli.session import Session, session
from fabric.workloads.states import FINAL

if TYPE_CHECKING:
    from rich.console import RenderableType

    from fabric.api.admin import ExplanationView, WorkloadView

LOOK_EVERY_S = 1.0
"""Pause between two looks at a workload that is waited for, in seconds."""

Name = Annotated[
    str,
    typer.Argument(
        metavar="NAME", help="Name of the workload.", show_default=False, autocompletion=completing.workloads
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]

MOST_NAMED = 5
"""Names in one line."""

COLUMNS = ("NAME", "STATE", "TRY", "AGE", "SIZE", "ON", "DONE", "MESSAGE")
"""Heads of the list of workloads."""


def jobs(
    ctx: typer.Context,
    everything: Annotated[bool, typer.Option("--all", help="Show those that have ended too.")] = False,
    json: Json = False,
    watch: watching.Watch = False,
) -> None:
    """List jobs and services."""
    if watch:
        to = session(ctx)
        watching.go_on(lambda: _listed(to, everything), _table, json=_as_json if json else None)
    _print_jobs(_listed(session(ctx), everything), json)


def _listed(to: Session, everything: bool) -> Sequence[WorkloadView]:
    with to.client() as client:
        return [view for view in client.jobs() if everything or view.state not in FINAL]


def _print_jobs(views: Sequence[WorkloadView], json: bool) -> None:
    if json:
        _as_json(views)
    elif views:
        show.console().print(_table(views))
    else:
        show.note("nothing to show; without --all, what has ended is left out")


def _as_json(views: Sequence[WorkloadView]) -> None:
    from fabric.api.admin import WorkloadList

    show.as_json(WorkloadList(workloads=tuple(views)))


def _table(views: Sequence[WorkloadView]) -> RenderableType:
    """One line for each workload, and one for each array."""
    found: dict[str, list[WorkloadView]] = {}
    for view in views:
        # A slash is in no name, so no workload is taken for an array.
        found.setdefault(f"{view.array.name}/" if view.array else view.name, []).append(view)
    return show.table(COLUMNS, (_array_row(some) if some[0].array else _row(some[0]) for some in found.values()))


def table(views: Sequence[WorkloadView]) -> RenderableType:
    """One line for each workload."""
    return show.table(COLUMNS, (_row(view) for view in views))


def _array_row(views: Sequence[WorkloadView]) -> tuple[object, ...]:
    """An array as far as it is listed; without --all, what has ended is missing."""
    array = views[0].array
    states = Counter(view.state for view in views)
    state = ", ".join(f"{count} {name}" for name, count in sorted(states.items()))
    age = show.since(min(view.submitted_at for view in views))
    held = sum(view.workers or 0 for view in views if view.state not in FINAL)
    tiers = Counter(part.tier for view in views if view.state not in FINAL for part in view.slices)
    on = " ".join(f"{tier}×{count}" for tier, count in sorted(tiers.items())) or "-"
    name, size = (array.name, array.size) if array else ("", 0)
    return f"{name}[{size}]", state, "-", age, held or "-", on, "-", f"`fabric arrays show {name}`"


def _row(view: WorkloadView) -> tuple[object, ...]:
    state = f"{view.state} ({view.condition})" if view.condition else view.state
    done = f"{view.progress.done / view.progress.total:.0%}" if view.progress.total else view.progress.stage or "-"
    age = show.since(view.submitted_at, view.ended_at)
    return view.name, state, view.attempt, age, size(view), placement(view), done, message(view)


def message(view: WorkloadView) -> str:
    """What is said of a workload, and what it uses of its grant where that is measured."""
    uses = view.use.words() if view.use is not None else ""
    return "; ".join(filter(None, (view.message, f"uses {uses}" if uses else "")))


def size(view: WorkloadView) -> str:
    """How many workers a workload has, what it becomes or should become, and between what it may change."""
    if view.state in FINAL:
        return "-"
    becomes = view.becomes if view.becomes is not None else view.wants
    now = "-" if view.workers is None else str(view.workers)
    if becomes is not None and becomes != view.workers:
        now = f"{now}→{becomes}"
    return f"{now} of {view.least}-{view.most}" if view.least is not None else now


def placement(view: WorkloadView) -> str:
    """Where a workload is, as tiers with their numbers of slices."""
    if view.state in FINAL:
        return "-"
    slices = Counter(part.tier for part in view.slices)
    return " ".join(f"{tier}×{count}" for tier, count in sorted(slices.items())) or "-"


def logs(
    ctx: typer.Context,
    name: Name,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on until the workload has ended.")] = False,
) -> None:
    """Show what a workload wrote, over all its attempts."""
    with session(ctx).client() as client:
        if client.get(name).kind == "service":
            show.note(f"{name} is a service: what its replicas write is not copied; only notes of the fabric are here")
        for text in client.logs(name, follow=follow):
            typer.echo(text, nl=False)


def stop(
    ctx: typer.Context,
    name: Name,
    wait: Annotated[bool, typer.Option("--wait", help="Wait until it has ended.")] = False,
    yes: show.Yes = False,
    json: Json = False,
) -> None:
    """Ask a workload to save and leave."""
    show.ask_at_terminal(f"Stop {name}? It is asked to save and leave.", yes=yes)
    with session(ctx).client() as client:
        view = client.stop(name)
        if wait:
            view = client.wait(name, until_ended=True)
    if json:
        show.as_json(view)
    else:
        typer.echo(f"{view.name} is {view.state}" + (f": {view.message}" if view.message else ""))


def scale(
    ctx: typer.Context,
    name: Name,
    replicas: Annotated[int, typer.Argument(metavar="N", min=1, help="Replicas it should have.", show_default=False)],
    wait: Annotated[bool, typer.Option("--wait", help="Wait until it has them.")] = False,
    json: Json = False,
) -> None:
    """Ask for another number of replicas of an elastic service; it answers meanwhile."""
    with session(ctx).client() as client:
        view = client.scale(name, replicas)
        while wait and view.state not in FINAL and (view.workers, view.becomes) != (replicas, None):
            time.sleep(LOOK_EVERY_S)
            view = client.get(name)
    if json:
        show.as_json(view)
    else:
        typer.echo(f"{view.name} is {view.state} with {view.workers or 0} of {replicas} replicas")


def explain(ctx: typer.Context, name: Name, json: Json = False, watch: watching.Watch = False) -> None:
    """Say why a workload is where it is.

    That is: what is missing, who is ahead, when it should start, where it runs, and its history.
    """
    with session(ctx).client() as client:
        if watch:
            watching.go_on(lambda: client.explain(name), _text, json=show.as_json if json else None)
        told = client.explain(name)
    if json:
        show.as_json(told)
        return
    for line in _explained(told):
        typer.echo(line)


def _text(told: ExplanationView) -> RenderableType:
    from rich.text import Text

    return Text("\n".join(_explained(told)))


def _explained(told: ExplanationView) -> Iterator[str]:
    view = told.workload
    lost = f", {view.failures} lost" if view.failures else ""
    left = f", {view.preemptions} left for others" if view.preemptions else ""
    yield f"{view.name} ({view.kind}, {view.priority}) is {view.state}, attempt {view.attempt}{lost}{left}"
    if view.submitted_by:
        yield f"of         {view.submitted_by}, project {view.project}"
    if view.message:
        yield f"  {view.message}"
    if told.missing:
        yield f"missing    {told.missing}"
    for notice in told.notices:
        yield f"notice     {notice}"
    if view.array is not None:
        yield f"element    {view.array.index} of the {view.array.size} of {view.array.name}"
    if view.after:
        yield f"after      {_some(view.after)}"
    yield from _start(view)
    yield from _size(view)
    for part in view.slices:
        workers = "head" if part.group == "head" else f"{part.workers} × {part.group}"
        amounts = show.amounts(part.cpus, part.gpus, part.memory_bytes)
        yield f"on         {part.node} ({part.tier}): {workers}, {amounts}"
    yield from _use(view)
    yield from _progress(view)
    if view.endpoint:
        yield f"answers    {view.endpoint}"
    for event in told.events:
        yield f"{show.clock(event.at)}  #{event.attempt} {event.state:<10} {event.reason}"


def _some(names: Sequence[str]) -> str:
    """Names, as many as a line may hold."""
    more = len(names) - MOST_NAMED
    return ", ".join(names[:MOST_NAMED]) + (f" and {more} more" if more > 0 else "")


def _size(view: WorkloadView) -> Iterator[str]:
    """Of what may change its size: how large it is, and what is under way."""
    if view.least is not None and view.state not in FINAL:
        works = view.progress.workers
        at = f", works with {works}" if works is not None and works != view.workers else ""
        wants = f", {view.wants} asked for" if view.wants is not None and view.wants != view.workers else ""
        becomes = f", becomes {view.becomes}" if view.becomes is not None else ""
        yield f"size       {view.workers or 0} workers of {view.least} to {view.most}{becomes}{wants}{at}"
    if view.leave_by is not None and view.state not in FINAL:
        yield f"leaves by  {show.clock(view.leave_by)}"


def _start(view: WorkloadView) -> Iterator[str]:
    """When it starts and what that rests on, or how its start compares with what it was promised."""
    first = "" if view.promised_start is None else show.clock(view.promised_start)
    if view.expected_start is not None:
        at = show.clock(view.expected_start)
        if view.promised:
            earlier = f"; first promised {first}" if first and first != at else ""
            yield f"starts     promised to start by {at} (set aside: nobody may delay it{earlier})"
        else:
            lost = f" (first promised {first}; nothing is set aside for it now)" if first else ""
            yield f"starts     expected about {at}{lost}"
    elif view.promised_start is not None and view.granted_at is not None:
        late_s = view.granted_at - view.promised_start
        compared = (
            "as promised" if abs(late_s) < 1 else f"{show.duration(abs(late_s))} {'late' if late_s > 0 else 'early'}"
        )
        yield f"started    {show.clock(view.granted_at)}, promised {first} ({compared})"


def _use(view: WorkloadView) -> Iterator[str]:
    """What it uses of its grant, and what of that nothing counts."""
    if view.use is not None:
        if words := view.use.words():
            yield f"uses       {words}"
        for why in view.use.unmeasured:
            yield f"unmeasured {why}"


def _progress(view: WorkloadView) -> Iterator[str]:
    told = view.progress
    if told.stage or told.done:
        total = f" of {told.total:g}" if told.total else ""
        amount = f"{told.done:g}{total} {told.unit}".strip() if told.done or told.total else ""
        metrics = ", ".join(f"{name} {value:.4g}" for name, value in told.metrics.items())
        yield f"reports    {', '.join(part for part in (told.stage, amount, metrics) if part)}"
    if told.checkpoint_uri:
        step = "" if told.checkpoint_step is None else f" (step {told.checkpoint_step})"
        yield f"saved      {told.checkpoint_uri}{step}"
