"""People see what slices keep in memory: of what is held, or of where it might run."""

from typing import Any

from fabric.config.memory import Ram
from fabric.config.site import Capacity, Head, Site, Tier
from fabric.control.bills import bills_of
from fabric.core.resources import Resources
from fabric.workloads.record import Grant, Slice
from fabric.workloads.spec import Group, WorkloadSpec
from fabric.workloads.states import State
from tests.builders import record
from tests.unit.control.world import World

GIB = 2**30
ALPS = Tier(
    name="alps", nodes=2, capacity=Capacity(cpus=288.0, gpus=4.0, memory="480 GiB"), diskless=True,
    ram=Ram(image="14 GiB"),
)  # fmt: skip
VMS = Tier(name="vms", nodes=2, capacity=Capacity(cpus=32.0, memory="64 GiB"), heads=True)
SITE = Site(name="s", tiers=(ALPS, VMS), head=Head(memory="2 GiB"), anonymous=True)
TRAINERS = Group(name="trainers", count=2, tier="alps", gpus=1.0, memory="110 GiB")


def spec(*groups: Group) -> WorkloadSpec:
    return WorkloadSpec(name="a", entrypoint="x", groups=groups)


def part(name: str, group: str, tier: str, workers: int, **more: Any) -> Slice:
    return Slice(name, group, f"{tier}-0", tier, workers, Resources.of(1, 0, "1 GiB"), **more)


def test_a_grant_is_billed_slice_by_slice_and_equal_slices_once() -> None:
    grant = Grant(
        (
            part("head", "head", "vms", 1, head=True),
            part("t-0", "trainers", "alps", 1),
            part("t-1", "trainers", "alps", 1),
        )
    )
    head, trainers = bills_of(record(spec(TRAINERS), State.RUNNING, grant=grant), SITE).bills
    assert (head.group, head.tier, head.total_bytes) == ("head", "vms", 2 * GIB)
    assert (trainers.workers, trainers.slices, trainers.diskless) == (1, 2, True)
    assert trainers.total_bytes == sum(line.num_bytes for line in trainers.lines if line.charged)
    assert {line.what: line.num_bytes for line in trainers.lines}["application memory"] == 110 * GIB
    assert trainers.total_bytes > 124 * GIB


def test_who_waits_sees_what_a_worker_would_keep_where_it_may_run() -> None:
    anywhere = Group(name="w", memory="4 GiB")
    found = bills_of(record(spec(anywhere, TRAINERS), State.QUEUED), SITE).bills
    assert [(bill.group, bill.tier, bill.slices) for bill in found] == [
        ("trainers", "alps", 0), ("w", "alps", 0), ("w", "vms", 0),
    ]  # fmt: skip
    assert found[2].total_bytes == 4 * GIB


def test_a_tier_that_the_site_has_no_more_is_left_out() -> None:
    grant = Grant((part("t-0", "trainers", "gone", 1, head=True),))
    assert bills_of(record(spec(TRAINERS), State.RUNNING, grant=grant), SITE).bills == ()


def test_it_is_asked_for_over_http(world: World) -> None:
    world.job("mine")
    world.run("mine")
    (bill,) = world.client().get("/api/fabric/workloads/mine/bill").json()["bills"]
    assert (bill["group"], bill["tier"], bill["slices"], bill["total_bytes"]) == ("workers", "commodity", 1, GIB)
    assert world.client().get("/api/fabric/workloads/none/bill").status_code == 404
