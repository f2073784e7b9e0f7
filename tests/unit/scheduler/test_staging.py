"""Staging is guessed from the site file, learned from measurements, and promised on the safe side."""

import csv
import io
import tarfile
from functools import reduce
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fabric.config import env
from fabric.config.staging import StagingPriors
from fabric.core.errors import BadInput
from fabric.core.quantity import Bytes
from fabric.scheduler.staging import (
    KEPT_SAMPLES,
    SAFE_LEVEL,
    Artifact,
    Holds,
    Kind,
    Measured,
    Stage,
    Wanted,
    observe,
    predict,
    slowest,
)

PRIORS = StagingPriors(
    boot_s=180.0, ray_s=8.0, caches_s=40.0, image_per_s="1 GiB", weights_per_s="2 GiB", safe_factor=2.0
)
ENGINE, APERTUS, QWEN = (
    Artifact(name, Bytes.of(f"{gib} GiB")) for name, gib in (("e", 12), ("apertus", 140), ("q", 60))
)
REPLICA = Wanted("alps", ENGINE, APERTUS, "streamer")
WEIGHTS = Kind(Stage.WEIGHTS, "alps", "apertus", "streamer")
NOTHING = Measured()


def seen(kind: Kind, *seconds: float, size: Bytes | None = None, before: Measured = NOTHING) -> Measured:
    return reduce(lambda measured, s: observe(measured, kind, s, size), seconds, before)


def weights(measured: Measured, nodes: int = 1, wanted: Wanted = REPLICA) -> tuple[float, float, str]:
    line = predict(wanted, Holds(), measured, PRIORS, nodes=nodes).lines[2]
    return line.expected_s, line.safe_s, line.why


def test_before_anything_is_measured_the_site_file_guesses_every_stage() -> None:
    staging = predict(REPLICA, Holds(booted=False), NOTHING, PRIORS)
    assert [(str(line.stage), line.expected_s, line.safe_s) for line in staging.lines] == [
        ("boot", 180.0, 360.0),
        ("image", 12.0, 24.0),
        ("weights", 70.0, 140.0),
        ("caches", 40.0, 80.0),
        ("Ray start", 8.0, 16.0),
    ]
    assert (staging.expected_s, staging.safe_s) == (310.0, 620.0)
    assert "weights 70.0 s (safe 140.0 s, 140 GiB at 2 GiB/s, the site's guess)" in str(staging)


def test_a_node_skips_what_it_holds() -> None:
    warm = Holds(artifacts=frozenset({"e", "apertus"}), caches=frozenset({"apertus"}))
    staging = predict(REPLICA, warm, NOTHING, PRIORS)
    assert staging.expected_s == 8.0
    assert [line.why for line in staging.lines] == ["held by the node"] * 4 + ["the site's guess"]


def test_a_commodity_worker_has_no_weights_to_wait_for() -> None:
    staging = predict(Wanted("commodity", ENGINE), Holds(), NOTHING, PRIORS)
    assert [line.stage for line in staging.lines] == [Stage.BOOT, Stage.IMAGE, Stage.RAY]


def test_measurements_replace_the_guess_after_a_few_starts() -> None:
    assert weights(seen(WEIGHTS, 20, 21, 22)) == (22, 140.0, "3 measurements")


def test_one_stuck_start_does_not_move_the_median() -> None:
    expected_s, safe_s, _ = weights(seen(WEIGHTS, 20, 21, 900, 22, 20))
    assert (expected_s, safe_s) == (22, 900)


def test_with_enough_measurements_the_safe_value_comes_from_them_alone() -> None:
    assert weights(seen(WEIGHTS, *range(1, 19)))[1] == 140.0, "18 starts say nothing about one in 20"
    assert weights(seen(WEIGHTS, *range(1, 20)))[1] == 19


def test_old_measurements_are_forgotten() -> None:
    measured = seen(WEIGHTS, *[500.0] * KEPT_SAMPLES, *[10.0] * KEPT_SAMPLES)
    assert weights(measured) == (10.0, 10.0, f"{KEPT_SAMPLES} measurements")


def test_the_last_of_many_nodes_is_later_than_one_alone() -> None:
    measured = seen(WEIGHTS, *range(1, 61))
    one, gang = weights(measured), weights(measured, nodes=16)
    assert one[0] < gang[0]
    assert one[1] < gang[1]


def test_measurements_are_apart_by_tier_artifact_and_loader() -> None:
    others = [
        Kind(Stage.WEIGHTS, "older", "apertus", "streamer"),
        Kind(Stage.WEIGHTS, "alps", "apertus", "safetensors"),
        Kind(Stage.WEIGHTS, "alps", "q", "streamer"),
        Kind(Stage.CACHES, "alps", "apertus", "streamer"),
    ]
    measured = reduce(lambda m, kind: seen(kind, *[1.0] * 30, before=m), others, NOTHING)
    assert weights(measured) == weights(NOTHING)


def test_a_new_model_is_guessed_from_the_rate_of_others_loaded_the_same_way() -> None:
    other = Kind(Stage.WEIGHTS, "alps", "q", "streamer")
    measured = seen(other, 10, 12, 900, size=QWEN.size)
    assert weights(measured) == (28.0, 56.0, "140 GiB at 5 GiB/s, the rate of 1 others")


def test_observing_leaves_the_old_value_as_it_was() -> None:
    first = seen(WEIGHTS, 20)
    seen(WEIGHTS, 30, before=first)
    assert first.samples == {WEIGHTS: (20,)}


@pytest.mark.parametrize("seconds", [-1.0, float("nan"), float("inf")])
def test_what_is_no_duration_is_refused(seconds: float) -> None:
    with pytest.raises(BadInput, match="weights of apertus took .* report a duration of 0 or more"):
        observe(NOTHING, WEIGHTS, seconds)


def test_work_starts_on_at_least_one_node() -> None:
    with pytest.raises(ValueError, match="at least one node, not 0"):
        predict(REPLICA, Holds(), NOTHING, PRIORS, nodes=0)


def test_a_gang_waits_for_its_slowest_group_and_a_replica_starts_early_by_the_safe_time() -> None:
    fast = predict(Wanted("commodity", ENGINE), Holds(), NOTHING, PRIORS)
    slow = predict(REPLICA, Holds(), NOTHING, PRIORS)
    assert slowest([fast, slow, fast]) == slow
    assert slowest([]).safe_s == 0


@given(st.lists(st.floats(0, 1e6), max_size=80), st.integers(1, 100))
def test_the_safe_time_is_never_below_the_expected_one(seconds: list[float], nodes: int) -> None:
    expected_s, safe_s, _ = weights(seen(WEIGHTS, *seconds), nodes)
    assert 0 <= expected_s <= safe_s


def covered(seconds: list[float]) -> float:
    """Part of the starts, after the first 19, that were within what had been promised before them."""
    measured, within = NOTHING, 0
    for index, each in enumerate(seconds):
        within += index >= 19 and each <= weights(measured)[1]
        measured = observe(measured, WEIGHTS, each)
    return within / (len(seconds) - 19)


def test_the_safe_time_covers_as_many_starts_as_it_says_where_starts_are_alike() -> None:
    seconds = np.random.default_rng(7).lognormal(3.0, 0.7, size=3000)
    assert SAFE_LEVEL - 0.01 <= covered([float(s) for s in seconds]) <= SAFE_LEVEL + 0.03


@pytest.mark.slow
def test_the_safe_time_covers_the_model_loads_of_a_real_service() -> None:
    folder = env.get(env.TRACES)
    if folder is None:
        pytest.skip("FABRIC_TRACES names no folder of traces")
    file = Path(folder) / "alibaba-gentd26" / "basemodel_update_latency_anon.tar.gz"
    if not file.exists():
        pytest.skip("the folder that FABRIC_TRACES names has no alibaba-gentd26")
    with tarfile.open(file) as archive:
        member = archive.extractfile("basemodel_update_latency_anon.csv")
        assert member is not None
        rows = list(csv.DictReader(io.TextIOWrapper(member, encoding="utf-8")))
    part = covered([float(row["value"]) / 1000 for row in rows])
    print(f"{part:.4f} of {len(rows) - 19} loads within the promise")
    assert part >= SAFE_LEVEL - 0.01
