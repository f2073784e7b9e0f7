"""Bits per byte on held-out works, every token predicted once and with at least half a context before it.

Knows nothing of training, and nothing of what a compressor reaches.

Shapes: B windows, C tokens of context, V tokens of vocabulary.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby, islice

import numpy as np
import torch
from torch.nn.functional import cross_entropy

from fabric.train.parallel import Peers
from fabric.train.samples import HeldOut
from fabric.train.windows import Window, windows


@dataclass(frozen=True, slots=True)
class Reading:
    """What reading held-out works came to."""

    nats: float
    """Surprise over all predicted tokens."""

    num_tokens: int
    """Tokens predicted."""

    num_bytes: float
    """UTF-8 bytes they stand for; for a part of a work in proportion to its tokens."""

    @property
    def bits_per_byte(self) -> float:
        """Surprise per byte, which does not depend on the tokenizer."""
        return self.nats / math.log(2) / self.num_bytes


@torch.no_grad()
def read(
    model: torch.nn.Module,
    held_out: HeldOut,
    peers: Peers,
    *,
    batch_windows: int,
    leaving: Callable[[], bool] = lambda: False,
) -> Reading | None:
    """Read all of `held_out` with the ranks sharing the windows.

    Args:
        model: A causal language model of transformers, on the device to compute on.
        held_out: The works.
        peers: The ranks, each of which calls this.
        batch_windows: Windows read at once by a rank.
        leaving: Asked before each batch; where a rank is told to leave, all give up.

    Returns:
        The reading, the same on every rank, or None if it was given up.
    """
    context: int = model.config.max_position_embeddings
    every = [w for i, work in enumerate(held_out.works) for w in windows(i, len(work.tokens), context)]
    was_training = model.training
    model.eval()
    nats, gave_up = 0.0, False
    for batch in _batches(sorted(every)[peers.rank :: peers.world], batch_windows):
        if gave_up := leaving():
            break
        nats += _surprise(model, held_out, batch)
    model.train(was_training)
    total, given_up = peers.sums([nats, float(gave_up)])
    if given_up:
        return None
    return Reading(total, sum(w.num_scored for w in every), held_out.num_bytes)


def _batches(found: Sequence[Window], size: int) -> Iterator[list[Window]]:
    for _, alike in groupby(found, key=lambda w: (w.num_inputs, w.num_scored)):
        while batch := list(islice(alike, size)):
            yield batch


def _surprise(model: torch.nn.Module, held_out: HeldOut, batch: Sequence[Window]) -> float:
    """Nats over the tokens that `batch`, windows of one shape, scores."""
    device = next(model.parameters()).device
    rows = np.stack([held_out.works[w.work].tokens[w.start : w.start + w.num_inputs + 1] for w in batch])
    tokens_BC = torch.from_numpy(rows.astype(np.int64)).to(device)
    kept = batch[0].num_scored
    logits_BCV = model(input_ids=tokens_BC[:, :-1], logits_to_keep=kept, use_cache=False).logits
    nats = cross_entropy(logits_BCV.float().flatten(0, 1), tokens_BC[:, -kept:].flatten(), reduction="sum")
    return float(nats)
