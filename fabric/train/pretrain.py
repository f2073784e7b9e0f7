"""What comes after the last step: the model's folder, the curve and the manifest; and recognising that it is all there.

Knows nothing of Ray, and computes nothing.
"""

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fabric.config import env
from fabric.core.errors import Conflict, Corrupt
from fabric.train.curve import draw
from fabric.train.manifest import MANIFEST, full_disk, seal, verify
from fabric.train.report import duration
from fabric.train.task import LOSSES, MODEL, READINGS, Outcome, Resumable, Task

CURVE = "losses.png"
"""The loss curve."""


def finished(task: Resumable) -> dict[str, Any] | None:
    """The manifest of the run if it has already ended well with the same settings.

    Raises:
        Conflict: If a run with other settings ended here.
        Corrupt: If one ended here and its files were damaged since.
        Unavailable: If one cannot be read at the moment.
    """
    if not (task.folder / MANIFEST).exists():
        return None
    try:
        manifest = verify(task.folder)
    except Corrupt as error:
        raise Corrupt(
            f"{error.message}. Remove {task.folder / MANIFEST} to make it again.", path=str(task.folder)
        ) from None
    different = sorted(key for key in task.run if manifest["run"].get(key) != task.run[key])
    if different:
        raise Conflict(
            f"{task.folder} holds a finished run with other settings ({', '.join(different)}). "
            f"Choose another `output`, or remove the folder.",
            path=str(task.folder),
        )
    return manifest


def finish(
    task: Task,
    outcome: Outcome,
    *,
    data: str,
    tokenizer: Path,
) -> dict[str, Any]:
    """Leave what the next stages read: `model/` with tokenizer, curve, and the manifest last.

    Args:
        task: The run.
        outcome: How it ended; it must have run to the end.
        data: Name of what was learned from.
        tokenizer: Folder whose files go beside the weights.

    Raises:
        StorageFull: If the disk has no room; the checkpoints are intact, so running again ends the work.
        Corrupt: If the last checkpoint was damaged.
    """
    try:
        _copy_model(task, tokenizer)
        title = f"{task.settings.output}: {_num_tokens(task, outcome):,} tokens"
        draw(
            task.losses.records(),
            task.readings.records(),
            task.folder / CURVE,
            title=title,
            xz_bits_per_byte=task.held_out.xz_bits_per_byte,
        )
        names = [f"{MODEL}/{path.name}" for path in (task.folder / MODEL).iterdir()]
        head = {
            "kind": "model",
            "name": task.settings.output,
            "config": task.settings.model_dump(mode="json"),
            "run": task.run,
            "parents": [{"name": data, "version": task.data_version}],
            "metrics": metrics(task, outcome),
            "revision": env.get(env.REVISION),
            "note": task.settings.short,
        }
        return seal(task.folder, head, iter([*names, LOSSES, READINGS, CURVE]))
    except OSError as error:
        raise full_disk(error, task.folder, "the trained model") or error from error


def metrics(task: Task, outcome: Outcome) -> dict[str, float | None]:
    """What was measured: parameters, tokens, seconds of steps alone, and bits per byte of model and of xz."""
    tokens = _num_tokens(task, outcome)
    return {
        "num_params": task.shape.num_params,
        "num_tokens": tokens,
        "trained_s": round(outcome.trained_s, 1),
        "tokens_per_s": round(tokens / outcome.trained_s, 1) if outcome.trained_s else None,
        "bits_per_byte": outcome.bits_per_byte,
        "xz_bits_per_byte": task.held_out.xz_bits_per_byte,
    }


def summary(manifest: Mapping[str, Any]) -> str:
    """A finished run in a few lines for a person."""
    found = manifest["metrics"]
    lines = [
        f"{manifest['name']}: {found['num_params'] / 1e6:.2f} M parameters, {found['num_tokens']:,} tokens in "
        f"{duration(found['trained_s'])} of training, {found['tokens_per_s'] or 0:,.0f} tokens/s; "
        f"version {manifest['version']}"
    ]
    if found["bits_per_byte"] is not None:
        xz = found["xz_bits_per_byte"]
        against = f" (xz -9e: {xz:.3f})" if xz is not None else ""
        lines.append(f"held-out works: {found['bits_per_byte']:.3f} bits per byte{against}")
    return "\n".join([*lines, manifest["note"]] if manifest["note"] else lines)


def _num_tokens(task: Task, outcome: Outcome) -> int:
    return outcome.steps * task.settings.batch.rows * task.shape.context_tokens


def _copy_model(task: Task, tokenizer: Path) -> None:
    found = task.checkpoints.newest().checkpoint
    if found is None or found.step < task.settings.steps:
        raise Corrupt(
            f"{task.folder}: the last checkpoint is gone or damaged. Run it again to train the last steps anew."
        )
    target = task.folder / MODEL
    partial = target.with_name(f".{MODEL}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    shutil.copytree(found.path / MODEL, partial)
    for path in tokenizer.iterdir():
        if path.is_file():
            shutil.copy2(path, partial / path.name)
    shutil.rmtree(target, ignore_errors=True)
    partial.rename(target)
