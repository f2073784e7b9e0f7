"""What is free when."""

import math

from hypothesis import given
from hypothesis import strategies as st

from fabric.core.resources import Resources
from fabric.scheduler.profile import Profile
from fabric.scheduler.snapshot import Claim, Snapshot
from tests.builders import group, hybrid, piece, running, waiting, world

GIB = 2**30


def gpus(profile: Profile, end: float) -> int:
    """Free GPUs for work from now until `end`."""
    return profile.total(end)[1] // 1000


def test_room_is_the_least_until_the_end() -> None:
    profile = Profile(world(), 0.0)
    slot = world().site.slots([piece("g0", resources=Resources.of(1, 2, "1 GiB"))])
    profile.promise(slot, 100.0, 200.0)
    assert [gpus(profile, end) for end in (50.0, 100.0, 101.0, math.inf)] == [4, 4, 2, 2]


def test_what_starts_now_is_gone_until_it_ends() -> None:
    profile = Profile(world(), 0.0)
    slot = world().site.slots([piece("g0", resources=Resources.of(1, 2, "1 GiB"))])
    profile.start(slot, 60.0)
    assert gpus(profile, 10.0) == 2
    assert profile.free_at(60.0).sum(axis=0).tolist() == world().idle.sum(axis=0).tolist()


def test_a_promise_that_is_withdrawn_leaves_nothing_behind() -> None:
    profile = Profile(world(), 0.0)
    slot = world().site.slots([piece("g0", resources=Resources.of(1, 2, "1 GiB"))])
    profile.promise(slot, 100.0, 200.0)
    profile.withdraw(slot, 100.0, 200.0)
    assert gpus(profile, math.inf) == 4
    assert profile.fits(slot, 0.0, math.inf)


def test_slots_fit_only_where_they_are_free_all_the_time() -> None:
    busy = world(running("r", piece("g0", resources=Resources.of(1, 2, "1 GiB")), ends=100.0))
    profile = Profile(busy, 0.0)
    slot = busy.site.slots([piece("g0", resources=Resources.of(1, 1, "1 GiB"))])
    profile.promise(busy.site.slots([piece("g0", resources=Resources.of(1, 2, "1 GiB"))]), 200.0, 300.0)
    spans = {(0.0, 50.0): False, (100.0, 200.0): True, (150.0, 201.0): False, (300.0, math.inf): True}
    assert {span: profile.fits(slot, *span) for span in spans} == spans


def test_the_earliest_start_looks_past_what_is_set_aside() -> None:
    busy = world(running("r", piece("g0", resources=Resources.of(1, 2, "1 GiB")), ends=100.0))
    profile = Profile(busy, 0.0)
    profile.promise(busy.site.slots([piece("g1", resources=Resources.of(1, 1, "1 GiB"))]), 120.0, 300.0)
    gang = waiting("w", group("t", 4, "gpu", gpus=1.0)).shape
    brief, long = profile.earliest_start(gang, 20.0, 1e6), profile.earliest_start(gang, 21.0, 1e6)
    assert brief is not None
    assert long is not None
    assert (brief[0], long[0]) == (100.0, 300.0)
    assert profile.earliest_start(gang, 21.0, 299.0) is None


def test_a_window_takes_the_whole_node_whatever_runs_there() -> None:
    busy = world(running("r", piece("g0", resources=Resources.of(1, 1, "1 GiB")), ends=None))
    snapshot = Snapshot.of(busy.nodes, busy.running, (), head=busy.head, claims=[Claim("w", 10.0, 20.0, ("g0",))])
    assert gpus(Profile(snapshot, 0.0), 10.0) == 3
    assert gpus(Profile(snapshot, 0.0), 11.0) == 2
    assert gpus(Profile(snapshot, 15.0), 16.0) == 2
    assert gpus(Profile(snapshot, 20.0), 30.0) == 3


SPANS = st.tuples(st.integers(0, 3), st.integers(0, 8), st.integers(1, 9))


@given(st.lists(SPANS, max_size=8), st.integers(1, 12))
def test_the_table_of_falls_agrees_with_counting_at_every_instant(spans: list[tuple[int, int, int]], end: int) -> None:
    snapshot = world()
    profile = Profile(snapshot, 0.0)
    for row, start, length in spans:
        slot = ((row, 0, 0, GIB),)
        if start:
            profile.promise(slot, float(start), float(start + length))
        else:
            profile.start(slot, float(length))
    for row in range(len(hybrid())):
        held = [sum(r == row and s <= at < s + n for r, s, n in spans) for at in range(end)]
        assert int(profile.room(float(end))[row, 2]) == int(snapshot.idle[row, 2]) - max(held) * GIB
    for at in range(1, 20):
        counted = sum(s <= at < s + n for _, s, n in spans)
        assert int(profile.free_at(float(at))[:, 2].sum()) == int(snapshot.idle[:, 2].sum()) - counted * GIB
