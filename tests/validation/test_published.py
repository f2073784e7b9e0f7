"""Whole runs against published results: every wait of every job, and every printed digit."""

import gzip
from pathlib import Path

import pytest

from fabric.config import env
from fabric.simulator.batch import EASY, run_batch
from fabric.simulator.metrics import average_bounded_slowdown
from fabric.simulator.published import BATCH, LUBLIN, LUBLIN_PROCESSORS, WINDOWS, PublishedBatch, PublishedWindows
from fabric.simulator.swf import read_swf
from fabric.simulator.windows import run_windows

pytestmark = [pytest.mark.validation, pytest.mark.timeout(1800)]


def trace(name: str) -> Path:
    """A public trace, or a skip that says what is missing."""
    folder = env.get(env.TRACES)
    if folder is None:
        pytest.skip(f"{env.TRACES} names no folder of traces")
    file = Path(folder) / name
    if not file.exists():
        pytest.skip(f"there is no {file}")
    return file


def published_waits(file: Path) -> dict[int, float]:
    """The third field of every line: the wait that the published simulator found."""
    with gzip.open(file, "rt") as lines:
        fields = [line.split() for line in lines if line.strip() and not line.startswith(";")]
    return {int(words[0]): float(words[2]) for words in fields}


@pytest.mark.parametrize("run", BATCH, ids=lambda run: f"{run.log}.{run.suffix}")
def test_every_wait_is_the_published_one(run: PublishedBatch) -> None:
    file = trace(run.file)
    policy = EASY.model_copy(update={"backfill": run.order})
    ours = run_batch(read_swf(file, run.processors), run.processors, policy=policy, exact=run.exact)
    waits = published_waits(file)
    assert len(ours.jobs) == len(waits)
    assert {job.number: (job.wait_s, waits[job.number]) for job in ours.jobs if job.wait_s != waits[job.number]} == {}
    assert f"{average_bounded_slowdown(ours.jobs):.4f}" == f"{run.avebsld:.4f}"


def test_the_original_log_gives_the_same_waits_as_the_cleaned_one() -> None:
    run = BATCH[0]
    ours = run_batch(read_swf(trace("swf-pyss-easy/KTH-SP2.original.swf.gz"), run.processors), run.processors)
    assert {job.number: job.wait_s for job in ours.jobs} == published_waits(trace(run.file))


@pytest.mark.parametrize("run", WINDOWS, ids=lambda run: f"{run.order}-{'backfill' if run.backfill else 'plain'}")
def test_every_printed_digit_of_the_windows_is_the_published_one(run: PublishedWindows) -> None:
    jobs = read_swf(trace(LUBLIN), LUBLIN_PROCESSORS)
    ours = run_windows(jobs, LUBLIN_PROCESSORS, order=run.order, backfill=run.backfill)
    assert f"{ours.bsld:.2f}" == f"{run.bsld:.2f}"
    assert f"{ours.utilisation:.3f}" == f"{run.utilisation:.3f}"
