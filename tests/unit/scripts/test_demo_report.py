"""What the demo tells at its end."""

import json
from dataclasses import replace
from pathlib import Path

from rich.console import Console

from fabric.api.admin import EventView, SliceView
from scripts.demo_report import Answer, Engine, Report, Training, training_of, why_of, write_report
from scripts.demo_run import last_words
from tests.unit.sdk.fakes import view

SLICE = SliceView(
    name="trainers-0",
    group="trainers",
    node="gpu-0",
    tier="gpu",
    workers=1,
    cpus=1.0,
    gpus=1.0,
    memory_bytes=1,
    head=True,
)
TRAINED = view(
    "pretrain", "succeeded", attempt=2, slices=(SLICE,), granted_at=1_002.0, cluster_ready_at=1_005.0, ended_at=1_030.5,
    progress={"stages": {"imports over": 1_010.0, "saving": 1_020.0}},
)  # fmt: skip
METRICS = {"num_items": 10.0, "mcnemar_p": 0.5, "exact_match_before": 0.1, "exact_match": 0.2}
SHORT = "This was a short run for show."


def event(state: str, reason: str, attempt: int = 1) -> EventView:
    return EventView(at=1.0, state=state, reason=reason, attempt=attempt)


EVENTS = (
    event("queued", "submitted"),
    event("placing", "granted gpu-1, the first try"),
    event("queued", "lost", 2),
    event("placing", "granted gpu-0 [the fullest]", 2),
    event("running", "running", 2),
)


def report() -> Report:
    """A small one."""
    readings = ({"step": 48, "of": "subset", "bits_per_byte": 3.21}, {"step": 96, "of": "all", "bits_per_byte": 2.95})
    judged = {"engine": "transformers", "metrics": METRICS, "before": {"add": 0.1}, "after": {"add": 0.2}}
    return Report(
        workloads=(TRAINED,),
        answers=(Answer("parrot", "p", "[b]t[/b]", asked=20),),
        events={"pretrain": EVENTS},
        models=(),
        judged={**judged, "guessing": {"add": 0.0}},
        training=Training(readings, {"num_tokens": 98_304, "trained_s": 55.5, "xz_bits_per_byte": 2.3}, SHORT),
        engines=(Engine("serve-parrot", "parrot", "vllm", "auto: vLLM imports"),),
        total_s=400.0,
    )


def shown(tmp_path: Path, what: Report | None = None) -> list[str]:
    """The report on a wide terminal, cells one blank apart."""
    console = Console(width=240)
    with console.capture() as said:
        console.print(write_report(what or report(), tmp_path))
    return [" ".join(line.replace("│", " ").split()) for line in said.get().splitlines()]


def test_each_place_is_told_with_the_reason_of_its_last_grant(tmp_path: Path) -> None:
    assert "pretrain trainers-0 gpu-0 gpu 1 1 1 gpu-0 [the fullest]" in shown(tmp_path)
    assert json.loads((tmp_path / "report.json").read_text())["why"] == {"pretrain": "gpu-0 [the fullest]"}
    assert why_of(view("never"), ()) == ""


def test_the_time_is_split_into_queue_cluster_imports_and_work(tmp_path: Path) -> None:
    assert "pretrain 2.0 3.0 5.0 20.5 2" in shown(tmp_path)


def test_the_curve_of_the_short_training_is_told_with_its_being_short(tmp_path: Path) -> None:
    lines = shown(tmp_path)
    assert "pre-training: 98,304 tokens in 55.5 s" in lines
    assert [line for line in lines if line in {"48 subset 3.210", "96 all 2.950", "all, by xz -9e 2.300"}] == [
        "48 subset 3.210",
        "96 all 2.950",
        "all, by xz -9e 2.300",
    ]
    assert SHORT in lines


def test_the_engine_of_each_service_is_told_as_its_replica_said_it(tmp_path: Path) -> None:
    assert "serve-parrot parrot vllm auto: vLLM imports" in shown(tmp_path)


def test_pods_on_other_nodes_than_were_granted_are_told(tmp_path: Path) -> None:
    right = replace(report(), pods={"pretrain": {"pretrain-head": "gpu-0", "pretrain-workers": "gpu-0"}})
    assert right.astray() == []
    assert "2 pods of 1 of 1 workloads were on the nodes that were granted" in shown(tmp_path, right)
    for pods in ({}, {"pretrain-head": "gpu-0", "pretrain-workers": "gpu-1"}):
        wrong = replace(right, pods={"pretrain": pods})
        assert wrong.astray() == ["pretrain"]
        assert "0 pods of 0 of 1 workloads were on the nodes that were granted" in shown(tmp_path, wrong)
    assert (wrong.seen_on("pretrain"), wrong.seen_on("other")) == ("gpu-0, gpu-1", "no node")


def test_what_is_kept_elsewhere_is_whole(tmp_path: Path) -> None:
    plot = tmp_path / "artifacts" / "default" / "demo" / "pretrain" / "curve.png"
    plot.parent.mkdir(parents=True)
    plot.write_bytes(b"picture")
    write_report(report(), tmp_path, tmp_path / "kept" / "here")
    kept = tmp_path / "kept" / "here"
    assert sorted(file.name for file in kept.iterdir()) == ["pretrain-curve.png", "report.json"]
    assert not (tmp_path / "report.json").exists()


def test_what_a_model_says_is_no_markup(tmp_path: Path) -> None:
    assert "parrot answered '[b]t[/b]'" in shown(tmp_path)


def test_what_a_training_left_is_read(tmp_path: Path) -> None:
    (tmp_path / "readings.jsonl").write_text('{"step": 1, "of": "all", "bits_per_byte": 3.0}\n')
    (tmp_path / "manifest.json").write_text(json.dumps({"metrics": {"num_tokens": 3}, "note": SHORT}))
    assert training_of(tmp_path) == Training(
        ({"step": 1, "of": "all", "bits_per_byte": 3.0},), {"num_tokens": 3}, SHORT
    )


def test_the_last_words_of_a_stage_are_its_own() -> None:
    log = "first\n2.634 bits per byte\n[W1201 03:34:53.924860272 utils.cpp:68] Warning: NUMA binding\n"
    assert last_words(log) == "2.634 bits per byte"
    assert last_words("[1, 2]\n") == "[1, 2]"
    assert last_words("") == ""
