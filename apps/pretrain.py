"""Pre-train a decoder on a prepared data set: python apps/pretrain.py --config configs/train/pretrain-demo.yaml."""

import argparse
import sys
from dataclasses import replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # so that it runs from a checkout that is not installed

from fabric.config import env
from fabric.config.load import load
from fabric.core.errors import FabricError
from fabric.data.batches import BatchSource, LocalBatches
from fabric.data.ray_pipeline import start_data_workers
from fabric.data.shards import open_dataset
from fabric.sdk.report import failed, reporter, say
from fabric.train import pretrain, ray_train
from fabric.train.samples import HeldOut, Work
from fabric.train.settings import ModelSettings, PretrainSettings
from fabric.train.task import Task, check_vocabulary, folder_of, resume
from fabric.workloads.states import RUN_AGAIN


def run(settings: PretrainSettings) -> int:
    """Train, go on with training, or say that it is done already."""
    root = folder_of(env.artifacts_uri(default=(Path.cwd() / "runs").as_uri()))
    shape, data = load(ModelSettings, Path(settings.model)), open_dataset(root / settings.data)
    check_vocabulary(shape, data.vocab_size)
    stream, folder = data.stream("held_out"), root / settings.output
    texts = [(text, stream.read(text.start, text.tokens)) for text in data.manifest.splits["held_out"].documents]
    held_out = HeldOut(tuple(Work(text.name, tokens, text.bytes) for text, tokens in texts), data.xz_bits_per_byte)
    source = BatchSource(data.folder, shape.context_tokens, settings.batch.rows, settings.seed, data.version)
    task = Task(settings, shape, folder, LocalBatches(source), held_out, reporter(folder), data.version)
    if (manifest := pretrain.finished(task)) is None:
        labelled, feeders = env.get(env.WORKLOAD) is not None, settings.feeders
        task = replace(task, start=resume(task, say))
        ray_train.connect()
        if feeders.count:
            group = feeders.group if labelled else None
            task = replace(task, source=start_data_workers(source, count=feeders.count, cpus=feeders.cpus, group=group))
        outcome = ray_train.pretrain(task, labelled=labelled, grace_s=float(env.get(env.GRACE_S) or 0), say=say)
        if outcome.left_because:
            say(f"left after step {outcome.steps}, state saved, because {outcome.left_because}; run it again to go on")
            return RUN_AGAIN
        manifest = pretrain.finish(task, outcome, data=settings.data, tokenizer=data.tokenizer_folder)
    say(pretrain.summary(manifest))
    return 0


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--config", type=Path, required=True, help="a file under configs/train/")
    parser.add_argument("--set", action="append", default=[], metavar="PATH=VALUE", help="change one setting")
    arguments = parser.parse_args()
    try:
        sys.exit(run(load(PretrainSettings, arguments.config, arguments.set)))
    except FabricError as error:
        sys.exit(failed("pretrain", error))
