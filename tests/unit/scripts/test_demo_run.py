"""The demo's stages as they are handed in: on a laptop as their configs say, on the rig as its nodes allow."""

from pathlib import Path

from fabric.config.load import load, read_yaml
from fabric.config.site import Site
from fabric.control.render import rendered
from fabric.core.quantity import Bytes
from scripts.demo_run import STAGES, Room, room_of, spec_of
from scripts.rigging.layout import ROOT

SITES = ROOT / "configs" / "sites"


def site(name: str) -> Site:
    return load(Site, SITES / f"{name}.yaml")


def cores(of: Site) -> float:
    return max(tier.capacity.cpus for tier in of.tiers if tier.name == "gpu")


def test_services_share_a_node_of_two_cores_and_wait_for_the_stages() -> None:
    assert room_of(cores(site("laptop"))) == Room(2.0, beside_stages=True)
    assert room_of(cores(site("rig"))) == Room(1.0, beside_stages=False)


def test_a_model_is_judged_with_as_many_threads_as_it_is_served_with() -> None:
    (judged,) = [stage for stage in STAGES if stage.name == "evaluate-finetuned"]
    section = read_yaml(ROOT / judged.config)["workload"]
    assert spec_of(judged).entrypoint == section["entrypoint"]
    slow = spec_of(judged, 1.0)
    assert slow.entrypoint == f"{section['entrypoint']} --set threads=1"
    assert (slow.entrypoint_cpus, [group.cpus for group in slow.groups]) == (1.0, [1.0])
    assert all(spec_of(stage, 1.0) == spec_of(stage) for stage in STAGES if "evaluate" not in stage.name)


def test_every_stage_fits_on_the_empty_rig_with_memory_for_the_ray_that_is_in_its_pods() -> None:
    rig = site("rig")
    least = Bytes.of(rig.defaults.memory)
    for stage in STAGES:
        spec = spec_of(stage, room_of(cores(rig)).cpus)
        assert f"# Workload {stage.name} on site rig" in rendered(rig, spec)
        if len(spec.groups) == 1 and spec.groups[0].tier == "commodity":
            assert Bytes.of(spec.groups[0].memory) >= least, f"{stage.name} is its own head"


def test_stages_name_configs_that_are_there() -> None:
    assert all(Path(ROOT / stage.config).is_file() for stage in STAGES)
