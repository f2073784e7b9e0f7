"""Commands about single workloads, and about oneself."""

import json

from fabric.api import admin, people
from fabric.api.bills import BillLine, BillList, BillView
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
