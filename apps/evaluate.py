"""Judge the trained models on what is held out: python apps/evaluate.py --config configs/evaluate/full.yaml."""

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # so that it runs from a checkout that is not installed

from fabric.config import env
from fabric.config.load import load
from fabric.core.errors import FabricError
from fabric.data.shards import open_dataset
from fabric.sdk.report import failed, reporter, say
from fabric.serve.engines.settings import EngineSettings
from fabric.serve.offline import OfflineEngines
from fabric.train.evaluate import EvaluateSettings
from fabric.train.judge import Stage, Works, evaluate
from fabric.train.samples import HeldOut, Work
from fabric.train.task import folder_of


def held_out_works(folder: Path) -> Works:
    """The works that no training sample is from."""
    data = open_dataset(folder)
    stream, documents = data.stream("held_out"), data.manifest.splits["held_out"].documents
    works = tuple(Work(text.name, stream.read(text.start, text.tokens), text.bytes) for text in documents)
    return Works(HeldOut(works, data.xz_bits_per_byte), data.version)


def run(settings: EvaluateSettings) -> None:
    """Judge, or say that it is done already."""
    root = folder_of(env.artifacts_uri(default=(Path.cwd() / "runs").as_uri()))
    works = held_out_works(root / settings.data) if settings.data else None
    engines = OfflineEngines(settings.engine, EngineSettings(max_context=settings.max_context))
    report = reporter(root / settings.output)
    evaluate(Stage(settings, root, env.cache_folder(), engines, report, say), works)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--config", type=Path, required=True, help="a file under configs/evaluate/")
    parser.add_argument("--set", action="append", default=[], metavar="PATH=VALUE", help="change one setting")
    arguments = parser.parse_args()
    try:
        run(load(EvaluateSettings, arguments.config, arguments.set))
    except FabricError as error:
        sys.exit(failed("evaluate", error))
