"""A form for a job: a command, what it needs, and how long it may run.

Knows nothing of files: a job whose code lies on a person's machine is handed in by `fabric submit`.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from nicegui import ui
from starlette.requests import Request

from fabric.api.people import MeView
from fabric.console.frame import Console, Visit, part
from fabric.console.markup import Markup, tag
from fabric.console.rights import may, who
from fabric.console.words import path_of, problem
from fabric.core.errors import BadInput, FabricError
from fabric.workloads.spec import DEFAULT_PROJECT, Priority

ANYWHERE = "any tier"
"""Choice of the tier where the scheduler chooses."""
CLASSES = tuple(str(each) for each in Priority)
"""Priority classes to choose from."""
_HOUR_S = 3600.0


def add(console: Console) -> None:
    """Add the page."""

    @ui.page("/submit", title="Submit · fabric", response_timeout=20)
    async def submit(request: Request) -> None:
        visit = console.visit(request)
        with console.page(visit, "Submit a job", "/submit"):
            me = await who(visit)
            if me is None or not may(me, "change"):
                ui.html(tag("p", "Your key may look, but not submit.", class_="empty"), sanitize=False)
                return
            try:
                tiers = [tier.name for tier in (await visit.session.client.overview()).tiers]
                projects = [view.name for view in await visit.session.client.people.projects()]
            except FabricError as error:
                ui.html(problem(error.message), sanitize=False)
                return
            _Form(visit, tiers, choices_of(me, projects))


class _Form:
    """The fields, and the button that hands them in."""

    def __init__(self, visit: Visit, tiers: Sequence[str], projects: Sequence[str]) -> None:
        self._visit = visit
        plain = "outlined dense"
        with ui.element("section").classes("form"):
            self._command = ui.input("Command", placeholder="python train.py").props(plain).classes("wide")
            self._name = ui.input("Name (made up if left out)").props(plain)
            self._project = ui.select(list(projects), value=projects[0], label="Project").props(plain)
            self._class = ui.select(list(CLASSES), value=str(Priority.BATCH), label="Class").props(plain)
            self._tier = ui.select([ANYWHERE, *tiers], value=ANYWHERE, label="Tier").props(plain)
            self._workers = ui.number("Workers", value=1, min=1, precision=0).props(plain)
            self._cpus = ui.number("CPUs of each", value=1, min=0).props(plain)
            self._gpus = ui.number("GPUs of each", value=0, min=0).props(plain)
            self._memory = ui.number("GiB of memory of each", value=1, min=0).props(plain)
            self._hours = ui.number("Hours at most", placeholder="the site's own", min=0).props(plain)
            self._saves = ui.checkbox("It saves its state, and leaves when asked to").classes("wide")
            ui.button("Submit", on_click=self._submit).props("no-caps unelevated")
        self._said = part()
        commands = (tag("code", "fabric submit"), " or ", tag("code", "ray job submit"))
        ui.html(tag("p", "Code from your own machine comes with ", commands, ".", class_="quiet"), sanitize=False)

    async def _submit(self) -> None:
        try:
            view = await self._visit.session.client.submit(spec_of(self._fields()))
        except FabricError as error:
            self._said.show(problem(error.message))
            return
        self._said.show(Markup(""))
        ui.navigate.to(path_of(view.name))

    def _fields(self) -> dict[str, Any]:
        named = {
            "command": self._command, "name": self._name, "project": self._project, "class": self._class,
            "tier": self._tier, "workers": self._workers, "cpus": self._cpus, "gpus": self._gpus,
            "memory_gib": self._memory, "hours": self._hours, "saves": self._saves,
        }  # fmt: skip
        return {name: field.value for name, field in named.items()}


def choices_of(me: MeView, known: Sequence[str]) -> list[str]:
    """Projects to choose from, that of the key first."""
    return list(dict.fromkeys([me.project or DEFAULT_PROJECT, *known]))


def spec_of(fields: Mapping[str, Any]) -> dict[str, Any]:
    """What the fields of the form ask for, as `fabric submit` takes it.

    Raises:
        BadInput: If there is no command.
    """
    command, name = str(fields["command"] or "").strip(), str(fields["name"] or "").strip()
    if not command:
        raise BadInput("Command: is empty; write what to run, such as `python train.py`")
    group: dict[str, Any] = {
        "count": int(fields["workers"] or 1),
        "cpus": float(fields["cpus"] or 0),
        "gpus": float(fields["gpus"] or 0),
        "memory": f"{float(fields['memory_gib'] or 0):g} GiB",
    }
    if fields["tier"] != ANYWHERE:
        group["tier"] = fields["tier"]
    spec = {
        "entrypoint": command, "project": fields["project"], "priority": fields["class"], "groups": [group],
        "checkpoints": bool(fields["saves"]),
    }  # fmt: skip
    named = {"name": name} if name else {}
    timed = {"walltime_s": float(fields["hours"]) * _HOUR_S} if fields["hours"] else {}
    return {**spec, **named, **timed}
