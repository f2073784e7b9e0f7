"""One node: what it has, who is on it; who may takes it out of service here, and sees first who would move.

Knows nothing of how work moves.
"""

from nicegui import ui
from starlette.requests import Request

from fabric.api.admin import NodeView, NumaView
from fabric.api.nodes import DrainPreview, DrainView
from fabric.console.frame import Console, Visit, part
from fabric.console.markup import Child, Markup, join, tag
from fabric.console.rights import may, who
from fabric.console.words import bar, facts, heading, link_to, number, problem, size, table, when
from fabric.core.errors import FabricError, NotFound

DEADLINES: dict[float | None, str] = {
    None: "none: what does not save runs to its end",
    0.0: "now",
    300.0: "in 5 minutes",
    1800.0: "in 30 minutes",
    7200.0: "in 2 hours",
    28_800.0: "in 8 hours",
    86_400.0: "tomorrow at this time",
}
"""Deadlines that are offered, in seconds from now."""
MOVES = ("Workload", "Project", "What", "How")
"""Of the table of who would move."""
_BADGES = {"moves": "good", "shrinks": "moves", "ends": "quiet", "stays": "quiet", "waits": "waits"}


def add(console: Console) -> None:
    """Add the page."""

    @ui.page("/node/{name}", title="Node · fabric", response_timeout=20)
    async def node(request: Request, name: str) -> None:
        visit = console.visit(request)
        with console.page(visit, name):
            shown = part()
            drains = _Drain(visit, name) if may(await who(visit), "operate") else None

            async def refresh() -> None:
                found = next((one for one in await visit.session.client.nodes() if one.name == name), None)
                if found is None:
                    raise NotFound(f"the site has no node {name}")
                shown.show(node_of(found))
                if drains is not None:
                    drains.follow(found)

            await console.keep(visit, refresh)


class _Drain:
    """Buttons that drain and undo, with what would follow before it is done."""

    def __init__(self, visit: Visit, name: str) -> None:
        self._visit, self._name = visit, name
        with ui.element("section").classes("talk apart") as self._form, ui.row().classes("say"):
            self._reason = ui.input("Why").props("dense outlined maxlength=500")
            self._deadline = ui.select(DEADLINES, value=None, label="Everything gone").props("dense outlined")
            ui.button("Drain…", on_click=self._preview, color="warning").props("no-caps unelevated")
        self._undo = ui.button("Put into service", on_click=self._back).props("outline no-caps").classes("act")
        with ui.dialog() as self._dialog, ui.card().classes("preview"):
            self._said = part()
            with ui.row():
                self._do = ui.button(f"Drain {name}", on_click=self._drain, color="warning").props("no-caps")
                ui.button("Leave it", on_click=self._dialog.close).props("flat autofocus no-caps")

    def follow(self, node: NodeView) -> None:
        """Offer what fits the node as it is."""
        self._form.set_visibility(node.drain is None)
        self._undo.set_visibility(node.drain is not None)

    async def _preview(self) -> None:
        try:
            found = await self._visit.session.client.preview_drain(self._name, deadline_s=self._deadline.value)
            self._said.show(preview_of(found))
            self._do.enable()
        except FabricError as error:
            self._said.show(problem(error.message))
            self._do.disable()
        self._dialog.open()

    async def _drain(self) -> None:
        self._dialog.close()
        client, reason = self._visit.session.client, str(self._reason.value or "")
        try:
            await client.drain(self._name, reason, deadline_s=self._deadline.value)
            ui.notify(f"{self._name} is being drained")
        except FabricError as error:
            ui.notify(error.message, type="negative")

    async def _back(self) -> None:
        try:
            await self._visit.session.client.undrain(self._name)
            ui.notify(f"{self._name} takes new work again")
        except FabricError as error:
            ui.notify(error.message, type="negative")


def node_of(node: NodeView) -> Markup:
    """What a node has, who drains it, and who is on it."""
    badge = tag("span", node.state, class_=f"state {'good' if node.state == 'ready' else 'waits'}")
    rows: list[tuple[Child, ...]] = [(link_to(name),) for name in node.workloads]
    return join(
        tag("p", badge, " ", said_of(node.drain) if node.drain else None, class_="now"),
        tag("p", node.said, class_="why") if node.said else None,
        facts(
            ("Tier", node.tier),
            ("Ray heads", "may run here" if node.heads else "run elsewhere"),
            *((label, _used(node, key, label)) for key, label in _kinds(node)),
            ("NUMA nodes", _numa(node.numa)),
        ),
        heading("Work here"),
        table(("Workload",), rows, "Nothing runs here.", "Workloads on the node"),
    )


def said_of(drain: DrainView) -> Markup:
    """Who takes a node out of service, and why."""
    rest = "what does not save runs to its end"
    until = join("everything is gone by ", when(drain.deadline)) if drain.deadline is not None else rest
    why = f": {drain.reason}" if drain.reason else ""
    return tag("span", f"drained by {drain.by}{why} since ", when(drain.since), "; ", until, class_="why")


def preview_of(found: DrainPreview) -> Markup:
    """Who would move where, and who would wait."""
    rows: list[tuple[Child, ...]] = [
        (
            link_to(move.workload),
            move.project,
            tag("span", move.how, class_=f"state {_BADGES.get(move.how, 'quiet')}"),
            tag("span", move.said, class_="why"),
        )
        for move in found.moves
    ]
    leaves = any(move.how not in {"stays", "ends"} for move in found.moves)
    asked = tag("p", "Asked to leave: ", when(found.asked_at), class_="quiet") if leaves else None
    empty = "Nothing runs there: it would be empty at once."
    return join(tag("h2", f"If {found.node} is drained"), table(MOVES, rows, empty, "What would become of whom"), asked)


def _numa(numa: NumaView | None) -> str | None:
    if numa is None:
        return None
    return f"{numa.nodes}: {numa.with_cores} with cores, {numa.of_accelerators} of accelerators; mode {numa.mode}"


def _kinds(node: NodeView) -> list[tuple[str, str]]:
    kinds = (("gpus", "GPUs"), ("cpus", "CPUs"), ("memory_bytes", "Memory"))
    return [(key, label) for key, label in kinds if node.capacity.get(key)]


def _used(node: NodeView, key: str, label: str) -> Markup:
    write = size if key == "memory_bytes" else number
    used, most = node.used.get(key, 0.0), node.capacity.get(key, 0.0)
    return join(bar(used, most, f"{label} granted"), tag("div", f"{write(used)} of {write(most)}", class_="quiet"))
