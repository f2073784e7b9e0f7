"""A site file names its policy or holds it, and is refused by place."""

from pathlib import Path

import pytest

from fabric.config.load import decode, load
from fabric.config.site import Site
from fabric.config.site_file import load_site, merged, policy_of
from fabric.core.errors import BadConfig
from fabric.scheduler.policy import Policy
from tests.architecture.tree import ROOT

SITE = """
name: lab
tiers:
  - {name: commodity, nodes: 2, heads: true, capacity: {cpus: 4, memory: 6 GiB}}
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name, text in (("sites/own.yaml", "protect: 2"), ("policies/all.yaml", "protect: all\nmax_passed: null")):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    return tmp_path


def written(folder: Path, policy: str) -> Path:
    file = folder / "sites" / "lab.yaml"
    file.write_text(f"{SITE}{policy}\n")
    return file


@pytest.mark.parametrize(
    ("policy", "sets", "found"),
    [
        ("", [], Policy()),
        ("policy: own.yaml", [], Policy(protect=2)),
        ("policy: policies/all.yaml", [], Policy(protect="all", max_passed=None)),
        ("policy: {protect: 3, backfill: shortest}", [], Policy(protect=3, backfill="shortest")),
        ("policy: policies/all.yaml", ["policy.protect=4"], Policy(protect=4, max_passed=None)),
        ("", ["policy.order=sjf"], Policy(order="sjf")),
        ("", ["policy=own.yaml"], Policy(protect=2)),
    ],
)
def test_the_policy_of_a_site_is_a_file_or_its_keys(folder: Path, policy: str, sets: list[str], found: Policy) -> None:
    site = load_site(written(folder, policy), sets, policy=Policy)
    assert policy_of(site, Policy) == found
    # What was read can be written elsewhere and means the same there.
    assert policy_of(decode(Site, site.model_dump(mode="json"), "copy"), Policy) == found


@pytest.mark.parametrize(
    ("policy", "message"),
    [
        ("policy: none.yaml", r"lab\.yaml: policy: there is no file .*sites/none\.yaml or .*/none\.yaml"),
        ("policy: {protects: 1}", r"lab\.yaml: policy: protects: unknown key\. Did you mean 'protect'\?"),
        ("policy: {protect: -1}", "policy: top level: protect is a number from 0 or `all`, not -1"),
        ("policy: {backfill: on}", "policy: backfill: Input should be 'fcfs', 'shortest', 'smallest' or 'off'"),
        ("policy: [easy]", "policy"),
        ("policy: 7", "policy"),
        ("policy: ../sites/lab.yaml", "unknown key"),
    ],
)
def test_a_policy_that_is_none_is_refused_by_place(folder: Path, policy: str, message: str) -> None:
    with pytest.raises(BadConfig, match=message):
        load_site(written(folder, policy), policy=Policy)


def test_a_site_whose_policy_file_was_not_read_is_refused(folder: Path) -> None:
    with pytest.raises(BadConfig, match="read the site with `load_site`"):
        policy_of(load(Site, written(folder, "policy: own.yaml")), Policy)


@pytest.mark.parametrize("file", sorted((ROOT / "configs" / "sites").glob("*.yaml")), ids=lambda file: file.name)
def test_the_policies_of_our_sites_can_be_read(file: Path) -> None:
    assert isinstance(policy_of(load_site(file, policy=Policy), Policy), Policy)


def test_of_a_file_that_is_read_again_only_what_may_change_holds(folder: Path) -> None:
    present = load_site(written(folder, "overhead_s: 1.0"), policy=Policy)
    read = load_site(written(folder, "policy: {protect: 2}\ngrace_s: 3.0"), policy=Policy)
    assert merged(present, present) == (present, (), ())
    site, changed, waiting = merged(present, read)
    assert (changed, waiting) == (("policy", "overhead_s"), ("grace_s",))
    assert (site.policy, site.overhead_s, site.grace_s) == ({"protect": 2}, read.overhead_s, present.grace_s)
