"""The loss curve as a picture.

Knows nothing of how the numbers came about.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")

from matplotlib.figure import Figure


def smoothed(values: Sequence[float], over: int) -> list[float]:
    """The mean of each value and up to `over - 1` before it."""
    total, means = 0.0, []
    for i, value in enumerate(values):
        total += value - (values[i - over] if i >= over else 0.0)
        means.append(total / min(i + 1, over))
    return means


def draw(
    losses: Sequence[Mapping[str, Any]],
    readings: Sequence[Mapping[str, Any]],
    path: Path,
    *,
    title: str,
    xz_bits_per_byte: float | None = None,
) -> None:
    """Draw the training loss, and below it the held-out bits per byte, over tokens.

    Args:
        losses: Records with `tokens` and `loss` in nats per token.
        readings: Records with `step`, `of` and `bits_per_byte`.
        path: The picture to write; its ending names the format.
        title: What is above it.
        xz_bits_per_byte: A line to compare with.

    Raises:
        OSError: If the disk refuses.
    """
    figure = Figure(figsize=(8, 7), layout="constrained")
    above, below = figure.subplots(2, 1, sharex=True)
    tokens = [record["tokens"] / 1e6 for record in losses]
    nats = [record["loss"] for record in losses]
    above.plot(tokens, nats, color="0.8", linewidth=0.8, label="each step")
    above.plot(tokens, smoothed(nats, max(1, len(nats) // 50)), color="C0", label="mean of the last steps")
    above.set(ylabel="training loss, nats per token", title=title)
    above.legend()
    per_step = tokens[-1] / losses[-1]["step"] if losses else 0.0
    for of, style in (("subset", "o-"), ("all", "D")):
        chosen = [record for record in readings if record["of"] == of]
        points = [record["step"] * per_step for record in chosen]
        below.plot(points, [record["bits_per_byte"] for record in chosen], style, label=f"held-out works: {of}")
    if xz_bits_per_byte is not None:
        below.axhline(xz_bits_per_byte, color="C3", linestyle="--", label="xz -9e on the same works")
    below.set(xlabel="million tokens", ylabel="bits per byte")
    below.legend()
    figure.savefig(path)
