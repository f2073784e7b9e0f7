"""Fine-tune the base model by LoRA: python apps/finetune.py --config configs/train/finetune-demo.yaml."""

import argparse
import sys
from dataclasses import replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # so that it runs from a checkout that is not installed

from fabric.config import env
from fabric.config.load import load
from fabric.core.errors import FabricError
from fabric.sdk.report import failed, reporter, say
from fabric.train import pretrain, ray_train, tuned
from fabric.train.assets import base_model
from fabric.train.finetune import FinetuneSettings, FinetuneTask, encode
from fabric.train.manifest import verify
from fabric.train.task import folder_of, resume
from fabric.train.tasks import make_items
from fabric.workloads.states import RUN_AGAIN


def run(settings: FinetuneSettings) -> int:
    """Train, go on with training, or say that it is done already."""
    folder = folder_of(env.artifacts_uri(default=(Path.cwd() / "runs").as_uri())) / settings.output
    base = base_model(env.cache_folder(), settings.base)
    version = verify(base)["version"]
    task = FinetuneTask(settings, folder, base, version, reporter(folder))
    if (manifest := pretrain.finished(task)) is None:
        from transformers import AutoTokenizer  # seconds, which a finished run need not wait for

        items = make_items(settings.items)
        samples = encode(AutoTokenizer.from_pretrained(base), items.train)
        task = replace(task, samples=samples, start=resume(task, say))
        tuned.write_items(folder, items)
        labelled, grace_s = env.get(env.WORKLOAD) is not None, float(env.get(env.GRACE_S) or 0)
        ended = ray_train.attempt(tuned.tune, task, settings.trainers, labelled=labelled, grace_s=grace_s, say=say)
        if ended.left_because:
            say(f"left after step {ended.steps}, state saved, because {ended.left_because}; run it again to go on")
            return RUN_AGAIN
        manifest = tuned.finish(task, ended, parents=[{"name": settings.base, "version": version}])
    say(tuned.summary(manifest))
    return 0


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--config", type=Path, required=True, help="a file under configs/train/")
    parser.add_argument("--set", action="append", default=[], metavar="PATH=VALUE", help="change one setting")
    arguments = parser.parse_args()
    try:
        sys.exit(run(load(FinetuneSettings, arguments.config, arguments.set)))
    except FabricError as error:
        sys.exit(failed("finetune", error))
