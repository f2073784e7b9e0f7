"""Logs in SWF, whole and broken."""

import gzip
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fabric.core.errors import BadInput
from fabric.simulator.swf import SwfJob, read_swf


def line(number: int = 1, submit: object = 0, run: object = 10, allocated: object = 4, **more: object) -> str:
    fields = [number, submit, -1, run, allocated, -1, -1, more.get("requested", 4), more.get("time", 60), *[-1] * 9]
    return " ".join(map(str, fields))


def log(folder: Path, *lines: str) -> Path:
    file = folder / "log.swf"
    file.write_text("; a comment\n\n" + "\n".join(lines) + "\n")
    return file


@pytest.mark.parametrize(
    ("sentence", "text", "job"),
    [
        ("as it stands", line(), SwfJob(1, 0, 10, 4, 60)),
        ("requested processors count", line(requested=2), SwfJob(1, 0, 10, 2, 60)),
        ("allocated ones where nothing was requested", line(requested=-1), SwfJob(1, 0, 10, 4, 60)),
        ("the run time where no time was requested", line(time=-1), SwfJob(1, 0, 10, 4, 10)),
        ("a run is cut at its limit", line(run=100), SwfJob(1, 0, 60, 4, 60)),
    ],
)
def test_a_line_is_a_job(tmp_path: Path, sentence: str, text: str, job: SwfJob) -> None:
    assert read_swf(log(tmp_path, text), 8) == (job,), sentence


def test_jobs_come_in_the_order_of_submission_then_number_and_those_that_never_ran_are_left_out(tmp_path: Path) -> None:
    file = log(tmp_path, line(3, 5), line(2, 5), line(1, 9), line(4, run=0), line(5, run=-1))
    assert [job.number for job in read_swf(file, 8)] == [2, 3, 1]


def test_a_packed_log_is_read_as_a_plain_one(tmp_path: Path) -> None:
    plain = log(tmp_path, line(), line(2, 3))
    packed = tmp_path / "packed.swf.gz"
    packed.write_bytes(gzip.compress(plain.read_bytes()))
    assert read_swf(packed, 8) == read_swf(plain, 8)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("1 2 3", "line 4: has 3 fields"),
        (line(run="ten"), "could not convert"),
        (line(submit=-5), "submitted at -5"),
        (line(submit="nan"), "submitted at nan"),
        (line(run=-3), "ran for -3"),
        (line(run="inf"), "ran for inf"),
        (line(requested=0), "has 0 processors"),
        (line(requested=-1, allocated=-1), "has -1 processors"),
        (line(requested=2.5), "whole number"),
        (line(requested=9), "needs 9 processors, but the machine has 8"),
        (line(time=0), "requests 0 s"),
        (line(1), "there is a job 1 already"),
    ],
)
def test_a_broken_line_is_named(tmp_path: Path, text: str, says: str) -> None:
    with pytest.raises(BadInput, match=says) as caught:
        read_swf(log(tmp_path, line(), text), 8)
    assert "line 4" in str(caught.value)


def test_a_file_that_is_no_log_is_refused(tmp_path: Path) -> None:
    torn = tmp_path / "torn.swf.gz"
    torn.write_bytes(gzip.compress(b"1 2 3\n" * 1000)[:40])
    for file in (tmp_path / "none.swf", torn):
        with pytest.raises(BadInput, match=file.name):
            read_swf(file, 8)
    with pytest.raises(BadInput, match="at least one processor"):
        read_swf(torn, 0)


@given(st.text(max_size=60))
def test_any_text_is_read_or_refused(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    file = tmp_path_factory.getbasetemp() / "any.swf"
    file.write_text(text, encoding="utf-8", newline="\n", errors="surrogatepass")
    refused = ""
    try:
        read_swf(file, 8)
    except BadInput as error:
        refused = str(error)
    assert not refused or "any.swf" in refused
