"""Logs in SWF, whole and broken."""

import gzip
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fabric.core.errors import BadInput
from fabric.simulator.swf import AS_RUN, PUBLISHED, SwfJob, jobs_in, read_swf


def line(number: int = 1, submit: object = 0, run: object = 10, allocated: object = 4, **more: object) -> str:
    asked = [more.get("requested", 4), more.get("time", 60), -1, -1, more.get("user", -1)]
    fields = [number, submit, -1, run, allocated, -1, -1, *asked, *[-1] * 6]
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
        (line(2, requested=9), "needs 9 processors, but the machine has 8"),
        (line(time=0), "requests 0 s"),
        (line(1), "there is a job 1 already"),
    ],
)
def test_a_broken_line_is_named(tmp_path: Path, text: str, says: str) -> None:
    with pytest.raises(BadInput, match=says) as caught:
        read_swf(log(tmp_path, line(), text), 8)
    assert "line 4" in str(caught.value)


@pytest.mark.parametrize(
    ("sentence", "text", "job"),
    [
        ("allocated processors count", line(requested=2), SwfJob(1, 0, 10, 4, 60)),
        ("requested ones where none are known", line(requested=2, allocated=-1), SwfJob(1, 0, 10, 2, 60)),
        ("zero is not known either", line(requested=2, allocated=0), SwfJob(1, 0, 10, 2, 60)),
        ("a request is raised to the run", line(run=100), SwfJob(1, 0, 100, 4, 100)),
        ("no request is the run", line(time=0), SwfJob(1, 0, 10, 4, 10)),
        ("without any processors it is left out", line(requested=-1, allocated=0), None),
        ("one that never ran is left out", line(run=-1), None),
        ("the user is told", line(user=7), SwfJob(1, 0, 10, 4, 60, 7)),
    ],
)
def test_as_it_ran_a_line_is_what_was_held(sentence: str, text: str, job: SwfJob | None) -> None:
    assert [found for _, found in jobs_in([text], "log", AS_RUN)] == ([job] if job else []), sentence


def test_only_the_strict_rule_minds_a_number_that_comes_twice() -> None:
    twice = [line(1), line(1, 5)]
    assert len(list(jobs_in(twice, "log", AS_RUN))) == 2
    with pytest.raises(BadInput, match="log, line 2: there is a job 1 already"):
        list(jobs_in(twice, "log", PUBLISHED))


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
