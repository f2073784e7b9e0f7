"""A fine-tuning run as values: batches, common beginnings, and settings that are refused."""

from typing import Any

import numpy as np
import pytest

from fabric.config.load import decode
from fabric.core.errors import BadConfig
from fabric.train.finetune import FinetuneSettings, Sample, collate, common_beginning, plan_batches

LENGTHS = [5, 9, 7, 3, 8, 6, 4, 10, 5, 7, 9, 6]


def settings(**changes: Any) -> FinetuneSettings:
    chosen = {
        "output": "demo/finetune",
        "items": {"tasks": [{"generator": "gcd"}], "train_per_task": 100, "held_out_per_task": 5},
        "batch_items": 4,
        "optimiser": {"kind": "adamw", "warmup_steps": 5},
        **changes,
    }
    return decode(FinetuneSettings, chosen, "finetune.yaml")


def test_steps_follow_from_items_epochs_and_batch() -> None:
    assert settings().steps == 25
    assert settings(epochs=3, batch_items=8).steps == 37


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"batch_items": 5, "trainers": {"count": 2}}, "batch_items .5. must be a multiple of trainers.count .2."),
        ({"optimiser": {"kind": "muon"}}, "must be adamw"),
        ({"optimiser": {"kind": "adamw", "warmup_steps": 25}}, "25 steps of 4.*more than optimiser.warmup_steps"),
        ({"lora": {"rank": 0}}, "lora.rank"),
        ({"lora": {"targets": []}}, "lora.targets"),
        ({"lora": {"dropout": 0.1}}, "lora.dropout: unknown key.*Allowed: alpha, first_layer, rank, targets"),
        ({"workload": {"entrypoint": "x", "groups": [{"name": "others"}]}}, "trainers.count is 1 in group 'trainers'"),
        ({"output": 3}, "output"),
    ],
)
def test_an_impossible_run_is_refused_before_it_starts(changes: dict[str, Any], told: str) -> None:
    with pytest.raises(BadConfig, match=told):
        settings(**changes)


def test_a_run_is_another_run_if_a_choice_that_matters_differs() -> None:
    assert settings().decisive == settings(trainers={"count": 2}, checkpoints={"every_steps": 9}).decisive
    assert settings().decisive != settings(seed=1).decisive


def test_every_sample_comes_once_per_epoch() -> None:
    plan = plan_batches(LENGTHS, batch_items=3, epochs=2, seed=1)
    assert sorted(i for batch in plan for i in batch) == sorted([*range(12), *range(12)])
    assert {len(batch) for batch in plan} == {3}


def test_only_samples_that_fill_no_batch_at_the_very_end_are_left_out() -> None:
    plan = plan_batches(LENGTHS, batch_items=5, epochs=3, seed=1)
    assert len(plan) == 36 // 5


def test_a_plan_depends_on_the_seed_alone() -> None:
    assert plan_batches(LENGTHS, 3, 2, 1) == plan_batches(LENGTHS, 3, 2, 1)
    assert plan_batches(LENGTHS, 3, 2, 1) != plan_batches(LENGTHS, 3, 2, 2)


def test_samples_of_a_batch_are_about_equally_long() -> None:
    lengths = [int(n) for n in np.random.default_rng(0).integers(5, 60, 400)]
    plan = plan_batches(lengths, 10, 1, 0)
    padded = sum(max(lengths[i] for i in batch) * len(batch) for batch in plan)
    assert sum(lengths) / padded > 0.9


def test_the_common_beginning_leaves_every_prompt_a_token() -> None:
    samples = [Sample((1, 2, 3, 4), (9,)), Sample((1, 2, 3, 5), (9,)), Sample((1, 2, 3), (9,))]
    assert common_beginning(samples) == (1, 2)
    assert common_beginning([Sample((1, 2), (9,)), Sample((3, 2), (9,))]) == ()


def test_a_batch_points_from_each_place_to_the_answer_token_after_it() -> None:
    batch = collate([Sample((7, 7, 1, 2), (3, 4)), Sample((7, 7, 5), (6, 8, 9))], num_shared=2)
    assert batch.tokens.tolist() == [[1, 2, 3], [5, 6, 8]]
    assert batch.where.tolist() == [1, 2, 3, 4, 5]
    assert batch.answers.tolist() == [3, 4, 6, 8, 9]


def test_what_fills_up_a_batch_is_never_learned_from() -> None:
    batch = collate([Sample((7, 1), (2,)), Sample((7, 1, 2, 3), (4, 5))], num_shared=1)
    assert batch.tokens.tolist() == [[1, 0, 0, 0], [1, 2, 3, 4]]
    assert batch.where.tolist() == [0, 6, 7]
