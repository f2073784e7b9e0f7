"""The benchmark's file and the site it describes."""

from pathlib import Path

import pytest

from fabric.config.load import load
from fabric.core.errors import BadConfig
from fabric.core.resources import Resources
from fabric.core.topology import Place
from fabric.simulator.hti.settings import HtiSettings
from fabric.simulator.hti.site import nodes, speeds
from tests.unit.simulator.hti.conftest import ROOT

FILE = ROOT / "configs" / "simulate" / "hti-14.yaml"


def test_the_site_is_the_one_of_the_definition(settings: HtiSettings) -> None:
    found = nodes(settings)
    count = {tier: sum(node.tier == tier for node in found) for tier in ("gpu", "older", "cpu")}
    assert count == {"gpu": 64, "older": 8, "cpu": 96}
    by_name = {node.name: node for node in found}
    assert by_name["gpu-15"].place == Place(group="gpu-d0")
    assert by_name["gpu-16"].place == Place(group="gpu-d1")
    assert len({node.place for node in found if node.tier == "gpu"}) == 4
    assert by_name["older-0"].capacity == Resources.of(64, 8, "512 GiB")
    assert sum(node.capacity.cpus.whole() for node in found if node.tier == "cpu") == 96 * 64
    assert speeds(settings) == {"gpu": 1.0, "older": 0.4}


def test_derived_amounts_are_those_of_the_definition(settings: HtiSettings) -> None:
    assert settings.reference_gpus == pytest.approx(64 * 4 + 0.4 * 64)
    assert settings.peak_gpus == 102 <= 0.4 * 256
    assert settings.duration_s == 14 * 86400
    assert settings.loads == (0.85, 0.95, 1.05)


@pytest.mark.parametrize(
    ("sets", "said"),
    [
        (["gpu.groups=5"], "64 nodes of tier gpu do not spread evenly over 5 groups"),
        (["gpu.memory=lots"], "'lots' is not a size"),
        (["older.speed=1.5"], "older.speed"),
        (["older.tier=gpu"], "tiers need different names"),
        (["peak_share=0.5"], "the services' peaks need 102 GPUs together"),
        (["peak_share=0.3"], "the services' peaks need 102 GPUs together"),
        (["gpu.gpus=2"], "a replica of 4 GPUs fits on no node of tier gpu (2)"),
        (["plan_ttft_s=2.5"], "plan_ttft_s (2.5) must not be above slo_ttft_s (2)"),
        (["training.walltimes_s=[3600.0, 60.0]"], "walltimes_s must be positive and rise"),
        (["training.scaling=[]"], "training.scaling"),
        (["training.elastic_share=1.2"], "training.elastic_share"),
        (["days=15"], "days"),
        (["days=true"], "days"),
        (["cpu_work.lod=0.7"], "Did you mean 'load'"),
        (["staging.checkpoint_period_s=0"], "staging.checkpoint_period_s"),
    ],
)
def test_a_benchmark_that_cannot_be_is_refused_with_the_place(sets: list[str], said: str) -> None:
    with pytest.raises(BadConfig) as caught:
        load(HtiSettings, FILE, sets)
    assert said in str(caught.value)


def test_a_service_with_the_trace_of_another_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "hti.yaml"
    file.write_text(FILE.read_text().replace("sizes: mooncake", "sizes: telepathy"))
    with pytest.raises(BadConfig, match=r"services\.2\.sizes"):
        load(HtiSettings, file)
