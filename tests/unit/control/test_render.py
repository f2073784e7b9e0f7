"""What would be applied to Kubernetes is a function of the site file and the workload."""

from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner

from fabric.cli.main import app
from fabric.config.load import load
from fabric.config.site import Site
from fabric.control.render import rendered
from fabric.core.errors import BadInput, DoesNotFit
from fabric.workloads.spec import Group
from tests.architecture.tree import ROOT
from tests.builders import group, job

SITES = ROOT / "configs" / "sites"


def site(name: str) -> Site:
    return load(Site, SITES / f"{name}.yaml")


def trainers(count: int, memory: str = "1 GiB") -> Group:
    return group("trainers", count, "gpu", gpus=1.0, memory=memory)


def test_a_gang_on_the_rig_is_rendered_from_its_site_file(golden: Callable[[str, str], None]) -> None:
    golden("kuberay/rendered.txt", rendered(site("rig"), job("train", "python train.py", trainers(2))))


def test_what_could_never_run_and_what_has_no_name_are_refused() -> None:
    with pytest.raises(DoesNotFit):
        rendered(site("rig"), job("train", "true", trainers(2, memory="100 GiB")))
    with pytest.raises(BadInput, match="the workload has no `name`"):
        rendered(site("rig"), job("train").model_copy(update={"name": None}))
    with pytest.raises(BadInput, match="site laptop is not for Kubernetes"):
        rendered(site("laptop"), job("train"))


@pytest.mark.slow
def test_the_command_passes_on_what_is_wrong_in_one_line(tmp_path: Path) -> None:
    spec = tmp_path / "w.yaml"
    spec.write_text("name: w\nentrypoint: 'true'\ngroups: [{name: g, count: 1, tier: tape}]\n")
    said = CliRunner().invoke(app, ["render", "--site", str(SITES / "rig.yaml"), "--workload", str(spec)])
    assert said.exit_code == 2
    assert said.stderr == "error: w: group g wants tier 'tape', but the site has commodity, gpu.\n"
