"""Means over runs, and the published figures beside them."""

import gzip
from pathlib import Path

import pytest

from fabric.core.errors import BadInput
from fabric.simulator.openb import DEMANDS_PCT, Run
from fabric.simulator.openb_summary import Spread, published, summary

NAMES = ("01-Random", "02-DotProd", "03-GpuClustering", "04-GpuPacking", "05-BestFit", "06-FGD")
SEEDS = {42: 90, 43: 94}


def _run(seed: int, allocated: float, lost: int = 0) -> Run:
    return Run("fgd", seed, 100, lost, {100: allocated}, {100: 50.0})


def test_a_summary_has_mean_and_deviation_over_seeds() -> None:
    found = summary([_run(42, 90.0, lost=10), _run(43, 94.0, lost=20)])
    assert (found.seeds, found.num_lost) == ((42, 43), 15)
    assert found.allocation_pct == {100: Spread(92.0, 8**0.5)}
    assert found.fragmentation_pct == {100: Spread(50.0, 0.0)}


def test_a_single_run_has_no_deviation() -> None:
    assert summary([_run(42, 90.0)]).allocation_pct == {100: Spread(90.0, 0.0)}


def test_no_runs_are_refused() -> None:
    with pytest.raises(BadInput, match="at least one seed"):
        summary([])


def _expected(file: Path, names: tuple[str, ...] = NAMES) -> Path:
    head = ",".join(["workload", "sc_policy", "seed", *map(str, DEMANDS_PCT)])
    lines = [f"some,{name},{seed}" + f",{value}" * len(DEMANDS_PCT) for name in names for seed, value in SEEDS.items()]
    with gzip.open(file, "wt") as out:
        out.writelines(f"{line}\n" for line in [head, *lines])
    return file


def test_published_figures_are_found_by_our_names(tmp_path: Path) -> None:
    found = published(_expected(tmp_path / "e.csv.gz"), "some")
    assert set(found) == {"random", "dotprod", "gpu-clustering", "gpu-packing", "best-fit", "fgd"}
    assert found["fgd"][100] == Spread(92.0, 8**0.5)


def test_a_file_without_them_is_refused(tmp_path: Path) -> None:
    file = _expected(tmp_path / "e.csv.gz", NAMES[:5])
    (tmp_path / "plain.csv.gz").write_text("no archive")
    for wrong, workload in (
        (file, "some"),
        (file, "other"),
        (tmp_path / "plain.csv.gz", "some"),
        (tmp_path / "no", "x"),
    ):
        with pytest.raises(BadInput, match=f"{wrong.name}: does not tell the published results of {workload}"):
            published(wrong, workload)
