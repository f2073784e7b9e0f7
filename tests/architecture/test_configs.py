"""Every file under configs/ is decoded by the settings class that reads it."""

import importlib
from collections.abc import Mapping
from pathlib import Path

import pytest

from fabric.config.load import load
from fabric.config.settings import Settings
from tests.architecture.tree import ROOT

CONFIGS = ROOT / "configs"

READERS: Mapping[str, str] = {
    "data/*.yaml": "fabric.data.settings:PrepareSettings",
    "evaluate/*.yaml": "fabric.train.evaluate:EvaluateSettings",
    "models/*.yaml": "fabric.train.settings:ModelSettings",
    "policies/*.yaml": "fabric.scheduler.policy:Policy",
    "registry/*.yaml": "fabric.registry.settings:RegisterSettings",
    "serve/*.yaml": "fabric.workloads.spec:WorkloadSpec",
    "simulate/*-day.yaml": "fabric.simulator.scenario:Scenario",
    "simulate/hti-*.yaml": "fabric.simulator.hti.settings:HtiSettings",
    "sites/*.yaml": "fabric.config.site:Site",
    "train/finetune-*.yaml": "fabric.train.finetune:FinetuneSettings",
    "train/pretrain-*.yaml": "fabric.train.settings:PretrainSettings",
}
"""Which class reads which files; every file matches exactly one line."""


def _files() -> list[Path]:
    files = (file.relative_to(CONFIGS) for file in CONFIGS.rglob("*") if file.is_file())
    return sorted(file for file in files if file.suffix != ".md")


def _class(named: str) -> type[Settings]:
    module, _, name = named.partition(":")
    found: type[Settings] = getattr(importlib.import_module(module), name)
    return found


@pytest.mark.parametrize("file", _files(), ids=str)
def test_every_config_is_read_by_its_class(file: Path) -> None:
    readers = [reader for pattern, reader in READERS.items() if file.match(pattern)]
    assert len(readers) == 1, f"configs/{file} needs exactly one line in READERS of {Path(__file__).relative_to(ROOT)}"
    load(_class(readers[0]), CONFIGS / file)


@pytest.mark.parametrize("reader", READERS.values())
def test_every_class_of_the_table_exists(reader: str) -> None:
    assert issubclass(_class(reader), Settings)
