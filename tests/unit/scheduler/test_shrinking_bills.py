"""A gang that shrinks where files are RAM keeps paying its whole bill."""

from dataclasses import replace

from fabric.config.memory import Ram
from fabric.config.site import Capacity, Tier
from fabric.scheduler.charges import resources_on
from fabric.scheduler.columns import NodeColumns
from fabric.scheduler.machines import nodes_of
from fabric.scheduler.placement import grant_of, place
from fabric.scheduler.shape import shape_of
from fabric.scheduler.sizes import shrunk
from fabric.workloads.record import Grant
from fabric.workloads.spec import Group

ALPS = Tier(
    name="alps",
    nodes=1,
    capacity=Capacity(cpus=288.0, gpus=4.0, memory="480 GiB"),
    diskless=True,
    heads=True,
    ram=Ram(image="14 GiB"),
)


def test_a_smaller_slice_is_charged_its_own_bill_and_not_its_part_of_the_larger_one() -> None:
    site = NodeColumns.of(nodes_of([ALPS]))
    trainers = Group(name="trainers", count=4, min=1, max=4, gpus=1.0, memory="20 GiB")
    grant = grant_of(place(shape_of([trainers]), site.capacity, site, None), site)
    grant = Grant(tuple(replace(part, head=False) for part in grant.slices))
    kept = shrunk(grant, trainers, 1, site)
    assert kept is not None
    (part,) = kept.slices
    assert part.resources == resources_on(trainers, "alps", 1, site)
    whole = grant.slices[0].resources.memory
    assert part.resources.memory < whole < part.resources.memory * 4
