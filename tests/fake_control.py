"""Control as it is, with sleeping processes for Ray nodes and without MLflow: `python -m tests.fake_control`.

Knows nothing of what is tested.
"""

import argparse
import logging
import sys
import time
from pathlib import Path

CLOCK = "clock"
"""File in the state folder with the seconds by which the clock is wrong; none where it is right."""


class FakeMlflow:
    """Nobody answers there."""

    url, port = "http://127.0.0.1:9", 9

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def start(self) -> None:
        """Nothing."""

    def end(self) -> None:
        """Nothing."""


def step_clock(file: Path) -> None:
    """Let this process's wall clock be wrong by what `file` says at each moment."""
    right = time.time

    def stepped() -> float:
        try:
            return right() + float(file.read_text())
        except (OSError, ValueError):
            return right()

    time.time = stepped


def main() -> int:
    """Be control until told to end."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--site", type=Path, required=True)
    parser.add_argument("--state", type=Path, required=True)
    given = parser.parse_args()
    # Before anything takes the right clock for itself.
    step_clock(given.state / CLOCK)
    from fabric.control.__main__ import keep
    from fabric.control.build import Outside
    from tests.fake_ray import FakeRayBackend

    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    return keep(given.site, given.state, Outside(FakeRayBackend, FakeMlflow))


if __name__ == "__main__":
    sys.exit(main())
