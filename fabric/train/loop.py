"""The training loop of one rank: samples in, checkpoints and a reading of held-out works out.

Knows nothing of Ray, nor of where samples come from; other ranks are sums over all of them.

Shapes: B sequences, C tokens of context, V tokens of vocabulary.
"""

import time
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch.nn.functional import cross_entropy

from fabric.train import model as models
from fabric.train.manifest import full_disk
from fabric.train.optimise import build_optimisers, set_rate
from fabric.train.parallel import Peers
from fabric.train.samples import HeldOut, Tokens, fingerprints, share
from fabric.train.schedule import rate_share
from fabric.train.task import MODEL, Notices, Outcome, Task
from fabric.train.validate import Reading, read
from fabric.train.windows import subset_of

STATE = "state.pt"
"""File of a checkpoint with what is not weights: optimisers' memory and the random generator."""

_REPORT_EVERY_S = 2.0
_OTHERS_LEAVE = "another rank was asked to leave"


class Trainer:
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
        task: Task,
        peers: Peers,
        device: torch.device,
        *,
        notices: Notices,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.task, self.peers, self.device, self.notices, self.clock = task, peers, device, notices, clock
        self.settings = task.settings
        self.model = models.build(task.shape, task.settings.seed, task.end_token).to(device)
        self.optimisers = build_optimisers(self.model, task.settings.optimiser, peers)
        self.step = 0
        self.trained_s = 0.0
        self._paused_s = 0.0
        self._reported_at = -_REPORT_EVERY_S

    def run(self) -> Outcome:
        """Train from the task's start to its last step, or until a notice.

        Raises:
            StorageFull: If the disk has no room; the last checkpoint is intact.
        """
        try:
            return self._run()
        except OSError as error:
            raise full_disk(error, self.task.folder, "what the run records") or error from error

    def _run(self) -> Outcome:
        if self.task.start:
            self.restore(self.task.start.path, self.task.start.notes)
        self._stage("train")
        for left_because in self.steps():
            if left_because:
                self.save()
                return self._outcome(left_because=left_because)
            if self.step == self.settings.steps:
                break
            if self.step % self.settings.checkpoints.every_steps == 0:
                self.save()
            if self.step % self.settings.validation.every_steps == 0:
                self._read_subset()
        if not self.task.start or self.step > self.task.start.step:
            self.save()
        return self._read_all()

    def steps(self) -> Iterator[str]:
        """Take the remaining steps one by one; after each, why the run must leave, or an empty string."""
        rank, world = self.peers.rank, self.peers.world
        spread = self.peers.spread(self.model)
        batches = self.task.source.batches(rank=rank, world_size=world, start_step=self.step)
        began = self.clock()
        while self.step < self.settings.steps:
            tokens_BC = next(batches)
            nats = self._learn(spread, tokens_BC)
            reason = self.notices.at_step(self.step)
            loss, leaving = self.peers.sums([nats, float(bool(reason))])
            now = self.clock()
            took_s, began, self._paused_s = now - began - self._paused_s, now, 0.0
            self.trained_s += took_s
            self.step += 1
            self._record(loss / world, tokens_BC, took_s)
            yield (reason or _OTHERS_LEAVE) if leaving else ""

    def _learn(self, spread: torch.nn.Module, rows_BC: Tokens) -> float:
        """One optimiser step; the mean loss over this rank's rows, in nats per token."""
        chosen = self.settings.optimiser
        set_rate(self.optimisers, rate_share(self.step, self.settings.steps, chosen), chosen)
        tokens_BC = torch.from_numpy(rows_BC).to(self.device)
        pieces = tokens_BC.split(self.settings.batch.micro_rows)
        total = torch.zeros((), device=self.device)
        for piece in pieces[:-1]:
            with self.peers.keep_local(spread):
                total += self._backward(spread, piece, len(tokens_BC))
        total += self._backward(spread, pieces[-1], len(tokens_BC))
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), chosen.clip_norm)
        for optimiser in self.optimisers:
            optimiser.step()
            optimiser.zero_grad()
        return float(total)

    def _backward(self, spread: torch.nn.Module, tokens_BC: torch.Tensor, rows: int) -> torch.Tensor:
        """Add the gradients of some of the rank's rows; their share of its mean loss."""
        logits_BCV = spread(input_ids=tokens_BC[:, :-1], use_cache=False).logits
        loss = cross_entropy(logits_BCV.float().flatten(0, 1), tokens_BC[:, 1:].flatten()) * (len(tokens_BC) / rows)
        loss.backward()
        return loss.detach()

    def _record(self, loss: float, rows_BC: Tokens, took_s: float) -> None:
        settings, peers = self.settings, self.peers
        if settings.record_samples:
            first = share(self.step - 1, settings.batch.rows, rank=peers.rank, world_size=peers.world)[0]
            marks = {"step": self.step, "first": first, "samples": fingerprints(rows_BC)}
            self.task.samples_of(peers.rank).append(marks)
        if peers.rank:
            return
        per_step = settings.batch.rows * self.task.shape.context_tokens
        rate = per_step / took_s if took_s else 0.0
        record = {
            "step": self.step,
            "loss": loss,
            "tokens": self.step * per_step,
            "trained_s": round(self.trained_s, 3),
        }
        self.task.losses.append({**record, "tokens_per_s": round(rate, 1)})
        if self.clock() - self._reported_at >= _REPORT_EVERY_S:
            self._reported_at = self.clock()
            self.task.reporter.progress(self.step, settings.steps, "steps", loss=loss, tokens_per_s=rate)

    def save(self) -> None:
        """Write a checkpoint; rank 0 does, and the others meet it at the next step.

        Raises:
            StorageFull: If the disk has no room; the last checkpoint is intact.
        """
        if self.peers.rank:
            return
        began = self.clock()
        notes = {"run": self.task.run, "trained_s": self.trained_s, "world_size": self.peers.world}
        saved = self.task.checkpoints.save(self.step, self._fill, notes)
        took_s = self.clock() - began
        self._paused_s += took_s
        self.task.reporter.checkpointed(saved.path.as_uri(), saved.step, saved.num_bytes, took_s)

    def _fill(self, folder: Path) -> None:
        models.save(self.model, folder / MODEL)
        state: dict[str, Any] = {
            "optimisers": [optimiser.state_dict() for optimiser in self.optimisers],
            "generator": torch.get_rng_state(),
        }
        with (folder / STATE).open("wb") as stream:
            torch.save(state, stream)

    def restore(self, folder: Path, notes: Any) -> None:
        """Take up the state of a checkpoint that was verified.

        Args:
            folder: The checkpoint's folder.
            notes: What its writer noted.
        """
        models.load_weights(self.model, folder / MODEL)
        state = torch.load(folder / STATE, map_location=self.device, weights_only=True)
        for optimiser, saved in zip(self.optimisers, state["optimisers"], strict=True):
            optimiser.load_state_dict(saved)
        torch.set_rng_state(state["generator"].cpu())
        self.trained_s = float(notes["trained_s"])
        self.step = int(self.task.start.step) if self.task.start else 0

    def _read_subset(self) -> None:
        part = subset_of(self.task.held_out, self.settings.validation.subset_tokens)
        reading = self._read(part)
        if reading:
            self._record_reading(reading, "subset")

    def _read_all(self) -> Outcome:
        if not self.task.held_out.works:
            return self._outcome()
        self._stage("validate")
        reading = self._read(self.task.held_out)
        if reading is None:
            return self._outcome(left_because=self.notices.now() or _OTHERS_LEAVE)
        self._record_reading(reading, "all")
        return self._outcome(bits_per_byte=reading.bits_per_byte)

    def _read(self, held_out: HeldOut) -> Reading | None:
        def leaving() -> bool:
            return bool(self.notices.now())

        began = self.clock()
        batch = self.settings.validation.batch_windows
        found: Reading | None = read(self.model, held_out, self.peers, batch_windows=batch, leaving=leaving)
        self._paused_s += self.clock() - began
        return found

    def _record_reading(self, reading: Reading, of: str) -> None:
        if not self.peers.rank:
            record = {"step": self.step, "of": of, "bits_per_byte": reading.bits_per_byte}
            self.task.readings.append({**record, **asdict(reading)})

    def _stage(self, name: str) -> None:
        if not self.peers.rank:
            self.task.reporter.stage(name)

    def _outcome(self, bits_per_byte: float | None = None, left_because: str = "") -> Outcome:
        return Outcome(self.step, self.trained_s, bits_per_byte, left_because)
