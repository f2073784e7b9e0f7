"""The learning rate at a step.

Knows nothing of optimisers.
"""

import math

from fabric.train.settings import OptimiserSettings


def rate_share(step: int, steps: int, chosen: OptimiserSettings) -> float:
    """The rate at a step as a share of its peak.

    Args:
        step: Step about to be taken, from 0.
        steps: Steps in all.
        chosen: The schedule.
    """
    if step < chosen.warmup_steps:
        return (step + 1) / chosen.warmup_steps
    if chosen.schedule == "cosine":
        done = (step - chosen.warmup_steps) / (steps - chosen.warmup_steps)
        fall = (1 + math.cos(math.pi * done)) / 2
    else:
        fall = min(1.0, (steps - step) / max(1.0, steps * chosen.decay_share))
    return chosen.final_share + (1 - chosen.final_share) * fall
