"""The training loop on real tensors: exact resumption, any number of ranks, bits per byte, models that engines load."""

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn.functional import cross_entropy
from transformers import AutoModelForCausalLM

from fabric.train import model as models
from fabric.train.optimise import Muon, build_optimisers, orthogonalise
from fabric.train.parallel import Alone
from fabric.train.samples import fingerprints
from fabric.train.settings import OptimiserSettings
from fabric.train.task import Task
from fabric.train.validate import read
from tests.ray.ranks import train, train_in_turns
from tests.unit.train import worlds

pytestmark = pytest.mark.ray


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


def losses(task: Task) -> list[float]:
    return [record["loss"] for record in task.losses.records()]


def samples(task: Task, worlds_used: int) -> list[str]:
    """Fingerprints of all samples that made the model, in the global order."""
    records = [record for rank in range(worlds_used) for record in task.samples_of(rank).records()]
    return [mark for record in sorted(records, key=lambda each: each["first"]) for mark in record["samples"]]


def every_sample(task: Task) -> list[str]:
    """Fingerprints of the samples a run should meet, each once."""
    source = worlds.FakeSource(task.settings.batch.rows)
    count = task.settings.steps * task.settings.batch.rows
    return fingerprints(np.stack([source.sample(number) for number in range(count)]))


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Task:
    """A run that nothing interrupted."""
    task = worlds.task(tmp_path_factory.mktemp("whole"))
    train(task)
    return task


def test_a_run_learns_and_meets_every_sample_once(whole: Task) -> None:
    assert losses(whole)[-1] < losses(whole)[0] - 0.5
    assert samples(whole, 1) == every_sample(whole)
    assert [record["of"] for record in whole.readings.records()] == ["subset", "all"]


def test_an_interrupted_run_goes_on_bit_by_bit_as_if_it_had_not_been(whole: Task, tmp_path: Path) -> None:
    task = worlds.task(tmp_path)
    left = train(task, leave_at=7)
    assert (left.steps, left.left_because, left.bits_per_byte) == (7, "the test says so", None)
    ended = train(task)
    assert (ended.steps, ended.left_because) == (12, "")
    assert losses(task) == losses(whole)
    assert task.readings.records() == whole.readings.records()
    assert samples(task, 1) == every_sample(task)


def test_a_killed_run_repeats_the_steps_after_its_last_checkpoint_and_no_others(whole: Task, tmp_path: Path) -> None:
    class Killed(BaseException):
        """Not an error that anything catches."""

    class FakeKill(worlds.FakeSource):
        def batches(self, *, rank: int, world_size: int, start_step: int = 0):  # type: ignore[no-untyped-def]
            rows = super().batches(rank=rank, world_size=world_size, start_step=start_step)
            yield from (next(rows) for _ in range(8 - start_step))
            raise Killed

    with pytest.raises(Killed):
        train(worlds.task(tmp_path, source=FakeKill(4)))
    task = worlds.task(tmp_path)
    train(task)
    assert losses(task) == losses(whole)
    assert samples(task, 1) == every_sample(task)


def test_two_ranks_give_the_curve_of_one_and_either_goes_on_where_the_other_left(whole: Task, tmp_path: Path) -> None:
    changing = worlds.task(tmp_path / "changing")
    train_in_turns(changing, [(2, 6), (1, 9), (2, 0)])
    assert losses(changing) == pytest.approx(losses(whole), rel=1e-5)
    assert samples(changing, 2) == every_sample(whole)
    last = [task.readings.records()[-1] for task in (changing, whole)]
    assert last[0]["of"] == last[1]["of"] == "all"
    assert last[0]["bits_per_byte"] == pytest.approx(last[1]["bits_per_byte"], rel=1e-5)


def test_bits_per_byte_is_what_predicting_token_by_token_gives(tmp_path: Path) -> None:
    model = models.build(worlds.shape(), seed=3)
    held_out = worlds.held_out()
    reading = read(model, held_out, Alone(), batch_windows=3)
    nats = 0.0
    for work in held_out.works:
        for target in range(1, len(work.tokens)):
            # The first window of a work starts at its beginning; each later one moves on by half a context.
            half = worlds.CONTEXT // 2
            end = worlds.CONTEXT if target <= worlds.CONTEXT else math.ceil(target / half) * half
            end = min(end, len(work.tokens) - 1)
            seen = torch.from_numpy(work.tokens[max(0, end - worlds.CONTEXT) : target])[None]
            with torch.no_grad():
                logits = model(input_ids=seen, use_cache=False).logits[0, -1]
            nats += float(cross_entropy(logits[None], torch.tensor([work.tokens[target]])))
    assert reading is not None
    assert reading.nats == pytest.approx(nats, rel=1e-5)
    assert reading.num_tokens == 149 + 8
    assert reading.bits_per_byte == pytest.approx(nats / math.log(2) / 425, rel=1e-5)


def test_reading_held_out_works_is_given_up_when_asked_to_leave() -> None:
    model = models.build(worlds.shape(), seed=3)
    assert read(model, worlds.held_out(), Alone(), batch_windows=3, leaving=lambda: True) is None


def test_a_stored_model_loads_in_transformers_unchanged(tmp_path: Path) -> None:
    model = models.build(worlds.shape(), seed=3)
    models.save(model, tmp_path)
    loaded = AutoModelForCausalLM.from_pretrained(tmp_path)
    tokens = torch.arange(20)[None]
    assert torch.equal(loaded(tokens).logits, model(tokens).logits)
    assert loaded.config.use_cache
    assert models.num_params(model) == worlds.shape().num_params
    other = models.build(worlds.shape(), seed=4)
    models.load_weights(other, tmp_path)
    assert torch.equal(other(tokens).logits, model(tokens).logits)


def test_the_same_seed_gives_the_same_weights_and_leaves_other_draws_alone() -> None:
    torch.manual_seed(0)
    expected = torch.rand(1)
    torch.manual_seed(0)
    first, second = models.build(worlds.shape(), seed=1), models.build(worlds.shape(), seed=1)
    assert torch.equal(torch.rand(1), expected)
    assert all(torch.equal(a, b) for a, b in zip(first.parameters(), second.parameters(), strict=True))


@pytest.mark.parametrize("kind", ["muon", "adamw"])
def test_optimisers_hold_every_weight_once(kind: str) -> None:
    model = models.build(worlds.shape(num_layers=2), seed=1)
    optimisers = build_optimisers(model, OptimiserSettings(kind=kind), Alone())  # type: ignore[arg-type]
    held = [id(p) for optimiser in optimisers for group in optimiser.param_groups for p in group["params"]]
    assert sorted(held) == sorted(id(p) for p in model.parameters())
    matrices = [o for o in optimisers if isinstance(o, Muon)]
    assert sum(len(group["params"]) for o in matrices for group in o.param_groups) == (14 if kind == "muon" else 0)


@pytest.mark.parametrize("size", [(3, 40, 40), (2, 24, 60), (2, 60, 24)])
def test_an_orthogonalised_update_has_singular_values_near_one(size: tuple[int, int, int]) -> None:
    update = torch.randn(size, generator=torch.Generator().manual_seed(0))
    values = torch.linalg.svdvals(orthogonalise(update))
    assert values.shape == (size[0], min(size[1:]))
    assert values.max() < 1.3
    assert values.median() > 0.6
