"""Readers of traces: what they read, and which line they name when it is wrong."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fabric.core.errors import BadInput, Corrupt, FabricError, NotFound
from fabric.simulator.hti.traces.folder import Traces, read_load_latencies, read_traces
from fabric.simulator.hti.traces.philly import TrainingRow, read_philly
from fabric.simulator.hti.traces.servegen import clean_rates, num_missing, read_rates
from fabric.simulator.hti.traces.swf import CpuRow, read_swf
from fabric.simulator.hti.traces.tokens import read_azure, read_mooncake
from tests.unit.simulator.hti.small_traces import sizes, swf_line, write, write_all, write_csv

PHILLY = "timestamp,duration,num_gpus,gpu_time,cluster"
AZURE = "TIMESTAMP,ContextTokens,GeneratedTokens"


def test_training_jobs_come_in_order_with_the_time_of_day_kept(tmp_path: Path) -> None:
    rows = [("2020-01-02 01:00:00", 60, 4, 240, "b"), ("2020-01-01 06:00:00", 9.5, 1, 9.5, "a")]
    found = read_philly(write_csv(tmp_path / "philly.csv.gz", PHILLY, rows))
    assert found == (TrainingRow(6 * 3600, 9.5, 1, "a"), TrainingRow(25 * 3600, 60, 4, "b"))


def test_batch_jobs_that_never_ran_are_left_out_and_unknown_fields_have_a_rule(tmp_path: Path) -> None:
    lines = [
        "; MaxProcs: 100",
        swf_line(1, 10, 50, 4, requested=100, user=2),
        swf_line(2, 5, 50, 4, requested=20),
        swf_line(3, 0, 0, 4),
        swf_line(4, 7, 30, -1).replace("-1 -1 -1 -1", "-1 -1 -1 6", 1),
    ]
    assert read_swf(write(tmp_path / "log.swf", "\n".join(lines))) == (
        CpuRow(5, 2, 50, 4, 50, 3),
        CpuRow(7, 4, 30, 6, 30, 3),
        CpuRow(10, 1, 50, 4, 100, 2),
    )


def test_rates_end_where_the_blanks_begin(tmp_path: Path) -> None:
    rows = [(0, ""), (600, 2.5), (1200, 0), (1800, "")]
    assert read_rates(write_csv(tmp_path / "r.csv", "t_s,m_rps", rows), "m") == (2.5, 0.0)


def test_holes_in_the_rates_and_the_windows_they_cut_are_filled_by_a_straight_line() -> None:
    assert clean_rates([0, 10, 0, 0.1, 16, 10]) == pytest.approx((10, 10, 12, 14, 16, 10))
    assert num_missing([0, 10, 0, 0.1, 16, 10]) == 3


@given(
    st.lists(st.sampled_from([0.0, 0.01, 5.0, 9.0, 12.0]), min_size=1).filter(
        lambda rates: 2 * sum(rate > 4 for rate in rates) > len(rates)
    )
)
def test_where_most_windows_are_whole_cleaning_leaves_no_hole_and_twice_changes_nothing(rates: list[float]) -> None:
    once = clean_rates(rates)
    assert min(once) >= 5
    assert max(once) <= max(rates)
    assert clean_rates(once) == once


def test_prefix_blocks_that_an_earlier_request_had_are_not_read_again(tmp_path: Path) -> None:
    requests = [
        {"input_length": 1000, "output_length": 7, "hash_ids": [1, 2]},
        {"input_length": 1500, "output_length": 8, "hash_ids": [1, 2, 3]},
        {"input_length": 1024, "output_length": 9, "hash_ids": [1, 2]},
        {"input_length": 1024, "output_length": 9, "hash_ids": [4, 2]},
    ]
    path = write(tmp_path / "m.jsonl", "\n".join(json.dumps(request) for request in requests))
    assert read_mooncake(path) == sizes((1000, 7), (1500 - 1024, 8), (1, 9), (1024, 9))


def test_load_latencies_are_seconds(tmp_path: Path) -> None:
    path = write_csv(tmp_path / "base.tar.gz", "timestamp_anon,value,container_ip", [(1, 1329.0, "x"), (2, 0.0, "x")])
    assert read_load_latencies(path) == (1.329, 0.0)


def test_the_whole_folder_is_read(traces: Traces) -> None:
    assert (len(traces.training), len(traces.cpu["kth"]), len(traces.rates["m-mid"])) == (3000, 2000, 2016)
    assert traces.rates["m-mid"][5] == pytest.approx(sum(traces.rates["m-mid"][4:7:2]) / 2)


BAD_LINES = [
    ("a duration below a second", read_philly, "p.csv", f"{PHILLY}\n2020-01-01 00:00:00,0,1,0,a", ":2: duration"),
    ("half a GPU", read_philly, "p.csv", f"{PHILLY}\n2020-01-01 00:00:00,5,0.5,0,a", ":2: num_gpus"),
    ("no time", read_philly, "p.csv", f"{PHILLY}\nyesterday,5,1,0,a", ":2: timestamp"),
    ("no tenant", read_philly, "p.csv", f"{PHILLY}\n2020-01-01 00:00:00,5,1,5,", ":2: cluster"),
    ("a cut line", read_philly, "p.csv", f"{PHILLY}\n2020-01-01 00:00:00,5", ":2: num_gpus"),
    ("another heading", read_philly, "p.csv", "time,duration\n1,2", ":1: the heading lacks timestamp"),
    ("no jobs", read_philly, "p.csv", PHILLY, "has no jobs"),
    ("too few fields", read_swf, "l.swf", "; x\n1 2 3", ", line 2: has 3 fields, but SWF has 18"),
    (
        "a word",
        read_swf,
        "l.swf",
        swf_line(1, 0, 5, 1).replace("0 5 1", "0 five 1", 1),
        ", line 1: could not convert string to float",
    ),
    ("before the start", read_swf, "l.swf", swf_line(1, -5, 5, 1), ", line 1: job 1 is submitted at -5"),
    ("only jobs that never ran", read_swf, "l.swf", swf_line(1, 0, 0, 1), "has no jobs that ran"),
    ("no tokens", read_azure, "a.csv", f"{AZURE}\nnow,5,0", ":2: GeneratedTokens"),
    ("infinite", read_azure, "a.csv", f"{AZURE}\nnow,inf,3", ":2: ContextTokens"),
    ("no JSON", read_mooncake, "m.jsonl", "{", ":1: must be an object"),
    ("a list", read_mooncake, "m.jsonl", "\n[1]", ":2: must be an object"),
    ("no blocks", read_mooncake, "m.jsonl", '{"input_length": 5, "output_length": 2}', ":1: must be an object"),
    ("negative latency", read_load_latencies, "b.csv", "value\n-1", ":2: value"),
]


@pytest.mark.parametrize(("what", "read", "name", "text", "said"), BAD_LINES, ids=[case[0] for case in BAD_LINES])
def test_a_bad_line_is_named(
    what: str, read: Callable[[Path], object], name: str, text: str, said: str, tmp_path: Path
) -> None:
    with pytest.raises(BadInput) as caught:
        read(write(tmp_path / name, text))
    assert said in str(caught.value), what
    assert name in str(caught.value)


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ([(0, 1), (600, ""), (1200, 1)], ":3: m_rps must be a number"),
        ([(0, 1), (600, 1), (900, 1)], ":4: t_s must be one window after"),
        ([(600, 1), (0, 1)], ":3: t_s must be one window after"),
        ([(0, ""), (600, "")], "m_rps has no rates"),
    ],
)
def test_a_curve_with_a_gap_or_uneven_windows_is_refused(
    rows: list[tuple[object, object]], said: str, tmp_path: Path
) -> None:
    with pytest.raises(BadInput) as caught:
        read_rates(write_csv(tmp_path / "r.csv", "t_s,m_rps", rows), "m")
    assert said in str(caught.value)


def test_a_model_without_a_curve_and_a_curve_without_rates_are_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="lacks n_rps"):
        read_rates(write_csv(tmp_path / "r.csv", "t_s,m_rps", [(0, 1)]), "n")
    with pytest.raises(BadInput, match="rate zero"):
        clean_rates([0.0, 0.0])


def test_a_missing_file_names_the_variable_to_set(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="FABRIC_TRACES"):
        read_traces(tmp_path)


@pytest.mark.parametrize(
    "path", ["philly-sia/philly.csv.gz", "alibaba-gentd26/basemodel_update_latency_anon.tar.gz"], ids=["gz", "tar.gz"]
)
def test_a_truncated_archive_is_corrupt_and_not_half_read(path: str, tmp_path: Path) -> None:
    whole = (write_all(tmp_path) / path).read_bytes()
    (tmp_path / path).write_bytes(whole[: len(whole) // 2])
    with pytest.raises(Corrupt, match="Copy the trace again"):
        read_traces(tmp_path)


@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.text(st.characters(codec="utf-8"), max_size=200))
def test_any_text_is_refused_in_our_words(tmp_path: Path, text: str) -> None:
    path = tmp_path / "log.swf"
    path.write_text(text, encoding="utf-8")
    for read in (read_swf, read_philly, read_mooncake, read_azure, read_load_latencies):
        with pytest.raises(FabricError):
            read(path)
