"""What pages show of control's answers; the same functions as in the browser."""

import json

import pytest

from fabric.api.admin import EventView, ExplanationView, NodeView, ProgressView, SliceView, WorkloadView
from fabric.api.bills import BillLine, BillView
from fabric.api.lists import WorkloadPage
from fabric.api.nodes import DrainPreview, DrainView, MoveView
from fabric.api.occupancy import OccupancyView, Steps
from fabric.api.overview import Amounts, Overview, PromisesView, TierView
from fabric.api.past import CurvesView, TellingView
from fabric.api.people import BudgetView, MemberView, MeView, ProjectView
from fabric.api.site_events import SiteEventList
from fabric.api.usage import UsageRow, UsageView
from fabric.api.use import SliceUse, UseHistory, UsePoint, UseView
from fabric.console.chart import thinned
from fabric.console.memory import Curves
from fabric.console.pages.models import turns_of
from fabric.console.pages.node import node_of, preview_of
from fabric.console.pages.nodes import nodes_of, share_of
from fabric.console.pages.overview import overview_of
from fabric.console.pages.projects import project_of, projects_of, use_of
from fabric.console.pages.queue import queue_of, reason_of
from fabric.console.pages.submit import ANYWHERE, choices_of, spec_of
from fabric.console.pages.workload import (
    bills_of,
    from_outside,
    history_of,
    now_of,
    placement_of,
    progress_of,
    used_of,
    uses_of,
)
from fabric.console.pages.workloads import list_of, states_of
from fabric.core.errors import BadInput
from fabric.workloads.spec import WorkloadSpec

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
        now_of(ExplanationView(workload=evil, missing=EVIL, notices=(EVIL,)), NOW),
        history_of((EventView(at=NOW, state=EVIL, reason=EVIL, attempt=1),)),
        progress_of(ProgressView(stage=EVIL, unit=EVIL, total=1.0, metrics={EVIL: 1.0}, checkpoint_uri=EVIL), Curves()),
        overview_of(overview(queue=(evil,), services=(evil,)), over_time(), SiteEventList(events=())),
        projects_of((project(EVIL),), NOW),
        project_of(project(EVIL), NOW),
        nodes_of((node(EVIL, tier=EVIL, state=EVIL, workloads=(EVIL,)),)),
    ]
    for shown in everything:
        assert "<img" not in shown
        assert ESCAPED in shown


def over_time() -> OccupancyView:
    """A site of which neither past nor future is known."""
    nothing = Steps(begins=NOW, step_s=1.0, num=0)
    return OccupancyView(at=NOW, past=nothing, ahead=nothing, tiers=())


def overview(**more: object) -> Overview:
    whole, free = Amounts(cpus=8, gpus=4, memory_bytes=2**34), Amounts(cpus=6, gpus=1, memory_bytes=2**33)
    tier = TierView(name="gpu", nodes=2, ready=1, total=whole, free=free, held={"batch": Amounts(gpus=3.0)})
    fields = {
        "site": "toy", "at": NOW, "tiers": (tier,), "num_waiting": 12, "running": {"batch": 2, "harvest": 1},
        "promises": PromisesView(num=4, num_kept=3, within_s=60.0),
    }  # fmt: skip
    return Overview.model_validate({**fields, **more})


def test_the_overview_adds_up_jobs_and_says_what_a_tier_has_left() -> None:
    shown = overview_of(overview(queue=(view(),)), over_time(), SiteEventList(events=()))
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


def test_curves_begin_with_what_was_told_before_the_page_was_opened() -> None:
    curves = Curves()
    told = (TellingView(attempt=1, at=NOW + done, done=done, metrics={"loss": 9.0 - done}) for done in (1.0, 2.0))
    curves.told_before(CurvesView(points=tuple(told)))
    curves.told(ProgressView(stage="train", done=3.0, metrics={"loss": 2.0}))
    assert curves.drawable() == [("loss", ((1.0, 8.0), (2.0, 7.0), (3.0, 2.0)))]


def test_what_a_workload_used_is_told_in_hours() -> None:
    row = UsageRow(workload="a", cpu_hours=12.816, gpu_hours=3.2, memory_gib_hours=0.001)
    used = used_of(UsageView(since=0.0, until=1.0, rows=(row,)))
    assert used == "3.2 GPU hours, 12.82 core hours"
    assert used in now_of(ExplanationView(workload=view("a")), NOW, used=used)
    assert used_of(UsageView(since=0.0, until=1.0, rows=())) == ""


def test_what_is_used_is_drawn_against_the_grant_and_told_for_each_slice() -> None:
    of = {"of_cpus": 4.0, "of_memory_bytes": 3 * 2**30, "of_gpus": 2.0}
    used = {"cpus": 0.3, "memory_bytes": 2**30, **of}
    points = tuple(UsePoint(attempt=1, at=NOW + s, **{**used, "cpus": s / 10}) for s in (0, 20))  # type: ignore[arg-type]
    part = SliceUse(slice="w-0", **used)  # type: ignore[arg-type]
    latest = UseView(at=NOW, unmeasured=(EVIL,), slices=(part,), **used)  # type: ignore[arg-type]
    shown = uses_of(UseHistory(latest=latest, points=points))
    assert '<p class="now">0.3 of 4 CPUs, 1 of 3 GiB</p>' in shown
    assert 'aria-label="CPUs, of 4: now 2, from 0 to 2"' in shown
    assert 'points="0.0,88.0 320.0,45.0"' in shown, "half of the grant is half of the height"
    assert "GiB of memory, of 3" in shown
    assert "GPUs, of 2" not in shown, "which nothing counts"
    assert ESCAPED in shown
    assert uses_of(UseHistory(latest=None, points=())) == ""
    on = SliceView(name="w-0", group="w", node="n", tier="t", workers=1, cpus=4, gpus=2, memory_bytes=1, head=True)
    other = on.model_copy(update={"name": "w-1"})
    assert "0.3 of 4 CPUs, 1 of 3 GiB" in placement_of((on, other), (part,))
    assert "Uses" not in placement_of((on, other))


def test_a_ram_bill_is_folded_up_under_its_total() -> None:
    line = BillLine(what="scratch", num_bytes=2**30, charged=False, why="on <the> disk")
    bill = BillView(group="w", tier="vms", workers=2, slices=1, diskless=False, lines=(line,), total_bytes=2**31)
    shown = bills_of((bill,))
    assert "<summary>2 × w on vms: 2 GiB a slice</summary>" in shown
    assert "(1 GiB)" in shown
    assert "on &lt;the&gt; disk" in shown
    assert bills_of(()) == ""


def test_a_long_curve_keeps_its_ends() -> None:
    points = [(float(i), 0.0) for i in range(5000)]
    kept = thinned(points)
    assert (len(kept), kept[0], kept[-1]) == (300, points[0], points[-1])


def test_a_node_says_why_it_was_refused() -> None:
    numa = {"nodes": 36, "with_cores": 4, "of_accelerators": 4, "mode": "numa"}
    refused = node(state="refused", said=EVIL, numa=numa)
    assert "36: 4 with cores, 4 of accelerators; mode numa" in node_of(refused)
    assert ESCAPED in node_of(refused)
    assert ESCAPED in nodes_of((refused,))


def test_a_node_says_who_drains_it_and_what_is_on_it() -> None:
    drain = DrainView(node="gpu-0", by="ada", reason=EVIL, since=NOW, deadline=NOW + 60)
    away = node(state="draining", drain=drain, workloads=("train",))
    shown = node_of(away)
    for words in (f"drained by ada: {ESCAPED}", "everything is gone by", 'href="/workload/train"', "2 of 2", "1 of 4"):
        assert words in shown
    assert f"by ada: {ESCAPED}" in nodes_of((away,))
    assert 'href="/node/gpu-0"' in nodes_of((away,))
    lasting = node_of(node(drain=drain.model_copy(update={"deadline": None})))
    assert "what does not save runs to its end" in lasting
    assert "Nothing runs here." in lasting


def test_a_preview_says_who_would_move_and_who_would_wait() -> None:
    moves = (
        MoveView(workload="chat", project="a", how="moves", to=("gpu-1",), said="is ready on gpu-1 before it leaves"),
        MoveView(workload=EVIL, project="b", how="waits", said=EVIL),
    )
    shown = preview_of(DrainPreview(node="gpu-0", asked_at=NOW, moves=moves))
    assert "is ready on gpu-1 before it leaves" in shown
    assert 'class="state waits"' in shown
    assert "<img" not in shown
    assert "it would be empty at once" in preview_of(DrainPreview(node="gpu-0", asked_at=NOW))


FIELDS = {
    "command": " python x.py ", "name": "", "project": "alpha", "class": "batch", "tier": ANYWHERE, "workers": 2,
    "cpus": 1.5, "gpus": None, "memory_gib": 0.5, "hours": None, "saves": False,
}  # fmt: skip


def test_a_form_becomes_the_spec_that_a_file_would_say() -> None:
    least = spec_of(FIELDS)
    group = {"count": 2, "cpus": 1.5, "gpus": 0.0, "memory": "0.5 GiB"}
    assert least == {
        "entrypoint": "python x.py", "project": "alpha", "priority": "batch", "groups": [group], "checkpoints": False,
    }  # fmt: skip
    whole = spec_of({**FIELDS, "name": "mine", "tier": "gpu", "hours": 0.5, "saves": True})
    assert (whole["name"], whole["walltime_s"], whole["checkpoints"]) == ("mine", 1800.0, True)
    assert whole["groups"][0]["tier"] == "gpu"
    assert WorkloadSpec.model_validate_json(json.dumps(whole)).groups[0].count == 2


def test_a_form_without_a_command_is_refused_before_anybody_is_asked() -> None:
    with pytest.raises(BadInput, match="Command: is empty"):
        spec_of({**FIELDS, "command": "  "})


def test_the_project_of_the_key_is_offered_first() -> None:
    me = MeView(name="k", user="ann", role="member", project="beta")
    assert choices_of(me, ["alpha", "beta"]) == ["beta", "alpha"]
    assert choices_of(me.model_copy(update={"project": None}), ["alpha"]) == ["default", "alpha"]


def project(name: str = "nlp", **more: object) -> ProjectView:
    held = {"gpu": Amounts(gpus=2, cpus=4, memory_bytes=2**33), "commodity": Amounts()}
    budget = BudgetView(gpu_hours=100.0, every="week", used_gpu_hours=25.0, resets_at=NOW + 7200, running=3)
    fields = {
        "name": name, "parent": name, "held": held, "limit": {"gpu": "8 GPUs"}, "budget": budget, "num_running": 2,
        "num_waiting": 1, "members": (MemberView(user=name, project=name, role="member"),), "weight": 2.0,
    }  # fmt: skip
    return ProjectView.model_validate({**fields, **more})


def test_projects_say_what_they_hold_and_how_much_of_their_budget_is_used() -> None:
    shown = projects_of((project(), project("other", closed_at=NOW, budget=None)), NOW)
    for words in ("gpu: 2 GPUs, 4 CPUs, 8 GiB", "8 GPUs on gpu", "25 of 100 GPU hours a week, anew in 2 h", "closed"):
        assert words in shown
    assert "commodity" not in shown
    assert 'aria-label="budget used: 25 %"' in shown
    assert 'href="/project/nlp"' in shown
    assert "No project is known yet" in projects_of((), NOW)


def test_a_project_says_who_is_what_in_it() -> None:
    shown = project_of(project(), NOW)
    for words in ("member", "weight 2", "3 running at most", 'href="/project/nlp"'):
        assert words in shown
    assert "Nobody has a role in it" in project_of(project(members=(), budget=None, parent=None), NOW)


def test_use_is_drawn_day_by_day_without_gaps() -> None:
    day = NOW // 86_400 * 86_400
    rows = (UsageRow(begins=day, cpu_hours=3.0, gpu_hours=0.0, memory_gib_hours=1.0),)
    shown = use_of(UsageView(since=day, until=NOW, rows=rows), day - 29 * 86_400)
    assert 'aria-label="CPU hours a day: now 3, from 0 to 3"' in shown
    assert "GPU hours a day" not in shown
    assert "It used nothing" in use_of(UsageView(since=day, until=NOW, rows=()), day)


@pytest.mark.parametrize(
    ("address", "host", "url"),
    [
        ("http://127.0.0.1:8270", "127.0.0.1", "http://127.0.0.1:8270"),
        ("https://127.0.0.1:8270", "login3.centre.example", "https://login3.centre.example:8270"),
        ("http://localhost:8270", "fd00::1", "http://[fd00::1]:8270"),
        ("https://fabric.centre.example", "login3.centre.example", "https://fabric.centre.example"),
        ("http://127.0.0.1:8270", "", "http://127.0.0.1:8270"),
    ],
)
def test_a_browser_elsewhere_is_sent_to_where_it_found_the_console(address: str, host: str, url: str) -> None:
    assert from_outside(address, host) == url
