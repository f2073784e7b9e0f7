"""Which of Ray's waiting demands are told: those that the whole grant, were it idle, could not meet."""

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fabric.backends.keeping.demand import Bundle, Demand, unmet
from fabric.backends.keeping.head import RayHead
from fabric.core.resources import Resources
from fabric.workloads.record import Slice
from tests.builders import piece

HEAD = piece("c0", "head", Resources.of(1, 0, "1 GiB"), head=True)
TRAINERS = Slice("trainers-0", "trainers", "g0", "gpu", 2, Resources.of(4, 2, "4 GiB"))
PAIR = [piece("c0"), piece("c1")]
"""Two slices of one CPU each, on two commodity nodes."""


def group(*cpus: float, infeasible: bool = False, **labels: str) -> Demand:
    """A placement group with a bundle for each number of CPUs."""
    return Demand(tuple(Bundle({"CPU": count}, labels) for count in cpus), group=True, infeasible=infeasible)


def test_a_demand_that_no_slice_can_meet_is_told_with_its_remedy() -> None:
    assert unmet([{"CPU": 4.0, "GPU": 2.0}], [HEAD, TRAINERS], {}) == ""
    words = unmet([{"CPU": 1.0}, {"GPU": 4.0}], [HEAD, TRAINERS], {})
    assert "asks Ray for 4 GPU on one node" in words
    assert "the largest slice of the grant has 2 GPU" in words
    assert "--entrypoint-num-gpus" in words


def test_a_head_of_its_own_meets_no_demand() -> None:
    assert "asks Ray for 1 CPU" in unmet([{"CPU": 1.0}], [HEAD], {})


def test_what_the_entrypoint_holds_meets_no_demand_of_its_tasks() -> None:
    words = unmet([{"GPU": 1.0}], [TRAINERS], {"trainers-0": 2.0})
    assert "0 GPU beside what the entrypoint holds" in words


@pytest.mark.parametrize(
    "kind", ["node:127.0.0.2", "node:__internal_head__", "object_store_memory", "CPU_group_0_1e1f", "bundle_group_1e1f"]
)
def test_resources_that_ray_gives_its_nodes_are_left_to_ray(kind: str) -> None:
    assert unmet([{kind: 0.001}], PAIR, {}) == ""


def test_a_resource_that_no_grant_has_is_named() -> None:
    words = unmet([{"CPU": 1.0, "unicorn": 2.0}], PAIR, {})
    assert words.startswith("asks Ray for 2 unicorn, but a grant has CPU, GPU, memory only.")


def test_a_placement_group_is_told_when_its_bundles_fit_one_by_one_but_not_together() -> None:
    assert unmet([group(1, 1)], PAIR, {}) == ""
    words = unmet([group(1, 1, 1, 1)], PAIR, {})
    assert "asks Ray for a placement group of 4 × (1 CPU), but the grant has room for 2 of them" in words
    assert "--entrypoint-num-cpus" in words
    assert "fabric.workers" in words


def test_bundles_that_share_out_a_slice_are_added_up() -> None:
    assert unmet([group(3, 1)], [TRAINERS], {}) == ""
    assert "the grant has 4 CPU" in unmet([group(3, 1.5)], [TRAINERS], {})


def test_tasks_that_only_wait_for_their_turn_are_not_told() -> None:
    assert unmet([{"CPU": 1.0}] * 4, PAIR, {}) == ""


@pytest.mark.parametrize(
    ("demand", "said"),
    [
        (group(1, 1, infeasible=True), "all on one node (STRICT_PACK), but the largest slice of the grant has 1 CPU"),
        (group(1, 1, 1, infeasible=True), "the grant has room for 2 of them"),
    ],
)
def test_what_ray_refuses_on_small_slices_is_told_by_its_strategy(demand: Demand, said: str) -> None:
    assert said in unmet([demand], PAIR, {})


def test_a_group_whose_bundles_want_more_nodes_than_there_are_is_told() -> None:
    assert unmet([group(1, 1, 1)], [TRAINERS], {}) == ""
    words = unmet([group(1, 1, 1, infeasible=True)], [HEAD, TRAINERS], {})
    assert "each on another node (STRICT_SPREAD), but 1 slices of the grant have room for one" in words


def test_a_group_that_ray_refuses_for_a_reason_of_its_own_is_told_too() -> None:
    assert "which Ray finds impossible" in unmet([group(1, infeasible=True)], PAIR, {})


@pytest.mark.parametrize(
    ("value", "met"),
    [
        ("commodity", True),
        ("gpu", False),
        ("!gpu", True),
        ("!commodity", False),
        ("in(gpu, commodity)", True),
        ("in(gpu)", False),
        ("!in(gpu,commodity)", False),
    ],
)
def test_a_label_that_no_slice_has_is_told_with_those_there_are(value: str, met: bool) -> None:
    words = unmet([Demand((Bundle({"CPU": 1.0}, {"fabric/tier": value}),))], PAIR, {})
    assert (words == "") is met
    assert met or f"a node with fabric/tier={value}, but the slices of the grant have fabric/tier=commodity" in words


def test_labels_and_size_are_looked_at_together() -> None:
    slices = [TRAINERS, piece("c0")]
    words = unmet([Demand((Bundle({"CPU": 2.0}, {"fabric/tier": "commodity"}),))], slices, {})
    assert "the largest slice of the grant with fabric/tier=commodity has 1 CPU" in words
    assert "no slice of the grant has such a label" in unmet([Demand((Bundle({}, {"rack": "r1"}),))], slices, {})
    assert unmet([Demand((Bundle({}, {"ray.io/node-id": "7"}),))], slices, {}) == ""


@given(st.lists(st.integers(1, 4), min_size=1, max_size=4), st.data())
def test_nothing_is_told_of_a_group_for_which_there_is_a_packing(sizes: list[int], data: st.DataObject) -> None:
    slices = [piece(f"c{number}", resources=Resources.of(size, 0, "1 GiB")) for number, size in enumerate(sizes)]
    bundles: list[float] = []
    for size in sizes:
        parts = data.draw(st.lists(st.integers(1, size), max_size=size))
        bundles += [part for number, part in enumerate(parts) if sum(parts[: number + 1]) <= size]
    assert unmet([group(*bundles)], slices, {}) == ""


def test_what_ray_tells_of_waiting_work_becomes_demands() -> None:
    """The answers are those of Ray 2.60.0, shortened."""
    bundle = {"unit_resources": {"CPU": 1.0}, "node_id": "", "label_selector": {"fabric/tier": "x"}}
    told = {
        "tasks": [{"required_resources": {"unicorn": 1.0}, "label_selector": {}, "fallback_strategy": {"options": []}}],
        "actors": [
            {"required_resources": {"CPU": 1.0}, "label_selector": {"rack": "in(a,b)"}, "fallback_strategy": None},
            {"required_resources": {}, "label_selector": None, "fallback_strategy": None},
        ],
        "placement_groups": [{"bundles": [bundle, bundle], "stats": {"scheduling_state": "INFEASIBLE"}}],
    }
    first = {"PENDING_NODE_ASSIGNMENT", "PENDING_CREATION", "PENDING"}

    def answer(request: httpx.Request) -> httpx.Response:
        kind = request.url.path.rpartition("/")[2]
        found = told[kind] if request.url.params["filter_values"] in first else []
        return httpx.Response(200, json={"data": {"result": {"result": found}}})

    head = RayHead("http://head", "t")
    head._http = httpx.Client(base_url="http://head", transport=httpx.MockTransport(answer))
    with_label = Bundle({"CPU": 1.0}, {"fabric/tier": "x"})
    assert head.pending_demands() == [
        Demand((Bundle({"unicorn": 1.0}),)),
        Demand((Bundle({"CPU": 1.0}, {"rack": "in(a,b)"}),)),
        Demand((with_label, with_label), group=True, infeasible=True),
    ]
