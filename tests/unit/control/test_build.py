"""How the parts of control are opened."""

from pathlib import Path

from fabric.config.projects import Project, Share
from fabric.config.windows import Window
from fabric.control.build import loop_settings, open_packages
from fabric.scheduler.policy import Policy
from fabric.store.packages import TEMPORARY
from tests.builders import tiny_site


def test_uploads_that_ended_with_an_earlier_control_are_swept(tmp_path: Path) -> None:
    half = tmp_path / "packages" / f"{TEMPORARY}half"
    half.parent.mkdir()
    half.write_bytes(b"PK")
    open_packages(tiny_site(), tmp_path)
    assert not half.exists()


def test_the_loop_is_told_what_the_site_file_says() -> None:
    assert loop_settings(tiny_site()).policy == Policy()
    window = Window(name="w", nodes=("gpu-0",), starts="2026-12-02T08:00:00+01:00", ends="2026-12-02T12:00:00+01:00")
    projects = (Project(name="physics", limit={"gpu": Share(gpus=1.0)}),)
    site = tiny_site(policy={"protect": "all"}, projects=projects, windows=(window,), grace_s=3.0, overhead_s=7.0)
    told = loop_settings(site)
    assert told.policy == Policy(protect="all")
    assert (told.windows, told.grace_s, told.overhead_s) == ((window,), 3.0, 7.0)
    assert told.tree.projects == projects
