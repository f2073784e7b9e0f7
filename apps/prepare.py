"""Prepare data for training: python apps/prepare.py --config configs/data/demo.yaml."""

import argparse
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # so that it runs from a checkout that is not installed

from fabric.config import env
from fabric.config.load import load
from fabric.core.errors import FabricError
from fabric.data.files import folder_of
from fabric.data.prepare import Prepared, prepare
from fabric.data.ray_pipeline import RayEngine
from fabric.data.settings import PrepareSettings
from fabric.data.summary import summary
from fabric.sdk.report import failed, reporter


def say(line: str) -> None:
    """Print a line with the seconds since the program began."""
    print(f"[{time.perf_counter() - STARTED:6.1f} s] {line}", flush=True)


def run(settings: PrepareSettings) -> Prepared:
    """Make the data set, or find it made."""
    output = folder_of(env.artifacts_uri(default=(Path.cwd() / "runs").as_uri())) / settings.output
    prepared = prepare(settings, output, RayEngine(), reporter=reporter(output), say=say)
    say("it was there already, made by the same recipe, and every file is intact" if prepared.reused else "written")
    print(summary(prepared.manifest))
    print(f"  folder     {output}", flush=True)
    return prepared


def main() -> int:
    """Read the command line and run."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--config", type=Path, required=True, help="a file under configs/data/")
    parser.add_argument("--set", action="append", default=[], metavar="PATH=VALUE", help="change one setting")
    arguments = parser.parse_args()
    try:
        run(load(PrepareSettings, arguments.config, arguments.set))
    except FabricError as error:
        return failed("prepare", error)
    return 0


if __name__ == "__main__":
    STARTED = time.perf_counter()
    sys.exit(main())
