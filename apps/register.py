"""Register a model and move its alias by rule: python apps/register.py --config configs/registry/pretrained.yaml."""

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # so that it runs from a checkout that is not installed

import stamina

from fabric.config import env
from fabric.config.load import load
from fabric.core.errors import FabricError, Unavailable
from fabric.registry.settings import RegisterSettings
from fabric.sdk.report import failed, reporter
from fabric.store.files import artifact_root
from fabric.store.mlflow_registry import mlflow_at
from fabric.store.registration import register

PATIENCE_S = 300.0  # MLflow's server takes half a minute to start on a busy machine, and longer beside training


def run(settings: RegisterSettings) -> None:
    """Register, and say what was decided."""
    root = artifact_root(env.artifacts_uri(default=(Path.cwd() / "runs").as_uri()))
    tell = reporter(root / settings.output)
    tell.stage("register")
    models = mlflow_at(env.get(env.MLFLOW) or f"sqlite:///{root / 'mlflow.db'}", env.get(env.TOKEN))
    # Registering goes on where it was cut off, so doing all of it again is right.
    for attempt in stamina.retry_context(on=Unavailable, attempts=None, timeout=PATIENCE_S, wait_max=5.0):
        with attempt:
            done = register(settings, root, models)
    tell.progress(1, 1, "models", version=done.version.version, moved=float(done.verdict.moves))
    print(done.summary)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--config", type=Path, required=True, help="a file under configs/registry/")
    parser.add_argument("--set", action="append", default=[], metavar="PATH=VALUE", help="change one setting")
    arguments = parser.parse_args()
    try:
        run(load(RegisterSettings, arguments.config, arguments.set))
    except FabricError as error:
        sys.exit(failed("register", error))
