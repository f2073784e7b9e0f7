"""What pages show of control's answers; the same functions as in the browser."""

from fabric.api.admin import EventView, ExplanationView, ModelVersionView, NodeView, ProgressView, WorkloadView
from fabric.api.lists import WorkloadPage
from fabric.api.overview import Amounts, Overview, PromisesView, TierView
from fabric.console.chart import thinned
from fabric.console.memory import Curves, Occupancy
from fabric.console.pages.models import models_of, turns_of
from fabric.console.pages.nodes import nodes_of, share_of
from fabric.console.pages.overview import overview_of
from fabric.console.pages.queue import queue_of, reason_of
from fabric.console.pages.workload import history_of, now_of, progress_of
from fabric.console.pages.workloads import list_of, states_of

NOW = 1_750_000_000.0
EVIL = "<img src=x onerror=alert(1)>"
ESCAPED = "&lt;img src=x onerror=alert(1)&gt;"


def view(name: str = "train", **more: object) -> WorkloadView:
    fields = {
        "name": name, "project": "default", "kind": "job", "state": "queued", "priority": "batch",
        "entrypoint": "python x.py", "attempt": 1, "failures": 0, "message": "waits: 1 GPUs", "submitted_at": NOW - 90,
    }  # fmt: skip
    return WorkloadView.model_validate({**fields, **more})


def page(*views: WorkloadView, total: int | None = None, offset: int = 0) -> WorkloadPage:
    return WorkloadPage(total=len(views) if total is None else total, offset=offset, workloads=views)


def test_the_queue_says_place_reason_and_promise_once() -> None:
    told = "lost a node; waits: 2 GPUs missing on gpu; behind a; promised to start by 2026-07-05 14:03:20 UTC"
    shown = queue_of(page(view(message=told, promised=True, expected_start=NOW + 60), offset=50, total=99), NOW, 50)
    assert "99 waiting" in shown
    assert "<div>51</div>" in shown
    assert ">lost a node; 2 GPUs missing on gpu; behind a<" in shown
    assert "promised</span>" in shown
    assert "14:03:20" not in shown
    assert "offset=0" in shown


def test_an_empty_queue_says_so_and_an_unforeseen_start_too() -> None:
    assert "Nobody waits" in queue_of(page(), NOW, 50)
    unseen = view(message="waits: 1 GPUs; its start cannot be foreseen yet")
    assert reason_of(unseen) == "1 GPUs"
    assert "not known yet" in queue_of(page(unseen), NOW, 50)


def test_names_and_reasons_that_are_html_stay_text_everywhere() -> None:
    evil = view(EVIL, message=EVIL, entrypoint=EVIL, project=EVIL, condition=EVIL, endpoint=EVIL)
    everything = [
        queue_of(page(evil), NOW, 50),
        list_of(page(evil), NOW, 50, ""),
        now_of(ExplanationView(workload=evil, missing=EVIL), NOW),
        history_of((EventView(at=NOW, state=EVIL, reason=EVIL, attempt=1),)),
        progress_of(ProgressView(stage=EVIL, unit=EVIL, total=1.0, metrics={EVIL: 1.0}, checkpoint_uri=EVIL), Curves()),
        overview_of(overview(queue=(evil,), services=(evil,)), Occupancy()),
        nodes_of((node(EVIL, tier=EVIL, state=EVIL, workloads=(EVIL,)),)),
    ]
    for shown in everything:
        assert "<img" not in shown
        assert ESCAPED in shown


def overview(**more: object) -> Overview:
    whole, free = Amounts(cpus=8, gpus=4, memory_bytes=2**34), Amounts(cpus=6, gpus=1, memory_bytes=2**33)
    tier = TierView(name="gpu", nodes=2, ready=1, total=whole, free=free, held={"batch": Amounts(gpus=3.0)})
    fields = {
        "site": "toy", "at": NOW, "tiers": (tier,), "num_waiting": 12, "running": {"batch": 2, "harvest": 1},
        "promises": PromisesView(num=4, num_kept=3, within_s=60.0),
    }  # fmt: skip
    return Overview.model_validate({**fields, **more})


def test_the_overview_adds_up_jobs_and_says_what_a_tier_has_left() -> None:
    shown = overview_of(overview(queue=(view(),)), Occupancy())
    for words in ("<b>12</b>", "<b>3</b>", "<b>3 of 4</b>", "3 of 4</span>", "8 GiB of 16 GiB", "1 of 2 nodes ready"):
        assert words in shown
    assert "batch (3 GPUs)" in shown
    assert 'href="/queue"' in shown


def node(name: str = "gpu-0", **more: object) -> NodeView:
    fields = {
        "name": name, "tier": "gpu", "state": "ready", "heads": False,
        "capacity": {"cpus": 4.0, "gpus": 2.0, "memory_bytes": 4.0 * 2**30},
        "used": {"cpus": 1.0, "gpus": 2.0, "memory_bytes": 2.0**30},
    }  # fmt: skip
    return NodeView.model_validate({**fields, **more})


def test_a_node_is_as_full_as_its_scarcest_resource() -> None:
    assert share_of(node()) == 1.0
    assert share_of(node(capacity={"cpus": 4.0, "gpus": 0.0})) == 0.25
    crowded = node(workloads=tuple(f"w{i}" for i in range(9)), state="draining")
    shown = nodes_of((node("gpu-1"), crowded))
    assert "1 of 2 ready" in shown
    assert "and 3 more" in shown
    assert shown.index("gpu-0") < shown.index("gpu-1")


def test_a_running_elastic_job_says_its_sizes_and_losses() -> None:
    running = view(
        state="running", message="running", running_at=NOW - 30, granted_at=NOW - 50, workers=2, least=1, most=4,
        becomes=1, attempt=3, failures=1, preemptions=1,
    )  # fmt: skip
    shown = now_of(ExplanationView(workload=running), NOW)
    assert "2 of 1 to 4, becoming 1" in shown
    assert "3 (1 lost, 1 preempted)" in shown
    assert ">running</span> <span></span>" in shown


def test_choices_of_states_are_what_control_knows() -> None:
    assert states_of("") == ()
    assert states_of("failed") == ("failed",)
    assert "queued" in states_of("active")
    assert "failed" not in states_of("active")


def test_a_model_says_where_it_comes_from_and_leads_to_its_parent() -> None:
    version = ModelVersionView(
        name="tale", version=2, aliases=("champion",), uri="file:///m", metrics={f"m{i}": i / 8 for i in range(10)},
        lineage={"config": '{"steps": 3}', "data": "corpus:1", "parent": f"base:1, {EVIL}"}, created_at=NOW,
    )  # fmt: skip
    shown = models_of((version,))
    for words in ("champion", "2 more", "<summary>settings</summary>", "corpus:1", 'href="#model-base:1"'):
        assert words in shown
    assert "<img" not in shown
    assert "No model is registered" in models_of(())


def test_a_conversation_is_text_and_an_answer_that_has_not_begun_is_dots() -> None:
    shown = turns_of([("user", EVIL), ("assistant", "")])
    assert ESCAPED in shown
    assert ">…</p>" in shown


def test_what_a_workload_told_becomes_a_curve_and_a_new_beginning_a_new_one() -> None:
    curves = Curves()
    for done, loss in ((1.0, 4.0), (1.0, 9.0), (2.0, 3.0), (3.0, 2.0)):
        curves.told(ProgressView(stage="train", done=done, metrics={"loss": loss}))
    assert curves.drawable() == [("loss", ((1.0, 4.0), (2.0, 3.0), (3.0, 2.0)))]
    shown = progress_of(ProgressView(stage="train", metrics={"loss": 2.0}), curves)
    assert 'aria-label="loss: now 2, from 2 to 4"' in shown
    assert 'points="0.0,2.0 160.0,45.0 320.0,88.0"' in shown
    curves.told(ProgressView(stage="train", done=0.0, metrics={"loss": 5.0}))
    assert curves.drawable() == []


def test_tiers_are_remembered_now_and_then_and_drawn() -> None:
    before = Occupancy()
    for after_s in (0, 2, 60, 61, 120):
        before.saw(overview(at=NOW + after_s))
    assert before.of("gpu") == tuple((NOW + after_s, 75.0) for after_s in (0, 60, 120))
    assert "% held, last 2 min" in overview_of(overview(), before)
    assert "% held" not in overview_of(overview(), Occupancy())


def test_a_long_curve_keeps_its_ends() -> None:
    points = [(float(i), 0.0) for i in range(5000)]
    kept = thinned(points)
    assert (len(kept), kept[0], kept[-1]) == (300, points[0], points[-1])
