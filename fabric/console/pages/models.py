"""Registered models: versions, where they come from, how they were judged; and a conversation with those served.

Knows nothing of how models are made or served.
"""

import json
from collections.abc import Mapping, Sequence
from itertools import groupby

from nicegui import ui
from starlette.requests import Request

from fabric.api.admin import EvaluationView, ModelVersionView, ServedByView
from fabric.console.chatting import Chatting, Turn
from fabric.console.frame import Console, Part, Visit, part
from fabric.console.lineage import (
    anchor_of,
    drawn_of,
    graph_of,
    judged_as,
    known_by,
    parts_of,
    picture_of,
    place_of,
    version_meant,
    words_of,
)
from fabric.console.markup import Child, Markup, join, tag
from fabric.console.words import heading, link_to, number, problem, state, table, when
from fabric.core.errors import FabricError

Known = Mapping[str, ModelVersionView]
"""Registered versions by what a lineage may call them."""

COLUMNS = ("Version", "Aliases", "Served by", "Evaluation", "Made from", "Registered")
"""Of a model's table."""
MOST_PICTURES = 20
"""Models whose lineage is drawn; of the others it is in the table alone."""
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
        [
            _model(
                f"{name} of {project}" if several else name,
                tuple(each),
                _within(project, found),
                is_drawn=number < MOST_PICTURES,
            )
            for number, ((name, project), each) in enumerate(by_model)
        ]
    )


def _within(project: str, found: Sequence[ModelVersionView]) -> Known:
    """What a lineage in a project may mean: each has models of its own."""
    return known_by(version for version in found if version.project == project)


def _model(name: str, versions: tuple[ModelVersionView, ...], known: Known, *, is_drawn: bool) -> Markup:
    drawn = drawn_of(versions) if is_drawn else []
    graph = graph_of(drawn, known)
    left = len(versions) - len(drawn)
    more = f"{left:,} {'more ' if drawn else ''}versions are in the table alone." if left else None
    return join(
        heading(name),
        (picture_of(graph, name), words_of(graph)) if drawn else None,
        tag("p", more, class_="quiet") if more else None,
        table(COLUMNS, [_row(version, known) for version in versions], "", f"Versions of {name}"),
    )


def _row(version: ModelVersionView, known: Known) -> tuple[Child, ...]:
    place = place_of(version)
    return (
        tag("b", f"{version.version}", id=anchor_of(version), title=version.uri),
        [join(tag("span", alias, class_="state good"), " ") for alias in version.aliases] or "–",
        [_served(by, place) for by in version.served_by] or "–",
        [_judged(version.evaluation), _metrics(version.metrics)],
        lineage_of(version, known),
        when(version.created_at),
    )


def _served(by: ServedByView, place: str) -> Markup:
    under = f"{by.deployment}: " if by.deployment else None
    return tag("div", under, link_to(by.workload, place), " ", state(by.state, by.condition))


def _judged(evaluation: EvaluationView | None) -> Markup | None:
    if evaluation is None:
        return None
    suite = tag("span", f" by suite {evaluation.suite[:8]}", class_="quiet", title=evaluation.suite)
    return tag("div", judged_as(evaluation), suite)


def _metrics(metrics: dict[str, float]) -> Child:
    lines = [tag("li", name, " ", tag("b", number(value))) for name, value in sorted(metrics.items())]
    rest = lines[MOST_METRICS:]
    more = tag("details", tag("summary", f"{len(rest)} more"), tag("ul", rest)) if rest else None
    return join(tag("ul", lines[:MOST_METRICS], class_="plain"), more) if lines else "–"


def lineage_of(version: ModelVersionView, known: Known) -> Child:
    """Where a version comes from; a parent that is registered here is a link to it."""
    parts: list[Child] = []
    for word, text in version.lineage.items():
        if word == "config":
            parts.append(tag("details", tag("summary", "settings"), tag("pre", _pretty(text))))
        elif word == "parent":
            parents = [join(_parent(name, known), " ") for name in parts_of(version, word)]
            parts.append(tag("div", tag("span", "begun with ", class_="quiet"), parents))
        else:
            parts.append(tag("div", tag("span", f"{word} ", class_="quiet"), text))
    return parts or "–"


def _parent(text: str, known: Known) -> Markup:
    meant = version_meant(text, known)
    return tag("a", text, href=f"#{anchor_of(meant)}") if meant else tag("span", text)


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
