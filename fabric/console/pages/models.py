"""Registered models: versions, where they come from, how they were judged; and a conversation with those served.

Knows nothing of how models are made or served.
"""

import json
from itertools import groupby

from nicegui import ui
from starlette.requests import Request

from fabric.api.admin import ModelVersionView
from fabric.console.chatting import Chatting, Turn
from fabric.console.frame import Console, Part, Visit, part
from fabric.console.markup import Child, Markup, join, tag
from fabric.console.words import heading, number, problem, table, when
from fabric.core.errors import FabricError

COLUMNS = ("Version", "Aliases", "Evaluation", "Made from", "Registered")
"""Of a model's table."""
MOST_METRICS = 8
"""Numbers of a version that are shown at once; the others unfold."""


def add(console: Console) -> None:
    """Add the page."""

    @ui.page("/models", title="Models · fabric", response_timeout=20)
    async def models(request: Request) -> None:
        visit = console.visit(request)
        with console.page(visit, "Models", "/models"):
            talk = _Talk(visit, Chatting(console.settings.gateway, visit.session.key, ca=console.settings.ca))
            shown = part()

            async def refresh() -> None:
                await talk.look()
                shown.show(models_of(await visit.session.client.models()))

            await console.keep(visit, refresh)


def models_of(found: tuple[ModelVersionView, ...]) -> Markup:
    """Every model with its versions, newest first."""
    if not found:
        return tag("p", "No model is registered yet. Jobs register what they have trained.", class_="empty")
    in_order = sorted(found, key=lambda version: (version.name, version.project, -version.version))
    by_model = groupby(in_order, key=lambda version: (version.name, version.project))
    several = len({version.project for version in found}) > 1
    return join(
        [_model(f"{name} of {project}" if several else name, tuple(each)) for (name, project), each in by_model]
    )


def _model(name: str, versions: tuple[ModelVersionView, ...]) -> Markup:
    return join(heading(name), table(COLUMNS, [_row(version) for version in versions], "", f"Versions of {name}"))


def _row(version: ModelVersionView) -> tuple[Child, ...]:
    place = f"{version.name}:{version.version}"
    return (
        tag("b", f"{version.version}", id=f"model-{place}", title=version.uri),
        [join(tag("span", alias, class_="state good"), " ") for alias in version.aliases] or "–",
        _metrics(version.metrics),
        lineage_of(version.lineage),
        when(version.created_at),
    )


def _metrics(metrics: dict[str, float]) -> Child:
    lines = [tag("li", name, " ", tag("b", number(value))) for name, value in sorted(metrics.items())]
    rest = lines[MOST_METRICS:]
    more = tag("details", tag("summary", f"{len(rest)} more"), tag("ul", rest)) if rest else None
    return join(tag("ul", lines[:MOST_METRICS], class_="plain"), more) if lines else "–"


def lineage_of(lineage: dict[str, str]) -> Child:
    """Where a version comes from; a parent that is a version here is a link to it."""
    parts: list[Child] = []
    for word, text in lineage.items():
        if word == "config":
            parts.append(tag("details", tag("summary", "settings"), tag("pre", _pretty(text))))
        elif word == "parent":
            parents = [join(tag("a", name, href=f"#model-{name}"), " ") for name in text.split(", ")]
            parts.append(tag("div", tag("span", "begun with ", class_="quiet"), parents))
        else:
            parts.append(tag("div", tag("span", f"{word} ", class_="quiet"), text))
    return parts or "–"


def _pretty(text: str) -> str:
    try:
        return json.dumps(json.loads(text), indent=2)
    except ValueError:
        return text


class _Talk:
    """A conversation with a served model."""

    def __init__(self, visit: Visit, chatting: Chatting) -> None:
        self._visit, self._chatting = visit, chatting
        self._turns: list[Turn] = []
        self._busy = False
        with ui.element("section").classes("talk"):
            self._none = part()
            with ui.element("div") as self._form:
                self._said: Part = part()
                with ui.row().classes("say"):
                    self._model = ui.select([], label="Model").props("dense outlined options-dense")
                    self._input = ui.input("Say something").props("dense outlined").on("keydown.enter", self._say)
                    ui.button("Send", on_click=self._say).props("no-caps unelevated")

    async def look(self) -> None:
        """Offer what is served now."""
        try:
            names = list(await self._chatting.models())
        except FabricError as error:
            self._none.show(tag("p", error.message, class_="quiet"))
            self._form.set_visibility(False)
            return
        if names != self._model.options:
            chosen = self._model.value if self._model.value in names else next(iter(names), None)
            self._model.set_options(names, value=chosen)
        self._form.set_visibility(bool(names))
        nobody = "No model is served now. `fabric deploy MODEL@ALIAS` serves one."
        self._none.show(Markup("") if names else tag("p", nobody, class_="quiet"))

    async def _say(self) -> None:
        said = str(self._input.value or "").strip()
        if self._busy or not said or not self._model.value:
            return
        self._busy = True
        self._input.set_value("")
        self._turns += [("user", said), ("assistant", "")]
        self._said.show(turns_of(self._turns))
        try:
            async for piece in self._chatting.answer(str(self._model.value), self._turns[:-1]):
                self._turns[-1] = ("assistant", self._turns[-1][1] + piece)
                self._said.show(turns_of(self._turns))
        except FabricError as error:
            self._said.show(join(turns_of(self._turns), problem(error.message)))
            self._turns = self._turns[:-2]
        finally:
            self._busy = False


def turns_of(turns: list[Turn]) -> Markup:
    """A conversation, oldest first."""
    lines = [tag("p", said or "…", class_=f"turn {who}") for who, said in turns]
    return tag("div", lines, class_="turns", role="log", aria_label="Conversation")
