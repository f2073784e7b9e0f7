"""Where files are RAM, gangs are placed by their whole bill, and no node is ever charged more than it has."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fabric.config.memory import Ram, Superchip
from fabric.config.site import Capacity, Tier
from fabric.core.errors import DoesNotFit
from fabric.core.quantity import Bytes
from fabric.core.resources import Resources
from fabric.scheduler.charges import amount_on, bill_of, resources_on
from fabric.scheduler.columns import NodeColumns, subtract
from fabric.scheduler.machines import nodes_of
from fabric.scheduler.placement import grant_of, place, require_possible, shortfalls
from fabric.scheduler.ram import bill, on_node
from fabric.scheduler.ram_lines import Needs, terms
from fabric.scheduler.shape import head_part, part_of_group, shape_of
from fabric.workloads.spec import ArtifactSpec, Group
from tests.builders import group

HEAD = Resources.of(1, 0, "2 GiB")
ALPS = Tier(
    name="alps",
    nodes=2,
    capacity=Capacity(cpus=288.0, gpus=4.0, memory="480 GiB"),
    diskless=True,
    heads=True,
    ram=Ram(image="14 GiB"),
)
CHIPS = ALPS.model_copy(update={"name": "chips", "superchip": Superchip(cpus=72.0, memory="110 GiB")})
VMS = Tier(name="vms", nodes=2, capacity=Capacity(cpus=32.0, memory="64 GiB"), heads=True)
FIXED = Bytes.of("14 GiB") + Bytes.of("3 GiB") + Bytes.of("576 MiB")
"""What each slice of `ALPS` costs besides memory and object store: image; scratch, logs and caches; shm and agents."""


def site_of(*tiers: Tier) -> NodeColumns:
    return NodeColumns.of(nodes_of(tiers))


def slots(site: NodeColumns, *groups: Group) -> list[tuple[str, int, str]]:
    """Node, workers and memory of each slice."""
    found = place(shape_of(groups), site.capacity, site, None)
    assert not found.lacks
    return [(part.node, part.workers, str(part.resources.memory)) for part in grant_of(found, site).slices]


def test_a_slice_pays_once_for_what_a_ray_node_keeps() -> None:
    one = Bytes.of("143 GiB") + FIXED
    three = Bytes.of("330 GiB") + Bytes.of("64 GB") + FIXED
    assert slots(site_of(ALPS), group(gpus=1.0, memory="110 GiB")) == [("alps-0", 1, str(one))]
    assert slots(site_of(ALPS), group(count=4, gpus=1.0, memory="110 GiB")) == [
        ("alps-0", 3, str(three)),
        ("alps-1", 1, str(one)),
    ]


def test_image_and_weights_of_a_group_are_in_its_bill() -> None:
    named = group(
        gpus=1.0,
        memory="110 GiB",
        image=ArtifactSpec(name="vllm", size="10 GiB"),
        weights=ArtifactSpec(name="apertus", size="140 GiB"),
    )
    bill_of_both = Bytes.of("143 GiB") + FIXED - Bytes.of("4 GiB") + Bytes.of("140 GiB")
    assert slots(site_of(ALPS), named) == [("alps-0", 1, str(bill_of_both))]
    assert slots(site_of(VMS), group(memory="1 GiB", weights=named.weights)) == [("vms-0", 1, "1 GiB")]


def test_a_smaller_slice_in_the_place_of_a_larger_one_costs_its_own_bill() -> None:
    three = group(count=3, gpus=1.0, memory="110 GiB")
    site = site_of(ALPS, VMS)
    assert resources_on(three, "alps", 1, site).memory == Bytes.of("143 GiB") + FIXED
    assert resources_on(three, "vms", 2, site) == three.request * 2


def test_a_tier_with_disks_and_no_caps_charges_what_is_asked() -> None:
    site = site_of(VMS)
    assert site.terms == {}
    assert slots(site, group(count=2, memory="3 GiB")) == [("vms-0", 2, "6 GiB")]


def test_superchips_are_given_out_whole() -> None:
    site = site_of(CHIPS)
    (piece,) = place(shape_of([group(gpus=1.0, memory="30 GiB")]), site.capacity, site, None).pieces
    assert piece.slot[1:] == (72_000, 1000, 110 * 2**30)
    shape = shape_of([group(count=8, gpus=1.0, memory="60 GiB")])
    assert [piece.workers for piece in place(shape, site.capacity, site, None).pieces] == [4, 4]


def test_work_that_names_no_tier_is_charged_as_each_tier_charges() -> None:
    site = site_of(ALPS, VMS)
    big = shape_of([group(count=3, cpus=20.0, memory="50 GiB")])
    found = grant_of(place(big, site.capacity, site, None), site).slices
    assert [(part.node, str(part.resources.memory)) for part in found] == [
        ("vms-0", "50 GiB"),
        ("vms-1", "50 GiB"),
        ("alps-0", str(Bytes.of("65 GiB") + FIXED)),
    ]


def test_a_head_pays_its_bill_too() -> None:
    site = site_of(ALPS)
    head, workers = place(
        shape_of([group("a", gpus=1.0), group("b", gpus=1.0)]), site.capacity, site, head_part(HEAD)
    ).pieces[:2]
    assert head.head
    assert head.slot[3] == (Bytes(-(-Bytes.of("2 GiB").count * 13 // 10)) + FIXED).count
    assert workers.slot[3] == (Bytes.of("1 GiB") + Bytes(-(-(2**30) * 3 // 10)) + FIXED).count


def test_a_gang_that_its_bill_keeps_out_is_told_what_it_is_charged() -> None:
    site = site_of(ALPS)
    (lack,) = shortfalls(shape_of([group(count=8, tier="alps", gpus=1.0, memory="120 GiB")]), site.capacity, site, None)
    assert (lack.fitting, lack.asked.memory) == (6, Bytes.of("156 GiB") + FIXED)
    assert lack.missing.memory == Bytes(8 * Bytes.of("120 GiB").count + 64 * 10**9) + FIXED - Bytes.of("960 GiB")


@pytest.mark.parametrize(
    ("asked", "tiers", "says"),
    [
        ({"memory": "450 GiB"}, (ALPS,), "its RAM bill on tier alps is .* more than the 480 GiB free"),
        ({"memory": "450 GiB"}, (ALPS,), "\n  image layers "),
        ({"memory": "450 GiB"}, (CHIPS,), "\n  rest of superchips  .*5 whole superchips of 110 GiB"),
        ({"memory": "500 GiB"}, (ALPS,), "asks for 1 CPUs . 500 GiB per worker, but the largest node"),
        ({"memory": "450 GiB", "tier": "vms"}, (ALPS, VMS), "the largest node .vms-0, tier vms. has"),
        ({"memory": "120 GiB", "gpus": 1.0, "count": 7}, (ALPS,), "6 of 7 workers .* fit on any tier now"),
        ({"tier": "alp"}, (ALPS,), "wants tier 'alp', but the site has alps"),
    ],
)
def test_what_no_empty_site_could_pay_is_refused_with_the_bill(asked: dict[str, Any], tiers: Any, says: str) -> None:
    with pytest.raises(DoesNotFit, match=says):
        require_possible("w", [group(**asked)], nodes_of(tiers), Resources())


def test_what_fits_by_its_bill_is_taken_in() -> None:
    require_possible("w", [group(count=6, memory="100 GiB", gpus=1.0)], nodes_of([ALPS]), Resources())
    require_possible("w", [group(memory="50 GiB")], nodes_of([ALPS, VMS]), HEAD)


SMALL = st.builds(
    lambda name, disk, chips, diskless: Tier(
        name=name,
        nodes=2,
        capacity=Capacity(cpus=16.0, gpus=4.0, memory="64 GiB"),
        heads=True,
        diskless=diskless,
        ram=Ram(disk=disk, image="2 GiB", object_store_most="4 GiB"),
        superchip=Superchip(cpus=4.0, memory="14 GiB") if chips else None,
    ),
    st.just("small"),
    st.sampled_from(["tmpfs", "block"]),
    st.booleans(),
    st.booleans(),
)
REQUESTS = st.builds(
    lambda cpus, gpus, memory: Resources.of(cpus / 8, gpus / 4, memory),
    st.integers(1, 24),
    st.integers(0, 8),
    st.integers(1, 12 * 2**30),
)


@given(SMALL, REQUESTS, st.integers(1, 9), st.integers(1, 9))
def test_slices_together_cost_at_least_what_one_for_all_of_their_workers_costs(
    tier: Tier, request: Resources, first: int, second: int
) -> None:
    where = terms(tier)
    whole, *parts = (bill(Needs(request * n), where).beside(frozenset()) for n in (first + second, first, second))
    assert whole.fits(parts[0] + parts[1])
    assert parts[0].fits(whole), "and more workers never cost less"


GROUPS = st.builds(
    lambda count, cpus, gpus, mib, tier: group(
        count=count, cpus=cpus / 2, gpus=gpus / 2, memory=f"{mib} MiB", tier=tier
    ),
    st.integers(1, 6),
    st.integers(1, 8),
    st.integers(0, 4),
    st.integers(1, 16 * 1024),
    st.sampled_from([None, "small", "disks"]),
)
GANGS = st.lists(st.lists(GROUPS, min_size=1, max_size=2), min_size=1, max_size=8)
DISKS = Tier(name="disks", nodes=1, capacity=Capacity(cpus=16.0, gpus=2.0, memory="32 GiB"), heads=True)


@given(SMALL, GANGS)
def test_no_set_of_gangs_that_are_placed_exceeds_a_node_by_its_bills(tier: Tier, gangs: Sequence[list[Group]]) -> None:
    tiers = (tier, DISKS)
    site = site_of(*tiers)
    room = site.capacity.copy()
    bills: dict[str, list[Any]] = {name: [] for name in site.names}
    used = np.zeros_like(room)
    for groups in gangs:
        named = {str(n): one.model_copy(update={"name": f"g{n}"}) for n, one in enumerate(groups)}
        found = place(shape_of(list(named.values())), room, site, head_part(HEAD))
        if found.lacks:
            continue
        subtract(room, found.slots)
        subtract(used, found.slots, sign=-1)
        asks = {one.name: one.request for one in named.values()} | {"head": HEAD}
        for part in grant_of(found, site).slices:
            where = next(terms(t) for t in tiers if t.name == part.tier)
            charged = bill(Needs(asks[part.group] * part.workers), where)
            assert charged.beside(frozenset()) == part.resources
            bills[part.node].append(charged)
    assert (room >= 0).all()
    assert (used + room == site.capacity).all()
    for name, held in bills.items():
        assert on_node(held).count <= site.capacity[site.row[name], 2]


@given(SMALL, REQUESTS)
def test_as_many_workers_are_put_on_a_node_as_it_can_pay_and_not_one_more(tier: Tier, request: Resources) -> None:
    site, memory = site_of(tier), f"{request.memory.count} B"
    asked = Group(count=300, cpus=request.cpus.whole(), gpus=request.gpus.whole(), memory=memory)
    part, free = part_of_group(asked), site.capacity[0]
    (lack,) = shortfalls(shape_of([asked]), site.capacity, site, None)
    most = lack.fitting // 2
    assert most == 0 or (np.array(amount_on(part, "small", most, site)) <= free).all()
    assert (np.array(amount_on(part, "small", most + 1, site)) > free).any()
    assert amount_on(part, "small", 1, site)[2] == bill_of(part, terms(tier)).total.count
