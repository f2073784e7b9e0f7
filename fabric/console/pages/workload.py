"""One workload: why it is where it is, its history, where it runs, what it writes and tells.

Knows nothing of how decisions are made.
"""

import time
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import suppress
from urllib.parse import quote, urlsplit

from nicegui import background_tasks, ui
from starlette.requests import Request

from fabric.api.admin import EventView, ExplanationView, ProgressView, SliceView, WorkloadView
from fabric.api.bills import BillView
from fabric.api.usage import UsageView
from fabric.api.use import SliceUse, UseHistory
from fabric.console.chart import Point, curve
from fabric.console.frame import Console, Visit, part
from fabric.console.markup import Child, Markup, join, tag
from fabric.console.memory import Curves
from fabric.console.pages.queue import start_of
from fabric.console.pages.workloads import ran_for
from fabric.console.words import amounts, bar, duration, facts, heading, number, size, state, table, when
from fabric.core.errors import FabricError
from fabric.sdk.target import LOOPBACK
from fabric.workloads.states import FINAL

USED_EVERY_S = 60.0
"""Seconds between two questions for what the workload has used."""
COUNTED = (("gpu", "GPU hours"), ("cpu", "core hours"), ("memory_gib", "GiB hours of memory"))
"""What is counted, and how it is called."""
LEAST_HOURS = 0.005
"""Hours that are worth telling."""
MEASURED_EVERY_S = 20.0
"""Seconds between two questions for what it uses; nothing is measured more often."""
MOST_LINES = 500
"""Lines of a log that the page holds; `fabric logs` has them all."""


def add(console: Console) -> None:
    """Add the page."""

    @ui.page("/workload/{name}", title="Workload · fabric", response_timeout=20)
    async def workload(request: Request, name: str) -> None:
        visit = console.visit(request)
        with console.page(visit, name):
            told = part()
            with ui.row():
                stop = _stop_button(visit, name)
                look_inside = _dashboard_button(visit, name, request.url.hostname or "")
            # Parts of their own, because readings of use come every few seconds and what is unfolded is not to close.
            using, billed, rest = part(), part(), part()
            log = _Log(visit, name)
            curves, used, bills, uses = Curves(), _Used(visit, name), _Bills(visit, name), _Uses(visit, name)
            with suppress(FabricError):  # the page says itself what is wrong
                curves.told_before(await visit.session.client.curves(name))

            async def refresh() -> None:
                found = await visit.session.client.explain(name)
                curves.told(found.workload.progress)
                now = time.time()
                told.show(now_of(found, now, used=await used.told(found.workload, now)))
                stop.set_visibility(found.workload.state not in FINAL)
                look_inside.set_visibility(found.workload.cluster_ready_at is not None and stop.visible)
                history = await uses.told(found.workload, now)
                using.show(
                    join(
                        progress_of(found.workload.progress, curves),
                        uses_of(history),
                        placement_of(found.workload.slices, history.latest.slices if history.latest else ()),
                    )
                )
                billed.show(bills_of(await bills.told(found.workload)))
                rest.show(history_of(found.events))

            await console.keep(visit, refresh)
            log.follow()


def _stop_button(visit: Visit, name: str) -> ui.button:
    """A button that asks once more before it stops the workload."""
    with ui.dialog() as dialog, ui.card():
        ui.label(f"Stop {name}? It is asked to save its work and leave.")

        async def stop() -> None:
            dialog.close()
            try:
                await visit.session.client.stop(name)
                ui.notify(f"{name} is asked to leave")
            except FabricError as error:
                ui.notify(error.message, type="negative")

        with ui.row():
            ui.button("Stop it", on_click=stop, color="negative")
            ui.button("Leave it", on_click=dialog.close).props("flat autofocus")
    return ui.button("Stop…", on_click=dialog.open).props("outline dense no-caps padding='xs md'").classes("act")


def _dashboard_button(visit: Visit, name: str, host: str) -> ui.button:
    """A button that opens what the workload's own Ray cluster shows, in another tab."""

    async def look() -> None:
        try:
            link = await visit.session.client.dashboard(name)
        except FabricError as error:
            ui.notify(error.message, type="negative")
            return
        ui.navigate.to(from_outside(visit.session.client.address, host) + link.path, new_tab=True)

    button = ui.button("Ray dashboard", on_click=look)
    return button.props("outline dense no-caps padding='xs md'").classes("act")


def from_outside(address: str, host: str) -> str:
    """A server's URL as a browser reaches it that found this console at `host`: `address` may be for this machine."""
    parts = urlsplit(address)
    if not host or parts.hostname not in LOOPBACK:
        return address
    port = f":{parts.port}" if parts.port else ""
    return f"{parts.scheme}://{f'[{host}]' if ':' in host else host}{port}"


class _Used:
    """What the workload has used so far, asked for now and then: adding it up costs more than the rest of a page."""

    def __init__(self, visit: Visit, name: str) -> None:
        self._visit, self._name = visit, name
        self._asked, self._said, self._state = float("-inf"), "", ""

    async def told(self, view: WorkloadView, now: float) -> str:
        """In words; empty where nothing is known, or it is not for whoever looks."""
        if view.granted_at is None or (now < self._asked + USED_EVERY_S and view.state == self._state):
            return self._said
        self._asked, self._state = now, view.state
        with suppress(FabricError):
            found = await self._visit.session.client.people.usage(
                ["workload"], since=view.submitted_at, project=view.project, workload=self._name
            )
            self._said = used_of(found)
        return self._said


class _Uses:
    """What it uses of its grant, asked for as often as it is measured, and once more after each move."""

    def __init__(self, visit: Visit, name: str) -> None:
        self._visit, self._name = visit, name
        self._asked, self._state = float("-inf"), ""
        self._found = UseHistory(latest=None, points=())

    async def told(self, view: WorkloadView, now: float) -> UseHistory:
        """As it was measured last, and over time."""
        due = now >= self._asked + MEASURED_EVERY_S and view.state not in FINAL
        if due or view.state != self._state:
            self._asked, self._state = now, view.state
            with suppress(FabricError):
                self._found = await self._visit.session.client.use(self._name)
        return self._found


class _Bills:
    """What its slices keep in memory, asked for when they change."""

    def __init__(self, visit: Visit, name: str) -> None:
        self._visit, self._name = visit, name
        self._of: tuple[SliceView, ...] | None = None
        self._found: tuple[BillView, ...] = ()

    async def told(self, view: WorkloadView) -> tuple[BillView, ...]:
        """The bills of what it holds, or might."""
        if view.slices != self._of:
            with suppress(FabricError):
                self._found = (await self._visit.session.client.bill(self._name)).bills
                self._of = view.slices
        return self._found


def bills_of(found: Sequence[BillView]) -> Markup:
    """RAM bills, folded up."""
    return join(heading("Memory") if found else None, [_bill(each) for each in found])


def _bill(each: BillView) -> Markup:
    said = f"{each.whose} on {each.tier}: {size(each.total_bytes)} a slice"
    heads = ("Keeps", "Size", "Why")
    return tag("details", tag("summary", said), table(heads, each.rows(size), "Nothing.", f"RAM bill, {said}"))


def used_of(found: UsageView) -> str:
    """What was used, in words; empty if it is nothing."""
    hours = [(sum(getattr(row, f"{what}_hours") for row in found.rows), word) for what, word in COUNTED]
    return ", ".join(f"{number(round(total, 2))} {word}" for total, word in hours if total >= LEAST_HOURS)


class _Log:
    """The end of what the workload's driver wrote, as it grows."""

    def __init__(self, visit: Visit, name: str) -> None:
        self._visit, self._name = visit, name
        ui.html(heading("Log"), sanitize=False)
        self._lines = ui.log(max_lines=MOST_LINES).classes("log").props('role=log tabindex=0 aria-label="Log"')
        self._rest = ""

    def follow(self) -> None:
        """Show what is there and what comes, until the page is closed."""
        task = background_tasks.create(self._run(), name=f"log of {self._name}")
        ui.context.client.on_delete(lambda: task.cancel())

    async def _run(self) -> None:
        try:
            async for piece in self._visit.session.client.logs(self._name):
                self._show(piece)
        except FabricError as error:
            self._show(f"\n{error.message}\n")
        if self._rest:
            self._show("\n")

    def _show(self, piece: str) -> None:
        *lines, self._rest = (self._rest + piece).split("\n")
        for line in deque(lines, MOST_LINES):
            self._lines.push(line or " ")


def now_of(found: ExplanationView, now: float, *, used: str = "") -> Markup:
    """Where the workload is in its life, and why.

    Args:
        found: What control says.
        now: Seconds since the epoch.
        used: What it has used so far, in words.
    """
    view = found.workload
    badge = state(view.state, view.condition)
    why = tag("p", badge, " ", tag("span", view.message if view.message != view.state else ""), class_="now")
    waits = view.state == "queued"
    known = facts(
        ("Missing", found.missing if waits else None),
        ("Starts", start_of(view) if waits else None),
        ("Notice", join([tag("div", said) for said in found.notices]) if found.notices else None),
        ("Kind", view.kind),
        ("Project", view.project),
        ("Class", view.priority),
        ("Submitted", when(view.submitted_at)),
        ("Waited", _waited(view, now)),
        ("Ran for", ran_for(view, now) if view.running_at else None),
        ("Used", used or None),
        ("Ended", when(view.ended_at) if view.ended_at else None),
        ("Attempt", f"{view.attempt}" + _lost(view)),
        ("Workers", _workers(view)),
        ("Exit code", None if view.exit_code is None else str(view.exit_code)),
        ("Leaves by", when(view.leave_by) if view.leave_by else None),
        ("Answers at", tag("code", view.endpoint) if view.endpoint else None),
        ("Command", tag("code", view.entrypoint) if view.entrypoint else None),
    )
    return join(why, known)


def _waited(view: WorkloadView, now: float) -> str:
    until = view.granted_at if view.granted_at is not None else view.ended_at
    return duration((now if until is None else until) - view.submitted_at)


def _lost(view: WorkloadView) -> str:
    lost = [f"{count} {word}" for count, word in ((view.failures, "lost"), (view.preemptions, "preempted")) if count]
    return f" ({', '.join(lost)})" if lost else ""


def _workers(view: WorkloadView) -> str | None:
    if view.workers is None:
        return None
    bounds = f" of {view.least} to {view.most}" if view.most is not None else ""
    becomes = f", becoming {view.becomes}" if view.becomes is not None else ""
    return f"{view.workers}{bounds}{becomes}"


def progress_of(told: ProgressView, curves: Curves) -> Markup:
    """What the workload tells of itself; nothing where it tells nothing.

    Args:
        told: What it told last.
        curves: What it told over time.
    """
    if not (told.stage or told.total or told.metrics or told.checkpoint_uri):
        return Markup("")
    done = f"{number(told.done)} of {number(told.total)} {told.unit}" if told.total else ""
    metrics = [(name, number(value)) for name, value in sorted(told.metrics.items())]
    return join(
        heading("Progress"),
        tag("p", bar(told.done, told.total, done), " ", done, class_="now") if told.total else None,
        facts(
            ("Stage", told.stage),
            ("Checkpoint", f"step {told.checkpoint_step}" if told.checkpoint_step is not None else told.checkpoint_uri),
            *metrics,
        ),
        tag("div", [curve(name, points) for name, points in curves.drawable()], class_="curves"),
    )


def uses_of(found: UseHistory) -> Markup:
    """What it uses of its grant, now and over time; nothing where nothing was ever measured."""
    drawn = [
        curve(name, points, least=0.0, most=max([granted, *(height for _, height in points)]))
        for name, granted, points in _use_curves(found)
        if len(points) > 1
    ]
    latest = found.latest
    if latest is None and not drawn:
        return Markup("")
    words = latest.words() if latest else ""
    return join(
        heading("Use of the grant"),
        tag("p", words, class_="now") if words else None,
        [tag("p", why, class_="quiet") for why in (latest.unmeasured if latest else ())],
        tag("div", drawn, class_="curves"),
    )


def _use_curves(found: UseHistory) -> Iterator[tuple[str, float, list[Point]]]:
    """Name, what was granted last and the points of each resource that was counted."""
    newest = found.points[-1] if found.points else None
    for name, field, unit in (("GPUs", "gpus", 1.0), ("CPUs", "cpus", 1.0), ("GiB of memory", "memory_bytes", 2.0**30)):
        granted = getattr(newest, f"of_{field}") / unit if newest else 0.0
        heights = ((point.at, getattr(point, field)) for point in found.points)
        if granted:
            yield f"{name}, of {number(granted)}", granted, [(at, h / unit) for at, h in heights if h is not None]


def placement_of(slices: tuple[SliceView, ...], uses: Sequence[SliceUse] = ()) -> Markup:
    """Where it runs, or last ran, and what each slice uses."""
    used = {part.slice: part.words() for part in uses}
    rows: list[tuple[Child, ...]] = [
        (
            part.name,
            tag("a", part.node, href=f"/nodes#node-{quote(part.node)}", id=f"on-{quote(part.name)}"),
            part.tier,
            f"{part.workers}" if part.workers else "head",
            amounts(part.cpus, part.gpus, part.memory_bytes),
            *((used.get(part.name) or "–",) if used else ()),
        )
        for part in slices
    ]
    columns = ("Slice", "Node", "Tier", "Workers", "Granted", *(("Uses",) if used else ()))
    return join(heading("Placement"), table(columns, rows, "It has no nodes.", "Slices of the grant"))


def history_of(events: tuple[EventView, ...]) -> Markup:
    """What happened to it and why, newest first."""
    lines = [
        tag(
            "li",
            state(event.state),
            when(event.at),
            tag("span", event.reason, class_="why"),
            tag("span", f"attempt {event.attempt}", class_="quiet") if event.attempt > 1 else None,
        )
        for event in reversed(events)
    ]
    return join(heading("History"), tag("ol", lines, class_="history"))
