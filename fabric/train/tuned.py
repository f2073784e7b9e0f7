"""What comes before the first and after the last step of fine-tuning: items on disk, and the sealed output.

Knows nothing of Ray or torch, and computes nothing.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Protocol

from fabric.config import env
from fabric.core.errors import Corrupt
from fabric.train.finetune import Ended, FinetuneTask
from fabric.train.manifest import full_disk, seal, unreadable, write_atomically
from fabric.train.report import duration
from fabric.train.task import LOSSES, MODEL, Notices
from fabric.train.tasks import Item, ItemSets

ADAPTER = "adapter"
"""Folder, of the output and of each checkpoint, with the low-rank pairs in peft's format."""
ITEMS = "items"
"""Folder of the output with the items learned from and the held-out ones."""


class Place(Protocol):
    """One rank's place in a running job."""

    @property
    def peers(self) -> Any:
        """This rank and the others, `fabric.train.parallel.Peers`."""
        ...

    @property
    def device(self) -> Any:
        """Where to compute, a `torch.device`."""
        ...

    @property
    def notices(self) -> Notices:
        """Whether to save and leave."""
        ...


def tune(task: FinetuneTask, place: Place) -> Ended:
    """The work of one rank, from the task's start to its end or to a notice.

    Raises:
        StorageFull: If the disk has no room; the last checkpoint is intact.
        Corrupt: If the base model cannot be read.
    """
    from fabric.train.lora import Tuner  # torch, which whoever starts a run can do without

    return Tuner(task, place.peers, place.device, notices=place.notices).run()


def write_items(folder: Path, items: ItemSets) -> None:
    """Write `items/train.jsonl` and `items/held_out.jsonl` below an output folder.

    Raises:
        StorageFull: If the disk has no room.
        OSError: If it refuses for another reason.
    """
    try:
        (folder / ITEMS).mkdir(parents=True, exist_ok=True)
        for name, part in (("train", items.train), ("held_out", items.held_out)):
            lines = [json.dumps(asdict(item), default=str) + "\n" for item in part]
            write_atomically(folder / ITEMS / f"{name}.jsonl", "".join(lines))
    except OSError as error:
        raise full_disk(error, folder, "the items") or error from error


def read_items(folder: Path) -> ItemSets:
    """The items that `write_items` left below an output folder.

    Raises:
        Corrupt: If a file is missing or holds something else.
        Unavailable: If one cannot be read at the moment.
    """
    return ItemSets(_read(folder / ITEMS / "train.jsonl"), _read(folder / ITEMS / "held_out.jsonl"))


def _read(path: Path) -> tuple[Item, ...]:
    try:
        return tuple(Item(**json.loads(line)) for line in path.read_text(encoding="utf-8").splitlines())
    except (FileNotFoundError, ValueError, TypeError) as error:
        raise Corrupt(f"{path}: cannot be read: {error}. Run the finetune stage again.", path=str(path)) from None
    except OSError as error:
        refused = unreadable(path, error)
        raise refused from None


def finish(task: FinetuneTask, ended: Ended, *, parents: Sequence[Mapping[str, str]]) -> dict[str, Any]:
    """Seal the output: merged model, pairs, items and losses, the manifest last.

    Args:
        task: The run.
        ended: How it ended; it must have run to the end.
        parents: Name and version of what it was made from.

    Raises:
        StorageFull: If the disk has no room; the checkpoints are intact, so running again ends the work.
        OSError: If it refuses for another reason.
    """
    folder = task.folder
    parts = [path for name in (MODEL, ADAPTER, ITEMS) for path in (folder / name).rglob("*") if path.is_file()]
    head = {
        "kind": "model",
        "name": task.settings.output,
        "config": task.settings.model_dump(mode="json"),
        "run": task.run,
        "parents": [dict(parent) for parent in parents],
        "metrics": metrics(task, ended),
        "revision": env.get(env.REVISION),
        "note": task.settings.short,
    }
    try:
        return seal(folder, head, iter([*(str(path.relative_to(folder)) for path in parts), LOSSES]))
    except OSError as error:
        raise full_disk(error, folder, "the tuned model") or error from error


def metrics(task: FinetuneTask, ended: Ended) -> dict[str, float | None]:
    """What was measured: items, tokens, seconds of steps alone, loss per answer token, and how exact the merge is."""
    losses = [record["loss"] for record in task.losses.records()]
    tenth = max(1, len(losses) // 10)
    return {
        "num_items": task.settings.num_items,
        "num_steps": ended.steps,
        "num_tokens": ended.tokens,
        "trained_s": round(ended.trained_s, 1),
        "tokens_per_s": round(ended.tokens / ended.trained_s, 1) if ended.trained_s else None,
        "first_loss": sum(losses[:tenth]) / tenth if losses else None,
        "last_loss": sum(losses[-tenth:]) / tenth if losses else None,
        "merge_max_logit_difference": ended.merge_difference,
    }


def summary(manifest: Mapping[str, Any]) -> str:
    """A finished run in a few lines for a person."""
    found = manifest["metrics"]
    lines = [
        f"{manifest['name']}: {found['num_tokens']:,} tokens of {found['num_items']} items in "
        f"{duration(found['trained_s'])} of training, {found['tokens_per_s'] or 0:,.0f} tokens/s; "
        f"version {manifest['version']}",
        f"loss per answer token {found['first_loss']:.3f} -> {found['last_loss']:.3f}; merged weights differ from "
        f"weights with pairs by at most {found['merge_max_logit_difference']:.1e} in a logit",
    ]
    return "\n".join([*lines, manifest["note"]] if manifest["note"] else lines)
