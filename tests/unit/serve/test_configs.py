"""The services under configs/serve are services, and bad ones are refused where they are wrong."""

from pathlib import Path
from typing import Any

import pytest

from fabric.config.load import decode, load, read_yaml
from fabric.core.errors import BadConfig
from fabric.workloads.spec import WorkloadSpec

FOLDER = Path(__file__).parents[3] / "configs" / "serve"
FILES = sorted(FOLDER.glob("*.yaml"))


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_every_file_is_a_service(file: Path) -> None:
    spec = load(WorkloadSpec, file)
    assert spec.service is not None
    assert spec.service.group in [group.name for group in spec.groups]


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_only_the_load_test_repeats_its_prompt(file: Path) -> None:
    service = load(WorkloadSpec, file).service
    assert service is not None
    assert (service.engine == "echo") == (file.stem == "echo")


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"engine": "ollama"}, "service.engine"),
        ({"max_context": 3}, "service.max_context"),
        ({"group": "nobody"}, "service.group"),
        ({"modell": "x"}, "service.modell"),
        ({"model": 5}, "service.model"),
    ],
    ids=str,
)
def test_a_wrong_service_is_refused_with_its_place(wrong: dict[str, Any], says: str) -> None:
    document = read_yaml(FOLDER / "reasoner.yaml")
    with pytest.raises(BadConfig, match=says):
        decode(WorkloadSpec, document | {"service": document["service"] | wrong}, "reasoner.yaml")
