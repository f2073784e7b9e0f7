"""How ranks agree: sums over all of them, and a model whose gradients are averaged.

Knows nothing of what is summed, nor of who started the ranks.
"""

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Protocol

import torch
from torch import distributed
from torch.nn.parallel import DistributedDataParallel


class Peers(Protocol):
    """The ranks of a run, seen from one of them; every method is called equally often by all."""

    rank: int
    """This one, from 0."""

    world: int
    """How many there are."""

    def sums(self, values: Sequence[float]) -> list[float]:
        """Each value summed over all ranks."""
        ...

    def join(self, part: torch.Tensor) -> torch.Tensor:
        """The parts of all ranks, which have one size, along the first dimension in the order of ranks."""
        ...

    def spread(self, model: torch.nn.Module) -> torch.nn.Module:
        """A model whose backward averages gradients over all ranks."""
        ...

    def keep_local(self, model: torch.nn.Module) -> AbstractContextManager[None]:
        """A block in which backward only adds up gradients of this rank."""
        ...


class Alone:
    """One rank and no other."""

    rank = 0
    world = 1

    def sums(self, values: Sequence[float]) -> list[float]:
        """The values."""
        return list(values)

    def join(self, part: torch.Tensor) -> torch.Tensor:
        """The part."""
        return part

    def spread(self, model: torch.nn.Module) -> torch.nn.Module:
        """The model."""
        return model

    def keep_local(self, model: torch.nn.Module) -> AbstractContextManager[None]:
        """Nothing to keep from anyone."""
        return nullcontext()


class Distributed:
    """The ranks of torch's default process group, which somebody has started."""

    def __init__(self, device: torch.device) -> None:
        self.rank = distributed.get_rank()
        self.world = distributed.get_world_size()
        self._device = device

    def sums(self, values: Sequence[float]) -> list[float]:
        """Each value summed over all ranks; waits for them."""
        tensor = torch.tensor(values, dtype=torch.float64, device=self._device)
        distributed.all_reduce(tensor)
        summed: list[float] = tensor.tolist()
        return summed

    def join(self, part: torch.Tensor) -> torch.Tensor:
        """The parts of all ranks; waits for them."""
        whole = part.new_empty((self.world * part.size(0), *part.shape[1:]))
        distributed.all_gather(list(whole.chunk(self.world)), part.contiguous())
        return whole

    def spread(self, model: torch.nn.Module) -> torch.nn.Module:
        """The model in DistributedDataParallel."""
        devices = [self._device.index] if self._device.type == "cuda" else None
        return DistributedDataParallel(model, device_ids=devices, gradient_as_bucket_view=True)

    def keep_local(self, model: torch.nn.Module) -> AbstractContextManager[None]:
        """DistributedDataParallel's block without exchange."""
        local: AbstractContextManager[None] = model.no_sync()
        return local


def peers_on(device: torch.device) -> Peers:
    """The ranks of the process group if one was started, else this process alone."""
    if distributed.is_available() and distributed.is_initialized() and distributed.get_world_size() > 1:
        return Distributed(device)
    return Alone()
