"""A node's RAM pays for everything its slices keep, and never for more than it has."""

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fabric.config.memory import Ram, Superchip
from fabric.config.site import Capacity, Tier
from fabric.core.errors import DoesNotFit
from fabric.core.quantity import Bytes
from fabric.core.resources import Resources
from fabric.scheduler.ram import (
    Admitted,
    Bill,
    Overdrawn,
    admit,
    bill,
    limits,
    on_node,
    require_payable,
    table,
    whole_units,
)
from fabric.scheduler.ram_lines import Image, Needs, Terms, Volume, terms

GIB = 2**30
ENGINE = Image("vllm", Bytes.of("12 GiB"))


def tier(**more: object) -> Tier:
    """A diskless node of four superchips with 480 GiB."""
    fields = {
        "name": "alps",
        "nodes": 2,
        "capacity": Capacity(cpus=288.0, gpus=4.0, memory="480 GiB"),
        "diskless": True,
        "ram": Ram(image="14 GiB"),
    }
    return Tier(**{**fields, **more})  # type: ignore[arg-type]


def slice_of(memory: str = "96 GiB", cpus: float = 8, gpus: float = 1, **more: object) -> Needs:
    return Needs(Resources.of(cpus, gpus, memory), **more)  # type: ignore[arg-type]


def test_the_bill_of_a_diskless_tier_reads_as_a_table_in_a_fixed_order() -> None:
    needs = slice_of(image=ENGINE, weights=Bytes.of("15 GiB"), volumes=(Volume("data", Bytes.of("4 GiB")),))
    chips = tier(superchip=Superchip(cpus=72.0, memory="110 GiB"))
    assert table(bill(needs, terms(chips))) == (
        "RAM bill on tier alps (diskless: files are RAM)\n"
        "  application memory        96 GiB  asked for by its workers\n"
        "  object store            28.8 GiB  30 % of application memory\n"
        "  shared memory             64 MiB  beside the object store in /dev/shm\n"
        "  emptyDir data              4 GiB  in tmpfs\n"
        "  scratch                    1 GiB  in tmpfs\n"
        "  logs                       1 GiB  in tmpfs\n"
        "  spill                        0 B  in tmpfs\n"
        "  JIT caches                 1 GiB  in tmpfs\n"
        "  page cache of weights     15 GiB  kept, or a reload crosses the network\n"
        "  Ray agents               512 MiB  raylet and its agents\n"
        "  image layers              12 GiB  vllm, in tmpfs, once for all slices of the node\n"
        "  rest of superchips     72.64 GiB  2 whole superchips of 110 GiB\n"
        "  total                    232 GiB  of the node's RAM"
    )


def test_on_a_tier_with_disks_files_are_limits_and_cost_nothing() -> None:
    needs = slice_of(weights=Bytes.of("15 GiB"), volumes=(Volume("a", Bytes(GIB)), Volume("b", Bytes(GIB), True)))
    text = table(bill(needs, terms(tier(diskless=False))))
    assert "  emptyDir a               (1 GiB)  on the node's disk\n" in text
    assert "  emptyDir b                 1 GiB  medium: Memory\n" in text
    assert "  page cache of weights   (15 GiB)  given up under pressure, read again from disk\n" in text
    assert bill(needs, terms(tier(diskless=False))).total == Bytes.of("96 GiB") + Bytes(
        -(-96 * GIB * 300 // 1000) + 64 * 2**20 + GIB + 512 * 2**20
    )


def test_a_tier_that_names_no_caps_charges_what_was_asked_for() -> None:
    laptop = terms(tier(diskless=False, ram=None))
    needs = slice_of("2 GiB", head=Bytes(GIB), volumes=(Volume("cache", Bytes(GIB), in_memory=True),))
    assert bill(needs, laptop).slice == Resources.of(8, 1, "4 GiB")


@pytest.mark.parametrize(
    ("asked", "store", "why"),
    [
        ("100 GiB", Bytes(30 * GIB), "30 % of application memory"),
        ("1 TiB", Bytes(64 * 10**9), "30 % of application memory, at most 59.6 GiB"),
        ("100 MiB", Bytes(75 * 2**20), "the least that Ray starts with"),
    ],
)
def test_the_object_store_is_ray_s_share_within_bounds(asked: str, store: Bytes, why: str) -> None:
    charged = bill(slice_of(asked), terms(tier()))
    assert charged.size("object store") == store
    assert [line.why for line in charged.lines if line.what == "object store"] == [why]


def test_a_workload_may_name_its_own_object_store_but_none_smaller_than_ray_starts_with() -> None:
    charged = [bill(slice_of(object_store=Bytes(size)), terms(tier())) for size in (GIB, 1)]
    assert [one.size("object store") for one in charged] == [Bytes(GIB), Bytes(75 * 2**20)]


def test_files_in_a_block_ram_disk_are_paid_but_not_counted_by_the_kernel() -> None:
    charged = {disk: bill(slice_of(), terms(tier(ram=Ram(disk=disk)))) for disk in ("tmpfs", "block")}
    assert charged["block"].total == charged["tmpfs"].total
    files = Bytes(3 * GIB)  # scratch, logs and JIT caches
    assert charged["tmpfs"].limit - charged["block"].limit == files


def test_an_image_is_paid_once_on_a_node_and_unknown_images_each() -> None:
    named, unnamed = bill(slice_of(image=ENGINE), terms(tier())), bill(slice_of(), terms(tier()))
    assert on_node([named, named]) == named.total + named.total - ENGINE.layers
    assert on_node([unnamed, unnamed]) == unnamed.total + unnamed.total
    assert named.beside({"vllm"}).memory + ENGINE.layers == named.beside(set()).memory == named.total


def test_superchips_round_the_whole_vector_up() -> None:
    unit = Resources.of(72, 1, "110 GiB")
    chips = terms(tier(superchip=Superchip(cpus=72.0, memory="110 GiB")))
    assert bill(slice_of("10 GiB", cpus=1), chips).slice == unit
    assert bill(slice_of("10 GiB", cpus=73), chips).slice == unit * 2, "one core more takes a second chip"
    assert bill(slice_of("100 GiB", cpus=1), chips).slice == unit * 2, "and so does memory"
    assert bill(slice_of("10 GiB", gpus=3), chips).slice == unit * 3


@given(st.integers(0, 10**6), st.integers(0, 8000), st.integers(0, 2**40))
def test_whole_units_hold_the_request_and_one_less_would_not(cpus: int, gpus: int, memory: int) -> None:
    unit = Resources.of(72, 1, "110 GiB")
    asked = Resources.of(cpus / 1000, gpus / 1000, memory)
    units = whole_units(asked, unit)
    assert asked.fits(unit * units)
    assert units == 0 or not asked.fits(unit * (units - 1))


def test_a_slice_that_does_not_fit_beside_others_says_what_is_missing_and_what_is_large() -> None:
    one = bill(slice_of("200 GiB", image=ENGINE), terms(tier()))
    answer = admit(one, [one], Bytes.of("480 GiB"))
    assert isinstance(answer, Overdrawn)
    assert answer.reason == (
        "its RAM bill on tier alps is 58.33 GiB more than the 204.8 GiB free "
        "(application memory 200 GiB, object store 59.6 GiB, image layers 12 GiB)"
    )


def test_a_slice_that_no_empty_node_could_pay_is_refused_with_its_bill() -> None:
    charged = bill(slice_of("460 GiB", image=ENGINE), terms(tier()))
    with pytest.raises(DoesNotFit) as caught:
        require_payable("pretrain", charged, Resources.of(288, 4, "480 GiB"))
    assert str(caught.value).startswith("pretrain: its RAM bill on tier alps is")
    assert "Ask for less memory per worker, or for smaller caps:\nRAM bill on tier alps" in str(caught.value)
    assert caught.value.fields["short"] == (charged.total - Bytes.of("480 GiB")).count


def test_a_slice_that_needs_more_superchips_than_a_node_has_is_refused() -> None:
    chips = terms(tier(superchip=Superchip(cpus=72.0, memory="1 GiB"), ram=Ram(image="1 GiB")))
    charged = bill(slice_of("4 GiB"), chips)
    with pytest.raises(DoesNotFit, match="pretrain: needs 10 GPUs .* in whole superchips, 6 GPUs .* more than a node"):
        require_payable("pretrain", charged, Resources.of(288, 4, "480 GiB"))


def test_the_manifest_gets_a_limit_for_everything_that_can_grow() -> None:
    needs = slice_of(volumes=(Volume("data", Bytes(GIB)),), spill=Bytes(2 * GIB), image=ENGINE)
    charged = bill(needs, terms(tier()))
    found = limits(charged, needs)
    assert found.memory == charged.total - ENGINE.layers
    assert found.dev_shm == found.object_store + Bytes(64 * 2**20)
    assert {volume.name: volume.size for volume in found.volumes} == {
        "data": Bytes(GIB),
        "scratch": Bytes(GIB),
        "logs": Bytes(GIB),
        "spill": Bytes(2 * GIB),
        "JIT caches": Bytes(GIB),
    }


# Sizes in MiB, so that hypothesis reaches both sides of a 64 GiB node.
SIZES = st.integers(0, 16 * 1024).map(lambda mib: Bytes(mib * 2**20))
IMAGES = st.sampled_from([None, Image("a", Bytes(GIB)), Image("b", Bytes(5 * GIB)), Image("c", Bytes(9 * GIB))])
NEEDS = st.builds(
    Needs,
    asked=SIZES.map(lambda memory: Resources(memory=memory)),
    head=st.sampled_from([Bytes(0), Bytes(2 * GIB)]),
    object_store=st.none() | SIZES,
    shm=st.none() | SIZES,
    volumes=st.lists(st.builds(Volume, st.just("v"), SIZES, st.booleans()), max_size=2).map(tuple),
    spill=st.none() | SIZES,
    weights=SIZES,
    image=IMAGES,
)
TERMS = st.builds(
    lambda disk, diskless, chips: terms(
        tier(
            diskless=diskless,
            ram=Ram(disk=disk, image="2 GiB"),
            superchip=Superchip(cpus=72.0, memory="14 GiB") if chips else None,
        )
    ),
    st.sampled_from(["tmpfs", "block"]),
    st.booleans(),
    st.booleans(),
)


def grown(needs: Needs, charged: Bill, where: Terms) -> Bytes:
    """The most a slice and its container can take of RAM outside shared layers, told by what limits each part of it."""
    found = limits(charged, needs)
    in_block = [volume.size for volume in found.volumes if not volume.in_memory] if where.block else []
    own_image = Bytes.of("2 GiB") if needs.image is None and where.diskless else Bytes(0)
    return sum(in_block, found.memory + own_image)


@given(st.lists(NEEDS, max_size=8), TERMS)
def test_no_admitted_set_of_slices_ever_exceeds_a_node_however_they_grow(asked: Sequence[Needs], where: Terms) -> None:
    ram = Bytes.of("64 GiB")
    held: list[tuple[Needs, Bill]] = []
    for needs in asked:
        charged = bill(needs, where)
        if isinstance(admit(charged, [one for _, one in held], ram), Admitted):
            held.append((needs, charged))
    images = {needs.image.name: needs.image.layers for needs, _ in held if needs.image} if where.diskless else {}
    worst = sum((grown(needs, charged, where) for needs, charged in held), Bytes(0)) + sum(images.values(), Bytes(0))
    assert worst <= ram


@given(NEEDS, TERMS)
def test_a_slice_that_keeps_to_its_caps_never_reaches_its_memory_limit(needs: Needs, where: Terms) -> None:
    charged = bill(needs, where)
    found = limits(charged, needs)
    files = [volume.size for volume in found.volumes if volume.in_memory or (where.diskless and not where.block)]
    processes = needs.asked.memory + needs.head + found.dev_shm + (needs.weights if where.diskless else Bytes(0))
    assert sum(files, processes + Bytes.of("512 MiB")) <= found.memory
