"""Commands about single workloads, and about oneself."""

import json

from fabric.api import admin, people
from fabric.api.bills import BillLine, BillList, BillView
from fabric.api.site_events import SITE_EVENTS, SiteEventList, SiteEventView
from tests.unit.cli.conftest import Run
from tests.unit.sdk.fakes import FakeControl, answer, refusal, view

EVENTS = (
    admin.EventView(at=1_000.0, state="queued", reason="submitted", attempt=1),
    admin.EventView(at=1_005.0, state="running", reason="all nodes joined", attempt=1),
)


def test_a_history_is_shown_oldest_first(control: FakeControl, run: Run) -> None:
    control.on("GET /api/fabric/workloads/a/explain", answer(admin.ExplanationView(workload=view("a"), events=EVENTS)))
    lines = run("events", "a").stdout.splitlines()
    assert [line.split()[-1] for line in lines] == ["REASON", "submitted", "joined"]
    assert [event["state"] for event in json.loads(run("events", "a", "--json").stdout)] == ["queued", "running"]


def test_what_happened_at_the_site_is_shown_newest_first_in_pages(control: FakeControl, run: Run) -> None:
    down = SiteEventView(number=9, at=1_000.0, kind="node_down", about="gpu-0", said="is down: no heartbeat")
    read = SiteEventView(number=8, at=990.0, kind="reloaded", about="", said="changed policy", by="ada")
    control.on(f"GET {SITE_EVENTS}", answer(SiteEventList(events=(down, read), before=8)))
    lines = [" ".join(line.split()) for line in run("events", "--limit", "2").stdout.splitlines()]
    assert [line.partition(" ")[2].partition(" ")[2] for line in lines[1:3]] == [
        "node_down gpu-0 - is down: no heartbeat",
        "reloaded - ada changed policy",
    ]
    assert lines[3] == "older ones: fabric events --before 8"
    assert dict(control.asked[-1].url.params) == {"limit": "2"}
    told = run("events", "--before", "8", "--json").stdout
    assert SiteEventList.model_validate_json(told).before == 8
    assert dict(control.asked[-1].url.params) == {"limit": "20", "before": "8"}
    control.on(f"GET {SITE_EVENTS}", answer(SiteEventList(events=())))
    assert run("events").stderr == "nothing is told yet\n"


def test_pages_of_one_workloads_history_are_refused(run: Run) -> None:
    said = run("events", "a", "--before", "3")
    assert said.exit_code == 2
    assert "goes without NAME only" in said.stderr


def test_a_bill_is_shown_line_by_line_with_what_costs_nothing_in_brackets(control: FakeControl, run: Run) -> None:
    lines = (
        BillLine(what="application memory", num_bytes=2**31, charged=True, why="asked for"),
        BillLine(what="scratch", num_bytes=2**30, charged=False, why="on the disk"),
    )
    bill = BillView(group="w", tier="vms", workers=2, slices=3, diskless=False, lines=lines, total_bytes=2**31)
    control.on("GET /api/fabric/workloads/a/bill", answer(BillList(bills=(bill,))))
    said = [" ".join(line.split()) for line in run("bill", "a").stdout.splitlines()]
    assert said == [
        "2 × w: 3 slices on vms, where files are on disks",
        "WHAT SIZE WHY",
        "application memory 2 GiB asked for",
        "scratch (1 GiB) on the disk",
        "total 2 GiB of a node's RAM",
    ]
    assert BillList.model_validate_json(run("bill", "a", "--json").stdout).bills == (bill,)


def test_what_has_ended_is_forgotten_and_the_first_that_has_not_is_told(control: FakeControl, run: Run) -> None:
    path = "DELETE /api/fabric/workloads/"
    control.on(f"{path}a", answer(view("a"))).on(f"{path}b", refusal(409, "conflict", "b has not ended"))
    said = run("delete", "a", "b", "c", "--yes")
    assert (said.exit_code, said.stderr) == (2, "a is forgotten\nerror: b has not ended\n")
    assert [request.url.path.rpartition("/")[2] for request in control.asked] == ["a", "b"]


def test_one_is_told_who_one_is(control: FakeControl, run: Run) -> None:
    me = people.MeView(name="ann-1", user="ann", role="member", project="alpha", permissions=("change", "look"))
    control.on("GET /api/fabric/me", answer(me))
    assert run("whoami").stdout.splitlines() == [
        "ann, with the key ann-1: member of project alpha",
        "may        change, look",
    ]
    assert people.MeView.model_validate_json(run("whoami", "--json").stdout) == me
    control.on("GET /api/fabric/me", answer(me.model_copy(update={"user": "", "project": None, "expires": 9.0})))
    assert run("whoami").stdout.startswith("nobody in person, with the key ann-1: member of the whole site\n")
