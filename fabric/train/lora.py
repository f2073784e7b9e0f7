"""Learn answers by low-rank pairs beside frozen weights: the loop of one rank, and the merged model at its end.

Knows nothing of Ray, nor of what the questions are; other ranks are sums over all of them.

Shapes: B samples, P tokens of their common beginning, L tokens after it, N answer tokens, W features, V vocabulary.
"""

import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, get_peft_model, set_peft_model_state_dict
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch.nn.functional import cross_entropy
from transformers import AutoModelForCausalLM, AutoTokenizer

from fabric.core.errors import Corrupt
from fabric.train.finetune import Batch, Ended, FinetuneTask, LoraSettings, collate, common_beginning, plan_batches
from fabric.train.manifest import full_disk
from fabric.train.optimise import build_optimisers, set_rate
from fabric.train.parallel import Peers
from fabric.train.schedule import rate_share
from fabric.train.task import MODEL, Notices
from fabric.train.tuned import ADAPTER

STATE = "state.pt"
"""File of a checkpoint with the optimiser's memory."""

_REPORT_EVERY_S = 2.0
_OTHERS_LEAVE = "another rank was asked to leave"


def load_base(folder: Path) -> Any:
    """The model in a Hugging Face folder, in fp32.

    Raises:
        Corrupt: If its weights or configuration cannot be read.
    """
    try:
        return AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    except (SafetensorError, OSError, ValueError) as error:
        raise Corrupt(f"{folder}: the model cannot be read: {error}. Make it again.", path=str(folder)) from error


def add_pairs(base: Any, chosen: LoraSettings, *, name: str, seed: int) -> Any:
    """Put fresh pairs beside the weights of `base`, which are frozen; the same seed gives the same pairs.

    Args:
        base: A decoder.
        chosen: Which pairs.
        name: Name of the base model that the adapter's configuration states.
        seed: Seed of the pairs.
    """
    layers = range(chosen.first_layer, base.config.num_hidden_layers)
    config = LoraConfig(
        r=chosen.rank,
        lora_alpha=chosen.alpha,
        target_modules=list(chosen.targets),
        layers_to_transform=list(layers),
        task_type="CAUSAL_LM",
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = get_peft_model(base, config)
    model.peft_config["default"].base_model_name_or_path = name  # not a path of this machine
    return model


class AnswerLoss(torch.nn.Module):
    """Surprise at the answers of a batch whose prompts begin alike; that beginning is computed once, not per sample."""

    def __init__(self, model: Any, beginning: tuple[int, ...]) -> None:
        super().__init__()
        self.model = model
        self.register_buffer("beginning_1P", torch.tensor([beginning], dtype=torch.int64), persistent=False)

    def forward(self, tokens_BL: torch.Tensor, where_N: torch.Tensor, answers_N: torch.Tensor) -> torch.Tensor:
        """Nats over all answer tokens."""
        decoder = self.model.get_base_model()
        past = None
        if self.beginning_1P.numel():
            past = decoder.model(self.beginning_1P, use_cache=True).past_key_values
            past.batch_repeat_interleave(len(tokens_BL))
        hidden_BLW = decoder.model(tokens_BL, past_key_values=past, use_cache=past is not None).last_hidden_state
        # The output layer is a fifth of the model, and prompts need none of it.
        logits_NV = decoder.lm_head(hidden_BLW.flatten(0, 1)[where_N])
        return cross_entropy(logits_NV, answers_N, reduction="sum")


class Tuner:
    """One rank of a run; `run` does the work.

    Args:
        task: The run.
        peers: This rank and the others.
        device: Where to compute.
        notices: Whether to leave.
        clock: Seconds from any origin, for rates and times only.
    """

    def __init__(
        self,
        task: FinetuneTask,
        peers: Peers,
        device: torch.device,
        *,
        notices: Notices,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.task, self.peers, self.device, self.notices, self.clock = task, peers, device, notices, clock
        chosen = self.settings = task.settings
        self.model = add_pairs(load_base(task.base), chosen.lora, name=chosen.base, seed=chosen.seed).to(device)
        self.loss = AnswerLoss(self.model, common_beginning(task.samples)).to(device)
        self.optimisers = build_optimisers(self.model, chosen.optimiser)
        lengths = [len(sample.prompt) + len(sample.answer) for sample in task.samples]
        self.plan = plan_batches(lengths, chosen.batch_items, chosen.epochs, chosen.seed)
        self.step, self.tokens, self.trained_s = 0, 0, 0.0
        self._reported_at = -_REPORT_EVERY_S

    def run(self) -> Ended:
        """Train from the task's start to its last step and leave the merged model, or save and leave at a notice.

        Raises:
            StorageFull: If the disk has no room; the last checkpoint is intact.
        """
        try:
            return self._run()
        except OSError as error:
            raise full_disk(error, self.task.folder, "the tuned model") or error from error

    def _run(self) -> Ended:
        if self.task.start:
            self.restore(self.task.start.path, self.task.start.notes)
        self.model.train()
        if not self.peers.rank:
            self.task.reporter.stage("train")
        for left_because in self.steps():
            if left_because or self.step % self.settings.checkpoints.every_steps == 0 or self.step == len(self.plan):
                self.save()
            if left_because:
                return Ended(self.step, self.tokens, self.trained_s, left_because=left_because)
        if self.peers.rank:
            return Ended(self.step, self.tokens, self.trained_s)
        self.task.reporter.stage("merge")
        return Ended(self.step, self.tokens, self.trained_s, self.export())

    def steps(self) -> Iterator[str]:
        """Take the remaining steps one by one; after each, why the run must leave, or an empty string."""
        spread = self.peers.spread(self.loss)
        began = self.clock()
        for batch in self.plan[self.step :]:
            nats = self._learn(spread, batch)
            reason = self.notices.at_step(self.step)
            total, leaving = self.peers.sums([nats, float(bool(reason))])
            self.trained_s += (now := self.clock()) - began
            self.step += 1
            self._record(total, batch, now - began)
            yield (reason or _OTHERS_LEAVE) if leaving else ""
            began = self.clock()

    def _learn(self, spread: torch.nn.Module, batch: list[int]) -> float:
        """One optimiser step on this rank's share of a batch; nats over its answers."""
        chosen = self.settings.optimiser
        set_rate(self.optimisers, rate_share(self.step, len(self.plan), chosen), chosen)
        nats = spread(*self._tensors(self._share(batch)))
        # Ranks' gradients are averaged, so each counts `world` times as much as its part of all answer tokens.
        (nats * (self.peers.world / self._num_answers(batch))).backward()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), chosen.clip_norm)
        for optimiser in self.optimisers:
            optimiser.step()
            optimiser.zero_grad()
        return float(nats.detach())

    def _share(self, batch: list[int]) -> Batch:
        # Every so many-th of a batch sorted by length: ranks get alike long samples and wait little for each other.
        mine = batch[self.peers.rank :: self.peers.world]
        return collate([self.task.samples[i] for i in mine], self.loss.beginning_1P.numel())

    def _tensors(self, batch: Batch) -> tuple[torch.Tensor, ...]:
        return tuple(torch.from_numpy(part).to(self.device) for part in batch)

    def _num_answers(self, batch: list[int]) -> int:
        return sum(len(self.task.samples[i].answer) for i in batch)

    def _record(self, nats: float, batch: list[int], took_s: float) -> None:
        num_tokens = sum(len(self.task.samples[i].prompt) for i in batch) + self._num_answers(batch)
        self.tokens += num_tokens
        if self.peers.rank:
            return
        loss, rate = nats / self._num_answers(batch), num_tokens / took_s if took_s else 0.0
        record = {"step": self.step, "loss": loss, "tokens": self.tokens, "trained_s": round(self.trained_s, 3)}
        self.task.losses.append({**record, "tokens_per_s": round(rate, 1)})
        if self.clock() - self._reported_at >= _REPORT_EVERY_S:
            self._reported_at = self.clock()
            self.task.reporter.progress(self.step, len(self.plan), "steps", loss=loss, tokens_per_s=rate)

    def save(self) -> None:
        """Write a checkpoint; rank 0 does, and the others meet it at the next step.

        Raises:
            StorageFull: If the disk has no room; the last checkpoint is intact.
        """
        if self.peers.rank:
            return
        began = self.clock()
        notes = {"run": self.task.run, "trained_s": self.trained_s, "tokens": self.tokens}
        saved = self.task.checkpoints.save(self.step, self._fill, notes)
        self.task.reporter.checkpointed(saved.path.as_uri(), saved.step, saved.num_bytes, self.clock() - began)

    def _fill(self, folder: Path) -> None:
        self._save_pairs(folder / ADAPTER)
        with (folder / STATE).open("wb") as stream:
            torch.save([optimiser.state_dict() for optimiser in self.optimisers], stream)

    def _save_pairs(self, folder: Path) -> None:
        # Told that no embedding changed, peft need not look for the base model's configuration elsewhere.
        self.model.save_pretrained(folder, save_embedding_layers=False)

    def restore(self, folder: Path, notes: Mapping[str, Any]) -> None:
        """Take up the state of a checkpoint that was verified.

        Args:
            folder: The checkpoint's folder.
            notes: What its writer noted.
        """
        set_peft_model_state_dict(self.model, load_file(folder / ADAPTER / "adapter_model.safetensors"))
        states = torch.load(folder / STATE, map_location=self.device, weights_only=True)
        for optimiser, state in zip(self.optimisers, states, strict=True):
            optimiser.load_state_dict(state)
        self.trained_s, self.tokens = float(notes["trained_s"]), int(notes["tokens"])
        self.step = self.task.start.step if self.task.start else 0

    def export(self) -> float:
        """Write the pairs and the merged model with its tokenizer; afterwards the pairs are gone from memory.

        Returns:
            Largest difference of a logit between the merged model and the one with pairs.
        """
        self.model.eval()
        tokens_1L = self._tensors(collate(self.task.samples[:1], 0))[0]
        with torch.inference_mode():
            apart_1LV = self.model(input_ids=tokens_1L).logits
        self._save_pairs(self.task.folder / ADAPTER)
        merged = self.model.merge_and_unload()
        with torch.inference_mode():
            difference = float((merged(input_ids=tokens_1L).logits - apart_1LV).abs().max())
        merged.save_pretrained(self.task.folder / MODEL)
        AutoTokenizer.from_pretrained(self.task.base).save_pretrained(self.task.folder / MODEL)
        return difference
