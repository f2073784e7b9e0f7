"""A job of two ranks, one on each node: steps of data-parallel training over gloo, as people write them with Ray Train.

Knows nothing of the fabric. It walks on until a file says that it may end, and from its last checkpoint after a loss.
"""

import socket
import sys
import time
from pathlib import Path
from typing import Any

import torch
from ray import train
from ray.train import RunConfig, ScalingConfig
from ray.train.torch import TorchConfig, TorchTrainer, prepare_model


def steps(settings: dict[str, Any]) -> None:
    """Take steps of one linear layer; ranks see other data, and their weights stay equal."""
    torch.manual_seed(0)
    rank = train.get_context().get_world_rank()
    model = prepare_model(torch.nn.Linear(4, 1))
    optimiser = torch.optim.SGD(model.parameters(), lr=0.1)
    kept = Path(f"{settings['end']}.pt")
    first = 1
    if kept.exists():
        saved = torch.load(kept)
        model.load_state_dict(saved["model"])
        first = saved["step"] + 1
    for step in range(first, 100_000):
        loss = (model(torch.full((8, 4), 1.0 + rank)) ** 2).mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        weights = sum(float(weight.detach().sum()) for weight in model.parameters())
        if step == first:
            print(f"RANK {rank} {socket.gethostname()} {weights:.6f} AFTER {first - 1}", flush=True)
        if rank == 0:
            torch.save({"model": model.state_dict(), "step": step}, kept.with_suffix(".part"))
            kept.with_suffix(".part").replace(kept)
        if Path(settings["end"]).exists():
            return
        time.sleep(0.2)


def main(end: str) -> None:
    """Train until the file `end` is there."""
    scaling = ScalingConfig(num_workers=2, resources_per_worker={"CPU": 1}, placement_strategy="STRICT_SPREAD")
    storage = str(Path(end).parent / "train")
    TorchTrainer(
        steps,
        train_loop_config={"end": end},
        scaling_config=scaling,
        torch_config=TorchConfig(backend="gloo"),
        run_config=RunConfig(storage_path=storage),
    ).fit()
    print("TRAINED", flush=True)


if __name__ == "__main__":
    main(sys.argv[1])
