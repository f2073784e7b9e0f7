"""Commands about people, projects, keys and usage."""

import csv
import json
import re
from datetime import UTC, datetime
from pathlib import Path

import pytest

from fabric.api import people as wire
from fabric.api.overview import Amounts
from fabric.api.usage import UsageRow, UsageView
from tests.unit.cli.conftest import Run
from tests.unit.sdk.fakes import FakeControl, answer, refusal, view

ALPHA = wire.ProjectView(
    name="alpha", weight=2.0, num_running=1, num_waiting=3, limit={"gpu": "4 GPUs"},
    held={"gpu": Amounts(gpus=2.0, cpus=4.0, memory_bytes=2**30)}, members=(
        wire.MemberView(user="ann", project="alpha", role="admin"),
    ),
)  # fmt: skip
KEY = wire.KeyView(name="ann-1", project="alpha", role="member", user="ann", scopes=("look",), created_at=1.0)
USED = UsageView(
    since=0.0,
    until=9.0,
    rows=(
        UsageRow(begins=3600.0, user="ann", cpu_hours=1.5, gpu_hours=2.0, memory_gib_hours=0.25),
        UsageRow(begins=7200.0, user="", cpu_hours=0.5, gpu_hours=0.0, memory_gib_hours=0.0),
    ),
)


def test_projects_are_listed_and_one_is_shown_with_its_members(control: FakeControl, run: Run) -> None:
    control.on("GET /api/fabric/projects", answer(wire.ProjectList(projects=(ALPHA,))))
    control.on("GET /api/fabric/projects/alpha", answer(ALPHA))
    assert "gpu: 4 CPUs, 2 GPUs, 1 GiB" in run("projects", "list").stdout
    shown = run("projects", "show", "alpha").stdout
    assert "limit      4 GPUs on gpu\nadmin      ann\n" in shown
    assert json.loads(run("projects", "list", "--json").stdout)["projects"][0]["name"] == "alpha"


def test_a_project_is_made_and_closed(control: FakeControl, run: Run) -> None:
    control.on("PUT /api/fabric/projects/alpha", answer(ALPHA))
    assert run("projects", "create", "alpha").stdout == "project alpha takes work\n"
    assert run("projects", "close", "alpha").stdout == "project alpha is closed and takes no more work\n"
    assert list(control.bodies()) == [{"closed": False}, {"closed": True}]


def test_members_come_and_go(control: FakeControl, run: Run) -> None:
    path = "/api/fabric/projects/alpha/members/ann"
    control.on(f"PUT {path}", answer(ALPHA.members[0])).on(f"DELETE {path}", answer(ALPHA.members[0]))
    assert run("projects", "add", "alpha", "ann", "--role", "admin").stdout == "ann is admin of project alpha\n"
    assert run("projects", "remove", "alpha", "ann").stdout == "ann is nothing in project alpha any more\n"
    assert json.loads(control.asked[0].content) == {"role": "admin"}


def test_people_are_added_listed_and_disabled(control: FakeControl, run: Run) -> None:
    ann = wire.UserView(name="ann", full_name="Ann Lee", created_at=1.0, roles={"": "operator", "alpha": "admin"})
    control.on("PUT /api/fabric/users/ann", answer(ann)).on(
        "GET /api/fabric/users", answer(wire.UserList(users=(ann,)))
    )
    assert run("users", "add", "ann", "--role", "operator").stdout.startswith("ann is operator on the whole site")
    assert run("users", "disable", "ann").stdout.startswith("ann is disabled; its work goes on")
    assert [body["disabled"] for body in list(control.bodies())[:2]] == [False, True]
    assert "operator@site admin@alpha" in run("users", "list").stdout


def test_a_new_key_is_shown_once_and_alone_on_stdout(control: FakeControl, run: Run) -> None:
    control.on("POST /api/fabric/keys", answer(wire.KeyMade(key=KEY, secret="fab-1"), 201))
    control.on("POST /api/fabric/keys/ann-1/rotate", answer(wire.KeyMade(key=KEY, secret="fab-2")))
    said = run("keys", "create", "ann-1", "--scope", "look", "--scope", "ask", "--lives", "12h")
    assert (said.stdout, "nobody can show it again" in said.stderr) == ("fab-1\n", True)
    run("keys", "create", "ci", "--machine", "--project", "alpha", "--role", "viewer")
    assert run("keys", "rotate", "ann-1", "--overlap", "1h").stdout == "fab-2\n"
    mine, machines, rotated = control.bodies()
    assert (mine["scopes"], mine["lives_s"], mine["user"]) == (["look", "ask"], 43_200.0, None)
    assert (machines["user"], machines["project"], machines["role"]) == ("", "alpha", "viewer")
    assert rotated == {"overlap_s": 3600.0}


def test_keys_that_have_ended_are_listed_on_wish(control: FakeControl, run: Run) -> None:
    gone = KEY.model_copy(update={"name": "gone", "revoked_at": 2.0, "user": ""})
    old = KEY.model_copy(update={"name": "old", "expires_at": 2.0, "used_at": 1.0})
    control.on("GET /api/fabric/keys", answer(wire.KeyList(keys=(KEY, gone, old))))
    assert [line.split()[0] for line in run("keys", "list").stdout.splitlines()[1:]] == ["ann-1"]
    everything = run("keys", "list", "--all").stdout
    assert re.search(r"gone +a machine +alpha +member +never +revoked +look", everything)
    control.on("GET /api/fabric/keys", answer(wire.KeyList(keys=(gone,))))
    assert run("keys", "list").stderr == "no key to show; without --all, those that have ended are left out\n"


def test_a_key_is_revoked(control: FakeControl, run: Run) -> None:
    control.on("DELETE /api/fabric/keys/ann-1", answer(KEY))
    control.on("DELETE /api/fabric/keys/gone", refusal(404, "not_found", "there is no key gone"))
    assert run("keys", "revoke", "ann-1").stdout == "key ann-1 opens nothing any more\n"
    assert run("keys", "revoke", "gone").exit_code == 3


@pytest.mark.parametrize(
    "words",
    [
        ("keys", "create", "k", "--lives", "soon"),
        ("keys", "create", "k", "--machine", "--user", "ann"),
        ("usage", "--last", "1 day"),
        ("usage", "--out", "use.xlsx"),
        ("projects", "show", ".."),
    ],
)
def test_what_cannot_be_asked_is_bad_input(control: FakeControl, run: Run, words: tuple[str, ...]) -> None:
    assert run(*words).exit_code == 2
    assert control.asked == []


def test_usage_is_shown_with_the_columns_that_were_asked_for(control: FakeControl, run: Run) -> None:
    control.on("GET /api/fabric/usage", answer(USED))
    lines = run("usage", "--by", "hour,user", "--last", "7d").stdout.splitlines()
    assert lines[0].split() == ["BEGINS", "USER", "CPU", "HOURS", "GPU", "HOURS", "MEMORY", "GIB", "HOURS"]
    assert lines[1].split() == ["1970-01-01T01:00:00Z", "ann", "1.500", "2.000", "0.250"]
    assert control.asked[0].url.params.get_list("by") == ["hour", "user"]
    run("usage", "--workload", "train")
    assert control.asked[1].url.params["workload"] == "train"


@pytest.mark.slow
def test_usage_is_exported_without_loss(control: FakeControl, run: Run, tmp_path: Path) -> None:
    from pyarrow import parquet

    control.on("GET /api/fabric/usage", answer(USED))
    assert run("usage", "--by", "hour,user", "--out", "use.csv").stderr == "2 rows written to use.csv\n"
    rows = list(csv.DictReader((tmp_path / "use.csv").read_text().splitlines()))
    assert [(row["begins"], row["user"], float(row["gpu_hours"])) for row in rows] == [
        ("1970-01-01T01:00:00Z", "ann", 2.0),
        ("1970-01-01T02:00:00Z", "", 0.0),
    ]
    run("usage", "--by", "hour,user", "--out", "use.parquet")
    table = parquet.read_table(tmp_path / "use.parquet")
    assert table.column("begins").to_pylist()[0] == datetime(1970, 1, 1, 1, tzinfo=UTC)
    assert table.column("cpu_hours").to_pylist() == [1.5, 0.5]


def test_no_use_is_no_failure(control: FakeControl, run: Run) -> None:
    control.on("GET /api/fabric/usage", answer(USED.model_copy(update={"rows": ()})))
    said = run("usage")
    assert (said.exit_code, said.stderr) == (0, "nothing was used in this time\n")


def test_explain_says_whose_work_it_is(control: FakeControl, run: Run) -> None:
    from fabric.api.admin import ExplanationView

    told = ExplanationView(workload=view("a", submitted_by="ann", project="alpha"))
    control.on("GET /api/fabric/workloads/a/explain", answer(told))
    assert "of         ann, project alpha\n" in run("explain", "a").stdout
