"""Convert the packaged base model into the cache folder, a line per step; `--check` reads every byte again."""

import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from fabric.config import env
from fabric.core.errors import FabricError
from fabric.train.assets import convert_base_model
from fabric.train.manifest import verify


def main(arguments: list[str]) -> int:
    """Convert, and say how long it took; the exit status is 0, or 1 with the reason on stderr."""
    began = time.monotonic()

    def say(line: str) -> None:
        print(f"assets: {time.monotonic() - began:5.1f} s  {line}", flush=True)

    try:
        folder = convert_base_model(env.cache_folder(), say)
        if "--check" in arguments:
            verify(folder)
    except FabricError as error:
        print(f"assets: {error.message}", file=sys.stderr)
        return 1
    say(f"base model is ready in {folder}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
