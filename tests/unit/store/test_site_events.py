"""What happened at a site is kept, the newest of it, in the transaction that made it happen."""

from dataclasses import replace

import pytest

from fabric.store import site_events
from fabric.store.drains import Drain
from fabric.store.records import SqlRecords
from fabric.store.reloads import Reload
from fabric.store.site_events import SiteEvent
from fabric.workloads.record import Event
from fabric.workloads.spec import ServiceSpec, WorkloadSpec
from fabric.workloads.states import State
from tests.builders import group, job, record


def told(records: SqlRecords, project: str | None = None, **more: object) -> list[tuple[str, str, str]]:
    found = records.site_events(project, **more)  # type: ignore[arg-type]
    return [(event.kind, event.about, event.said) for event in found]


def move(records: SqlRecords, name: str, state: State, why: str, attempt: int = 1) -> None:
    moved = replace(records.get(name), state=state, message=why, attempt=attempt)
    records.save([moved], [Event(name, 2000.0, state, why, attempt)])


def service(name: str = "chat", **more: object) -> WorkloadSpec:
    spec = {"model": "tale@champion", **more}
    return WorkloadSpec(name=name, kind="service", groups=(group(),), service=ServiceSpec.model_validate(spec))


def test_work_that_fails_is_lost_or_preempted_is_told_once_each_time(records: SqlRecords) -> None:
    records.submit(record(job("a", project="alpha")))
    for state, why, attempt in (
        (State.RUNNING, "runs", 1), (State.DRAINING, "room for b", 1), (State.DRAINING, "room for b, still", 1),
        (State.QUEUED, "again", 2), (State.RUNNING, "runs", 2), (State.RECOVERING, "node g0 is lost", 2),
        (State.QUEUED, "again", 3), (State.FAILED, "ended with code 1", 3),
    ):  # fmt: skip
        move(records, "a", state, why, attempt)
    assert told(records) == [
        ("failed", "a", "ended with code 1"),
        ("lost", "a", "node g0 is lost"),
        ("preempted", "a", "room for b"),
    ]
    assert {event.project for event in records.site_events()} == {"alpha"}
    assert records.site_events()[0].at == 2000.0


def test_a_service_is_told_when_it_is_handed_in_and_when_it_ends_and_a_job_is_not(records: SqlRecords) -> None:
    records.submit(record(service(deployment="shop"), submitted_by="ann", at=7.0))
    records.submit(record(job("a")))
    for name in ("chat", "a"):
        move(records, name, State.CANCELLED, "stopped by ann")
    assert told(records) == [
        ("ended", "chat", "stopped by ann"),
        ("deployed", "chat", "serves tale@champion as shop"),
    ]
    assert [(event.by, event.at) for event in records.site_events()] == [("", 2000.0), ("ann", 7.0)]


def test_a_repeated_submission_is_told_once(records: SqlRecords) -> None:
    for _ in range(2):
        records.submit(record(service()), "key")
    assert told(records) == [("deployed", "chat", "serves tale@champion")]


def test_a_warning_is_told_and_another_line_is_not(records: SqlRecords) -> None:
    records.submit(record(job("a")))
    records.add_event(Event("a", 5.0, State.RUNNING, "warning: idle for 31 min"))
    records.add_event(Event("a", 6.0, State.RUNNING, "something else"))
    assert told(records) == [("warning", "a", "idle for 31 min")]


def test_what_people_do_with_nodes_and_with_the_site_file_is_told(records: SqlRecords) -> None:
    records.drain(Drain("g0", "ada", "bad DIMM", 50.0))
    assert records.undrain("g0", "bob")
    assert not records.undrain("g0", "bob")
    records.add_reload(Reload(60.0, "ada", changed=("policy",), waiting=("ports",)))
    records.add_reload(Reload(61.0, "ada"))
    records.add_reload(Reload(62.0, "SIGHUP", refused="tiers: is no list"))
    assert told(records) == [
        ("reload_refused", "", "tiers: is no list"),
        ("reloaded", "", "nothing changed"),
        ("reloaded", "", "changed policy; after a restart: ports"),
        ("node_returned", "g0", "takes new work again"),
        ("node_drained", "g0", "bad DIMM"),
    ]
    assert [event.by for event in records.site_events()] == ["SIGHUP", "ada", "ada", "bob", "ada"]
    assert records.node_kinds() == {"g0": "node_returned"}


def test_a_project_is_told_its_own_and_the_sites_in_pages(records: SqlRecords) -> None:
    projects = ("alpha", "", "beta", "alpha")
    records.add_site_events(SiteEvent(float(i), "failed", f"w{i}", "", projects[i]) for i in range(4))
    assert [event.about for event in records.site_events("alpha")] == ["w3", "w1", "w0"]
    newest, older = records.site_events("alpha", limit=2), []
    older = list(records.site_events("alpha", before=newest[-1].number, limit=2))
    assert [event.about for event in (*newest, *older)] == ["w3", "w1", "w0"]
    assert told(records, without=("failed",)) == []


def test_of_a_long_reason_the_beginning_is_told(records: SqlRecords) -> None:
    records.submit(record(job("a")))
    move(records, "a", State.FAILED, "x" * 4000)
    (event,) = records.site_events()
    assert event.said == "x" * (site_events.LONGEST_REASON - 1) + "…"


def test_only_the_newest_are_kept_and_numbers_go_on(records: SqlRecords, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(site_events, "KEPT", 3)
    for i in range(6):
        records.add_site_events([SiteEvent(float(i), "failed", f"w{i}", "")])
    found = records.site_events()
    assert [(event.about, event.number) for event in found] == [("w5", 6), ("w4", 5), ("w3", 4)]


def test_what_is_forgotten_of_work_is_forgotten_here_too(records: SqlRecords) -> None:
    for name in ("a", "b"):
        records.submit(record(job(name)))
        move(records, name, State.FAILED, "no")
    records.add_site_events([SiteEvent(1.0, "node_down", "a", "is down")])
    records.delete("a")
    assert told(records) == [("node_down", "a", "is down"), ("failed", "b", "no")]


def test_texts_that_no_database_holds_are_written_out(records: SqlRecords) -> None:
    records.add_site_events([SiteEvent(1.0, "failed", "a", "zero \0 and half \ud800", by="x\0")])
    assert told(records) == [("failed", "a", r"zero \x00 and half \ud800")]
