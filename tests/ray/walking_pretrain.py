"""`apps/pretrain.py` whose every step takes most of a second until the file named by HURRY is there."""

import os
import runpy
import sys
import time
from pathlib import Path

from fabric.data import batches
from fabric.data.shards import Tokens

ROOT = Path(__file__).resolve().parents[2]
STEP_S = 0.6


class WalkingBatches(batches.LocalBatches):
    """Batches that take their time, so that a small training does not end before it has been resized."""

    def batch(self, step: int, *, rank: int = 0, world_size: int = 1) -> Tokens:
        """As it is, after a while."""
        if not Path(os.environ["HURRY"]).exists():
            time.sleep(STEP_S)
        return super().batch(step, rank=rank, world_size=world_size)


if __name__ == "__main__":
    sys.path.insert(0, str(ROOT))
    from tests.ray import walking_pretrain  # ranks find the class in its module, and not in this script

    batches.LocalBatches = walking_pretrain.WalkingBatches  # type: ignore[misc]
    runpy.run_path(str(ROOT / "apps" / "pretrain.py"), run_name="__main__")
