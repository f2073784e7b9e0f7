"""Where versions of a model come from and what they became, drawn and in words."""

import re

from fabric.api.admin import EvaluationView, ModelVersionView, ServedByView
from fabric.console.lineage import MOST_DRAWN, drawn_of, graph_of, judged_as, known_by, picture_of, words_of
from fabric.console.pages.models import models_of

NOW = 1_750_000_000.0
EVIL = "<img src=x onerror=alert(1)>"
ESCAPED = "&lt;img src=x onerror=alert(1)&gt;"


def version(number: int = 1, name: str = "tale", **more: object) -> ModelVersionView:
    fields = {"name": name, "project": "nlp", "version": number, "uri": "file:///m", "created_at": NOW, **more}
    return ModelVersionView.model_validate(fields)


BASE = version(1, "base", digest="b1", lineage={"data": "books@d0"})
TALE = version(
    2, digest="t2", aliases=("champion", "candidate"), lineage={"data": "corpus@d1", "parent": "base@b1, other@x"},
    evaluation=EvaluationView(suite="s" * 64, num_items=320, num_right=224),
    served_by=(
        ServedByView(workload="chat-a", deployment="chat", asked="tale@champion", state="running", condition="ready"),
        ServedByView(workload="old-b", asked="tale@retired", state="running"),
    ),
)  # fmt: skip


def edges(*versions: ModelVersionView) -> set[tuple[str, str]]:
    graph = graph_of(versions, known_by((*versions, BASE)))
    return {(before.label, after.label) for before, after in graph.edges}


def test_data_parents_versions_judgements_aliases_and_services_follow_each_other() -> None:
    assert edges(TALE) == {
        ("corpus@d1", "tale:2"), ("books@d0", "base:1"), ("base:1", "tale:2"), ("other@x", "tale:2"),
        ("tale:2", "224 of 320 right"), ("224 of 320 right", "@champion"), ("224 of 320 right", "@candidate"),
        ("@champion", "chat"), ("224 of 320 right", "old-b"),
    }  # fmt: skip


def test_a_version_that_was_not_judged_leads_to_its_aliases_itself() -> None:
    assert edges(version(1, aliases=("champion",))) == {("tale:1", "@champion")}


def test_a_judgement_without_items_says_its_first_number() -> None:
    assert judged_as(EvaluationView(suite="s", metrics={"bpb": 2.125, "loss": 3.0})) == "bpb 2.125"
    assert judged_as(EvaluationView(suite="s")) == "judged"


def test_of_many_versions_those_in_use_are_drawn_and_the_newest() -> None:
    many = [version(number, aliases=("champion",) if number == 1 else ()) for number in range(30, 0, -1)]
    assert [each.version for each in drawn_of(many)] == [*range(30, 30 - MOST_DRAWN + 1, -1), 1]
    shown = models_of(tuple(many))
    assert "22 more versions are in the table alone" in shown
    assert shown.count("<tr>") == 31


def test_lines_lead_from_layer_to_layer_and_not_through_boxes() -> None:
    picture = picture_of(graph_of((TALE,), known_by((TALE, BASE))), "tale")
    wide = picture.partition('class="tall"')[0]
    boxes = [tuple(map(float, found)) for found in re.findall(r'<rect x="([\d.]+)" y="([\d.]+)"', wide)]
    assert len(boxes) == len(set(boxes)) == 10
    assert len({x for x, _ in boxes}) == 6
    passes = {
        (float(x), float(y)) for x, y in re.findall(r"([\d.]+) ([\d.]+) H", wide)
    }  # where a long line passes through a layer
    assert passes
    assert not {(x, y - 17) for x, y in passes} & set(boxes)


def test_on_a_phone_everything_has_a_row_of_its_own() -> None:
    picture = picture_of(graph_of((TALE,), known_by((TALE, BASE))), "tale")
    rows = re.findall(r'<circle cx="92" cy="(\d+)"', picture)
    assert [int(row) for row in rows] == [15 + 30 * number for number in range(10)]
    assert 'viewBox="0 0 340 300"' in picture


def test_things_are_links_by_keyboard_and_said_in_words() -> None:
    graph = graph_of((TALE,), known_by((TALE, BASE)))
    picture = picture_of(graph, "tale")
    for link in ('href="#model-nlp/tale:2"', 'href="#model-nlp/base:1"', 'href="/workload/chat-a"'):
        assert picture.count(link) == 2
    ids = re.findall(r'id="([^"]*)"', picture)
    assert len(ids) == len(set(ids)) == 8
    assert 'tabindex="0"' in picture
    assert picture.count("<title>") == 20
    words = words_of(graph)
    for said in (
        "data corpus@d1",
        "begun with base@b1",
        "tale:2 was judged: 224 of 320 right",
        "chat serves tale:2: ready",
    ):
        assert said in words


def test_names_that_are_html_stay_text() -> None:
    evil = version(
        1, EVIL, project=EVIL, aliases=(EVIL,), lineage={"data": EVIL, "parent": EVIL, "made_from": EVIL},
        evaluation=EvaluationView(suite=EVIL, metrics={EVIL: 1.0}),
        served_by=(ServedByView(workload=EVIL, deployment=EVIL, asked=EVIL, state=EVIL, condition=EVIL),),
    )  # fmt: skip
    shown = models_of((evil,))
    assert "<img" not in shown
    assert ESCAPED in shown


def test_a_model_says_where_it_comes_from_who_serves_it_and_leads_to_its_parent() -> None:
    metrics = {f"m{i}": i / 8 for i in range(10)}
    tale = TALE.model_copy(update={"metrics": metrics, "lineage": {**TALE.lineage, "config": '{"steps": 3}'}})
    shown = models_of((tale, BASE))
    for words in (
        "champion", "2 more", "<summary>settings</summary>", "corpus@d1", '<a href="#model-nlp/base:1">base@b1</a>',
        "<span>other@x</span>", "224 of 320 right", "by suite ssssssss", "chat: ", "running · ready",
    ):  # fmt: skip
        assert words in shown
    assert 'id="model-nlp/base:1"' in shown
    assert "No model is registered" in models_of(())


def test_models_of_several_projects_are_told_apart() -> None:
    theirs = version(1, "base", project="climate", digest="b1")
    mine = version(2, lineage={"parent": "base@b1"})
    shown = models_of((mine, theirs))
    assert "base of climate" in shown
    # A project's lineage means models of its own.
    assert "<span>base@b1</span>" in shown
