"""Fine-tuning on real tensors: gradients, exact resumption, any number of ranks, and a merge that changes nothing."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch.nn.functional import cross_entropy
from transformers import AutoModelForCausalLM, AutoTokenizer

from fabric.config import env
from fabric.config.load import decode, load
from fabric.core.errors import Conflict, Corrupt
from fabric.train.assets import base_model, convert_base_model
from fabric.train.finetune import (
    Ended,
    FinetuneSettings,
    FinetuneTask,
    Sample,
    collate,
    common_beginning,
    encode,
)
from fabric.train.history import History
from fabric.train.lora import AnswerLoss, Tuner, add_pairs, load_base
from fabric.train.manifest import verify
from fabric.train.parallel import Alone
from fabric.train.report import Silent
from fabric.train.task import resume
from fabric.train.tasks import Item, ItemSets
from fabric.train.tuned import finish, read_items, summary, write_items
from tests.ray import small_chat_model
from tests.ray.ranks import CPU, StopsAt

pytestmark = pytest.mark.ray


def sums(count: int, start: int = 0) -> tuple[Item, ...]:
    pairs = [(i % 7, i % 5) for i in range(start, start + count)]
    return tuple(Item("sums", f"What is {a} and {b}? ({i})", str(a + b), {}) for i, (a, b) in enumerate(pairs))


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small_chat_model.write(tmp_path_factory.mktemp("base"))


def task(folder: Path, base: Path, **changes: Any) -> FinetuneTask:
    chosen = {
        "output": "small",
        "items": {"tasks": [{"generator": "gcd"}], "train_per_task": 48, "held_out_per_task": 4},
        "batch_items": 4,
        "lora": {"rank": 4, "alpha": 8.0, "first_layer": 1},
        "optimiser": {"kind": "adamw", "lr": 1e-2, "weight_decay": 0.0, "warmup_steps": 2},
        "checkpoints": {"every_steps": 5},
        **changes,
    }
    settings = decode(FinetuneSettings, chosen, "small.yaml")
    items = sums(settings.num_items)
    samples = encode(AutoTokenizer.from_pretrained(base), items)
    version = verify(base)["version"]
    return FinetuneTask(settings, folder, base, version, Silent(), samples)


def train(task: FinetuneTask, leave_at: int = 0) -> Ended:
    task = replace(task, start=resume(task, print))
    return Tuner(task, Alone(), CPU, notices=StopsAt(task.folder, leave_at)).run()


def losses(task: FinetuneTask) -> list[float]:
    return [record["loss"] for record in task.losses.records()]


def pairs_of(task: FinetuneTask) -> dict[str, torch.Tensor]:
    found: dict[str, torch.Tensor] = load_file(task.folder / "adapter" / "adapter_model.safetensors")
    return found


@pytest.fixture(scope="module")
def whole(base: Path, tmp_path_factory: pytest.TempPathFactory) -> FinetuneTask:
    """A run that nothing interrupted."""
    run = task(tmp_path_factory.mktemp("whole"), base)
    train(run)
    return run


def test_sharing_the_common_beginning_changes_neither_loss_nor_gradients(base: Path) -> None:
    samples = encode(AutoTokenizer.from_pretrained(base), sums(6))
    shared = common_beginning(samples)
    assert len(shared) > 5
    model = add_pairs(load_base(base), task(base, base).settings.lora, name="small", seed=3)
    for name, parameter in model.named_parameters():
        if "lora_B" in name:  # fresh pairs add nothing, and then half of the gradients are zero
            torch.nn.init.normal_(parameter, std=0.02, generator=torch.Generator().manual_seed(1))
    nats, grads = [], []
    for beginning in (shared, ()):
        loss = AnswerLoss(model, beginning)(*map(torch.from_numpy, collate(samples, len(beginning))))
        loss.backward()
        nats.append(loss.item())
        grads.append({n: p.grad.clone() for n, p in model.named_parameters() if p.grad is not None})
        model.zero_grad()
    assert nats[0] == pytest.approx(nats[1], rel=1e-5)
    assert all(torch.allclose(grads[0][name], grads[1][name], rtol=1e-3, atol=1e-5) for name in grads[1])
    assert max(float(grad.abs().max()) for grad in grads[1].values()) > 1e-3


def test_the_loss_is_that_of_the_answers_alone(base: Path) -> None:
    sample = Sample((5, 6, 7, 8), (9, 2))
    model = load_base(base)
    model.get_base_model = lambda: model
    found = AnswerLoss(model, (5, 6))(*map(torch.from_numpy, collate([sample], 2)))
    logits = model(torch.tensor([[5, 6, 7, 8, 9]])).logits[0, 3:]
    expected = cross_entropy(logits, torch.tensor([9, 2]), reduction="sum")
    assert found.item() == pytest.approx(expected.item(), rel=1e-5)


def test_a_run_learns_and_leaves_checkpoints(whole: FinetuneTask) -> None:
    assert len(losses(whole)) == whole.settings.steps == 12
    assert losses(whole)[-1] < losses(whole)[0]
    assert [path.name for path in sorted((whole.folder / "checkpoints").iterdir())] == [
        "step-00000010",
        "step-00000012",
    ]


def test_an_interrupted_run_goes_on_bit_by_bit_as_if_it_had_not_been(
    whole: FinetuneTask, base: Path, tmp_path: Path
) -> None:
    run = task(tmp_path, base)
    assert train(run, leave_at=7).left_because == "the test says so"
    assert not (tmp_path / "model").exists()
    ended = train(run)
    assert (ended.steps, ended.left_because) == (12, "")
    assert losses(run) == losses(whole)
    expected = pairs_of(whole)
    assert all(torch.equal(matrix, expected[name]) for name, matrix in pairs_of(run).items())


@pytest.mark.timeout(300)
def test_the_app_trains_on_two_ray_workers_what_one_process_does_and_then_says_that_it_is_done(
    base: Path, tmp_path: Path
) -> None:
    config = tmp_path / "small.yaml"
    config.write_text(
        "output: small\n"
        f"base: {base.name}\n"
        "items:\n  tasks: [{generator: chain_sum, options: {max_terms: 2}}]\n"
        "  train_per_task: 32\n  held_out_per_task: 4\n"
        "batch_items: 4\nlora: {rank: 4}\ntrainers: {count: 2, cpus: 0.5, gpus: 1.0, threads: 1}\n"
        "optimiser: {kind: adamw, lr: 1e-2, weight_decay: 0.0, warmup_steps: 2}\n"
    )
    first = app(config, base.parent, tmp_path)
    assert "small: " in first
    assert "has no GPUs: the ranks ask for CPUs only" in first
    folder = tmp_path / "runs" / "small"
    items = read_items(folder)
    assert not {item.question for item in items.train} & {item.question for item in items.held_out}
    settings = load(FinetuneSettings, config)
    samples = encode(AutoTokenizer.from_pretrained(base), items.train)
    alone = FinetuneTask(settings, tmp_path / "alone", base, verify(base)["version"], Silent(), samples)
    train(alone)
    two = [record["loss"] for record in History(folder / "losses.jsonl").records()]
    assert two == pytest.approx(losses(alone), rel=1e-4)
    assert len(list((folder / "ranks").iterdir())) == 2
    assert app(config, base.parent, tmp_path) in first


def app(config: Path, cache: Path, folder: Path) -> str:
    """What apps/finetune.py says, on a Ray cluster of its own."""
    places = {"FABRIC_CACHE": str(cache), "FABRIC_ARTIFACTS": (folder / "runs").as_uri()}
    # Without an address Ray takes whatever cluster was started last on this machine.
    environment = {**env.inherited(), **places, "RAY_ADDRESS": "local", "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-W", "ignore", "apps/finetune.py", "--config", str(config)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=240, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_a_corrupt_newest_checkpoint_costs_only_the_steps_after_the_one_before(
    whole: FinetuneTask, base: Path, tmp_path: Path
) -> None:
    run = task(tmp_path, base)
    train(run, leave_at=11)
    weights = tmp_path / "checkpoints" / "step-00000011" / "adapter" / "adapter_model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1])
    said: list[str] = []
    start = resume(run, said.append)
    assert start is not None
    assert start.step == 10
    assert "adapter_model.safetensors" in said[0]
    train(run)
    assert losses(run) == losses(whole)


def test_a_run_with_other_settings_does_not_go_on_from_this_one(whole: FinetuneTask, base: Path) -> None:
    with pytest.raises(Conflict, match="seed"):
        resume(task(whole.folder, base, seed=5), print)


def test_the_merged_folder_says_what_the_model_with_pairs_says(whole: FinetuneTask, base: Path) -> None:
    from peft import PeftModel

    tokens = torch.tensor([whole.samples[0].prompt])
    merged = AutoModelForCausalLM.from_pretrained(whole.folder / "model")
    apart = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(base), whole.folder / "adapter")
    with torch.inference_mode():
        assert float((merged(tokens).logits - apart(tokens).logits).abs().max()) <= 1e-4
    chat = AutoTokenizer.from_pretrained(whole.folder / "model").chat_template
    assert chat == AutoTokenizer.from_pretrained(base).chat_template


def test_the_sealed_output_holds_items_metrics_and_parents(base: Path, tmp_path: Path) -> None:
    run = task(tmp_path, base)
    items = ItemSets(sums(48), sums(4, start=100))
    write_items(run.folder, items)
    manifest = finish(run, train(run), parents=[{"name": "small", "version": run.base_version}])
    assert verify(tmp_path)["version"] == manifest["version"]
    assert read_items(tmp_path) == items
    assert manifest["parents"] == [{"name": "small", "version": run.base_version}]
    assert manifest["metrics"]["merge_max_logit_difference"] <= 1e-4
    assert manifest["metrics"]["last_loss"] < manifest["metrics"]["first_loss"]
    assert {"model/model.safetensors", "adapter/adapter_config.json", "items/held_out.jsonl"} <= set(manifest["files"])
    assert "tokens of 48 items" in summary(manifest)


def test_no_path_of_this_machine_is_in_the_adapter(whole: FinetuneTask) -> None:
    text = (whole.folder / "adapter" / "adapter_config.json").read_text()
    assert str(whole.base) not in text
    assert '"base_model_name_or_path": "smollm2-135m-instruct"' in text


def test_a_base_model_with_corrupt_weights_is_named(base: Path, tmp_path: Path) -> None:
    folder = small_chat_model.write(tmp_path / "broken")
    weights = folder / "model.safetensors"
    weights.write_bytes(b"\xff" * 64 + weights.read_bytes()[64:])
    with pytest.raises(Corrupt, match="broken"):
        load_base(folder)


@pytest.fixture(scope="module")
def smollm2() -> Path:
    """The real base model, from the cache or converted now."""
    return convert_base_model(env.cache_folder(), print)


@pytest.mark.timeout(300)
def test_smollm2_learns_and_its_merged_weights_say_what_its_pairs_say(smollm2: Path, tmp_path: Path) -> None:
    assert base_model(env.cache_folder()) == smollm2
    run = task(
        tmp_path,
        smollm2,
        items={"tasks": [{"generator": "gcd"}], "train_per_task": 24, "held_out_per_task": 4},
        lora={"rank": 8, "first_layer": 20},
        optimiser={"kind": "adamw", "lr": 3e-3, "weight_decay": 0.0, "warmup_steps": 1},
    )
    ended = train(run)
    assert ended.merge_difference is not None
    assert ended.merge_difference <= 1e-4
    assert losses(run)[-1] < losses(run)[0]
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "model")
    model = AutoModelForCausalLM.from_pretrained(tmp_path / "model")
    said = model.generate(torch.tensor([run.samples[0].prompt]), max_new_tokens=4, do_sample=False)
    assert tokenizer.decode(said[0, len(run.samples[0].prompt) :], skip_special_tokens=True).strip().isdigit()
