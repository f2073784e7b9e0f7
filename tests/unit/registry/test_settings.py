"""What may be chosen about a registration."""

from pathlib import Path

import pytest

from fabric.config.load import decode, load
from fabric.core.errors import BadConfig
from fabric.registry.settings import RegisterSettings
from tests.architecture.tree import ROOT

GOOD = {
    "output": "demo/register",
    "name": "shakespeare",
    "model": "demo/pretrain",
    "rule": {"metric": "bits_per_byte", "better": "lower"},
}


def test_a_short_config_is_enough() -> None:
    settings = decode(RegisterSettings, GOOD, "here")
    assert (settings.alias, settings.weights, settings.evaluation, settings.rule.tolerance) == (
        "champion",
        "model",
        None,
        0.0,
    )


@pytest.mark.parametrize("file", sorted((ROOT / "configs" / "registry").glob("*.yaml")), ids=lambda file: file.name)
def test_the_shipped_configs_are_read_and_ask_for_little(file: Path) -> None:
    settings = load(RegisterSettings, file)
    assert settings.workload is not None
    (group,) = settings.workload.groups
    assert (group.tier, group.cpus, group.gpus, group.memory) == ("commodity", 1.0, 0.0, "2 GiB")
    assert str(file.relative_to(ROOT)) in settings.workload.entrypoint


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"name": "a/b"}, "is not a model name"),
        ({"name": ""}, "is not a model name"),
        ({"alias": "latest"}, "is no alias"),
        ({"alias": "v2"}, "is no alias"),
        ({"rule": {"metric": "loss", "better": "less"}}, "rule.better"),
        ({"rule": {"metric": "loss", "better": "lower", "tolerance": -0.1}}, "rule.tolerance"),
        ({"rule": {"metric": "loss", "better": "lower", "level": 0}}, "rule.level"),
        ({"rule": {"metric": "loss", "better": "lower", "margin": 1}}, "margin: unknown key"),
        ({"verify": "yes"}, "verify"),
        ({"models": "x"}, "models: unknown key. Did you mean 'model'?"),
    ],
)
def test_a_bad_config_is_refused_with_its_place(change: dict[str, object], said: str) -> None:
    with pytest.raises(BadConfig, match=said.replace("(", r"\(").replace("?", r"\?")):
        decode(RegisterSettings, {**GOOD, **change}, "here")


@pytest.mark.parametrize("missing", ["output", "name", "model", "rule"])
def test_nothing_needed_is_made_up(missing: str) -> None:
    with pytest.raises(BadConfig, match=f"{missing}: is required"):
        decode(RegisterSettings, {key: value for key, value in GOOD.items() if key != missing}, "here")
