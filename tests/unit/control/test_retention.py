"""What ended work left goes when it is old, in one step each; what work holds that has not ended stays."""

import itertools
import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from fabric.api.admin import Report
from fabric.api.retention import PRUNE
from fabric.config.retention import Retention
from fabric.control.callers import LOCAL_ADMIN
from fabric.control.figures import Figures
from fabric.control.notices import kind_of
from fabric.control.retention import Pruning, PruningThread, at_work, old_logs
from fabric.core.errors import Denied, Unavailable
from fabric.store.lease import LostLead
from fabric.store.removal import ASIDE, DEEPEST, Measure
from fabric.store.retention import RETAINED, Ended, SqlRetention
from fabric.workloads.spec import ServiceSpec, WorkloadSpec
from fabric.workloads.states import State
from tests.unit.control.test_metrics import asked
from tests.unit.control.world import START, World, zipped

DAY_S, LONG_AGO = 86_400.0, START - 400 * 86_400.0
PACKAGE = "_ray_pkg_0123456789abcdef.zip"


def age(path: Path, instant: float) -> None:
    """Let a file, or everything below a folder, be last used then."""
    for each in [path, *path.rglob("*")]:
        os.utime(each, (instant, instant))


def ended(world: World, name: str, at: float = LONG_AGO, project: str = "default") -> None:
    """Work that ended then, with a log and with reports."""
    world.job(name, project)
    world.run(name)
    world.records.report(name, Report(stage="train", done=1.0, total=2.0))
    world.write(name, "its words\n")
    world.end(name)
    world.change(name, State.SUCCEEDED, at={"ended": at})
    age(world.folder / "logs" / name, at)


def artifact(world: World, path: str, at: float = LONG_AGO, sealed: bool = True) -> Path:
    """A folder of artifacts that was last used then."""
    folder = world.folder / "artifacts" / path
    folder.mkdir(parents=True)
    (folder / "weights").write_bytes(b"w" * 10)
    if sealed:
        (folder / "manifest.json").write_text("{}")
    age(folder, at)
    return folder


def prunes(world: World, **rules: str | None) -> Pruning:
    """What goes by these rules."""
    return Pruning(world.kept, Retention(**rules), world.clock, Figures())  # type: ignore[arg-type]


def removed(pruning: Pruning) -> dict[str, int]:
    """Of each kind how many went in a pass."""
    return {total.kind: total.number for total in pruning.run().removed}


def told(world: World, name: str) -> list[str]:
    """What a history says of retention."""
    return [e.reason for e in world.records.events(name) if e.reason.startswith(RETAINED)]


def test_logs_and_reports_go_when_their_work_ended_long_ago(world: World) -> None:
    ended(world, "old")
    ended(world, "new", START - 80 * DAY_S)
    assert removed(prunes(world)) == {"log": 1, "report": 1}
    assert (world.logs.read("old")[0], world.logs.read("new")[0]) == (b"", b"its words\n")
    assert (world.records.progress("old").stage, world.records.progress("new").stage) == ("", "train")
    assert removed(prunes(world)) == {}


def test_histories_and_the_ledger_stay_and_say_what_went(world: World) -> None:
    ended(world, "old")
    before, spells = world.records.events("old"), list(world.records.spells(0, START + DAY_S))
    prunes(world).run()
    after = world.records.events("old")
    assert after[: len(before)] == before
    assert [(e.reason, e.state) for e in after[len(before) :]] == [
        (f"{RETAINED}its log was removed; log_age is 90 d", State.SUCCEEDED),
        (f"{RETAINED}what it told of itself was forgotten; report_age is 365 d", State.SUCCEEDED),
    ]
    assert list(world.records.spells(0, START + DAY_S)) == spells
    assert spells


def test_a_web_hook_does_not_take_it_for_another_failure(world: World) -> None:
    ended(world, "old")
    world.change("old", State.FAILED, message="out of memory")
    prunes(world).run()
    assert [kind_of(e) for e in world.records.events("old")[-3:]] == ["failed", None, None]


@pytest.mark.parametrize("state", [s for s in State if not s.final])
def test_nothing_of_work_that_has_not_ended_goes_however_old_it_is(world: World, state: State) -> None:
    world.job("lives")
    world.run("lives")
    world.records.report("lives", Report(stage="train"))
    world.write("lives", "words")
    world.change("lives", state)
    age(world.folder / "logs", LONG_AGO)
    folder = artifact(world, "default/runs/a")
    rules = {"log_age": "1 h", "max_logs": "1 B", "report_age": "1 h", "artifact_age": "1 h"}
    assert removed(prunes(world, **rules)) == {}
    assert (world.logs.read("lives")[0], world.records.progress("lives").stage) == (b"words", "train")
    assert folder.is_dir()


def test_a_log_that_was_written_just_now_stays_though_the_work_of_its_name_ended_long_ago(world: World) -> None:
    ended(world, "again")
    age(world.folder / "logs" / "again", world.clock.at - 60)
    assert removed(prunes(world, report_age=None)) == {}


def test_logs_of_work_that_nobody_knows_go_by_their_last_line(world: World) -> None:
    world.write("deleted", "late words")
    age(world.folder / "logs" / "deleted", START - 91 * DAY_S)
    assert removed(prunes(world)) == {"log": 1}


def test_what_lies_beside_the_logs_and_is_none_stays_and_keeps_nothing_else_from_going(world: World) -> None:
    ended(world, "old")
    other = world.folder / "logs" / "lost+found"
    other.mkdir()
    (other / "1").write_text("x")
    age(other, LONG_AGO)
    assert removed(prunes(world)) == {"log": 1, "report": 1}
    assert other.is_dir()


def test_where_logs_take_too_much_those_go_whose_work_ended_first() -> None:
    kept = {name: Measure(40, 0.0, 0.0) for name in ("a", "b", "c", "lives", "fresh")}
    ends = {
        "a": Ended("a", "p", 2.0), "b": Ended("b", "p", 1.0), "c": Ended("c", "p", 3.0),
        "lives": Ended("lives", "p", None), "fresh": Ended("fresh", "p", 1e6),
    }  # fmt: skip
    rules = Retention(log_age=None, max_logs="130 B")
    assert [each.name for each in old_logs(kept, ends, rules, now=1e6)] == ["b", "a"]
    assert [each.name for each in old_logs(kept, ends, Retention(max_logs="1 B", log_age=None), 1e6)] == ["b", "a", "c"]
    assert old_logs(kept, ends, Retention(log_age=None), 1e6) == []


def test_unused_packages_go_by_their_own_age_and_those_that_work_names_stay(world: World) -> None:
    other = PACKAGE.replace("0", "f")
    for name in (PACKAGE, other):
        world.packages.put(name, [zipped(x="1")])
    world.job("needs", runtime_env={"working_dir": f"gcs://{other}"})
    age(world.folder / "packages", LONG_AGO)
    assert removed(prunes(world)) == {"package": 1}
    assert [world.packages.has(name) for name in (PACKAGE, other)] == [False, True]


def test_artifacts_stay_unless_the_site_gives_them_an_age(world: World) -> None:
    folder = artifact(world, "alpha/runs/a")
    assert removed(prunes(world)) == {}
    assert removed(prunes(world, artifact_age="30 d")) == {"artifact": 1}
    assert not folder.exists()


def test_parts_of_artifacts_stay_or_go_as_a_whole(world: World) -> None:
    artifact(world, "alpha/runs/old")
    half = artifact(world, "alpha/runs/half")
    age(half / "weights", START)
    inputs = artifact(world, "alpha/inputs", sealed=False)
    versions = artifact(world, "alpha/models/chat/1234")
    loose = world.folder / "artifacts/alpha/notes.txt"
    loose.write_text("x")
    age(loose, LONG_AGO)
    (world.folder / "artifacts/alpha/link").symlink_to(versions)
    sizes = {part.path: part.size.num_bytes for part in world.kept.artifacts.parts()}
    assert sizes == {"inputs": 10, "runs/half": 12, "runs/old": 12, "notes.txt": 1}
    assert removed(prunes(world, artifact_age="30 d")) == {"artifact": 3}
    assert (half.is_dir(), inputs.exists(), loose.exists(), versions.is_dir()) == (True, False, False, True)


def test_what_is_read_counts_as_used(world: World) -> None:
    folder = artifact(world, "alpha/data")
    os.utime(folder / "weights", (START - DAY_S, LONG_AGO))
    assert removed(prunes(world, artifact_age="30 d")) == {}


def test_artifacts_of_a_project_at_work_stay_and_the_preview_says_so(make_world: Callable[..., World]) -> None:
    world = make_world()
    artifact(world, "alpha/data")
    artifact(world, "beta/data")
    world.job("trains", "alpha")
    world.pruning.use(Retention(artifact_age="30 d"))
    seen = world.client().get(PRUNE).json()
    assert [(e["kind"], e["project"], e["name"]) for e in seen["removals"]] == [("artifact", "beta", "data")]
    assert seen["stays"] == ["1 artifact of project alpha (12 B): work of it waits or runs"]
    world.pruning.run()
    assert (world.folder / "artifacts/alpha/data").is_dir()


def test_services_of_models_do_not_keep_artifacts_as_versions_are_links_of_their_own(world: World) -> None:
    served = WorkloadSpec(name="s", kind="service", project="a", service=ServiceSpec(model="m@champion", engine="echo"))
    record = replace(world.job("j", "b"), spec=served)
    assert at_work([record, world.records.get("j")]) == {"b"}


def test_a_preview_removes_nothing_and_names_everything(world: World) -> None:
    ended(world, "old", project="alpha")
    seen = world.client().get(PRUNE).json()
    assert [(e["kind"], e["project"], e["name"], e["num_bytes"], e["since"]) for e in seen["removals"]] == [
        ("log", "alpha", "old", 12, LONG_AGO), ("report", "alpha", "old", 0, LONG_AGO),
    ]  # fmt: skip
    assert [(t["kind"], t["number"]) for t in seen["totals"]] == [
        ("log", 1), ("report", 1), ("package", 0), ("artifact", 0),
    ]  # fmt: skip
    assert (seen["last"], world.logs.read("old")[0]) == (None, b"its words\n")


def test_a_preview_looks_at_artifacts_for_a_while_says_what_it_left_out_and_a_pass_looks_at_all(world: World) -> None:
    for name in ("a", "b", "c"):
        artifact(world, f"alpha/{name}")
    rules, passed_s = Retention(artifact_age="30 d"), itertools.count().__next__
    pruning = Pruning(world.kept, rules, world.clock, Figures(), passed_s=passed_s)
    seen = pruning.preview(LOCAL_ADMIN)
    # Three folders are looked for parts in, and the two files of the first one are measured.
    assert [each.name for each in seen.removals] == ["a"]
    assert seen.unseen == "artifacts after a of project alpha: looking at all of them takes longer than 5 s"
    assert removed(pruning) == {"artifact": 3}
    assert Pruning(world.kept, rules, world.clock, Figures()).preview(LOCAL_ADMIN).unseen == ""


def test_a_pass_that_somebody_asks_for_begins_at_once_and_is_told_of(world: World) -> None:
    ended(world, "old")
    thread = PruningThread(world.pruning)
    assert world.client().post(PRUNE).json()["totals"][0]["number"] == 1
    assert world.pruning.wanted.is_set()
    thread.start()
    thread.end()
    assert not thread.is_alive()
    last = world.client().get(PRUNE).json()["last"]
    assert {total["kind"]: total["number"] for total in last["removed"]} == {"log": 1, "report": 1}
    assert (last["at"], last["failures"]) == (START, [])


def test_removals_are_counted(world: World) -> None:
    ended(world, "old")
    world.pruning.run()
    found = asked(world)
    assert found["fabric_retention_removed_total", ("log",)] == 1
    assert found["fabric_retention_freed_bytes_total", ("log",)] == 12
    assert found["fabric_retention_last_pass_timestamp_seconds", ()] == START


def test_only_who_steers_the_site_may_look_and_ask_for_it(make_world: Callable[..., World]) -> None:
    world = make_world(anonymous=False)
    member = world.service.caller_of(world.issue("member", "admin", "alpha"))
    for ask in (world.pruning.preview, world.pruning.begin):
        with pytest.raises(Denied):
            ask(member)
    assert not world.pruning.wanted.is_set()


class Killed(BaseException):
    """The process dies here."""


@pytest.mark.parametrize("at", range(10))
def test_a_pass_that_is_killed_anywhere_is_finished_by_the_next_one(
    world: World, monkeypatch: pytest.MonkeyPatch, at: int
) -> None:
    for name in ("a", "b"):
        ended(world, name)
    world.job("lives")
    world.run("lives")
    world.write("lives", "words")
    artifact(world, "alpha/data")
    pruning = prunes(world, artifact_age="30 d")
    dies_before(monkeypatch, at)
    try:
        pruning.run()
    except Killed:
        pass
    monkeypatch.undo()
    for name in ("a", "b"):
        assert world.logs.read(name)[0] in (b"", b"its words\n"), "whole or gone"
    prunes(world, artifact_age="30 d").run()
    assert [world.logs.read(name)[0] for name in ("a", "b", "lives")] == [b"", b"", b"words"]
    assert [len(told(world, name)) for name in ("a", "b", "lives")] == [2, 2, 0]
    left = [p for root in ("logs", "artifacts") for p in (world.folder / root / ASIDE).glob("*")]
    assert left == []
    assert not (world.folder / "artifacts/alpha/data").exists()


def dies_before(monkeypatch: pytest.MonkeyPatch, at: int) -> None:
    """Let the process die before the change number `at` to files or records."""
    done = 0

    def counted(function: Callable[..., object]) -> Callable[..., object]:
        def call(*args: object, **kwargs: object) -> object:
            nonlocal done
            done += 1
            if done > at:
                raise Killed
            return function(*args, **kwargs)

        return call

    monkeypatch.setattr(os, "rename", counted(os.rename))
    monkeypatch.setattr(shutil, "rmtree", counted(shutil.rmtree))
    monkeypatch.setattr(SqlRetention, "say", counted(SqlRetention.say))
    monkeypatch.setattr(SqlRetention, "forget_reports", counted(SqlRetention.forget_reports))


def test_what_cannot_be_removed_keeps_nothing_else_from_going(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    ended(world, "old")
    artifact(world, "alpha/data")

    def refused(before: float, limit: int, said: str) -> int:
        raise Unavailable("the disk refuses")

    monkeypatch.setattr(world.kept.records, "forget_reports", refused)
    done = prunes(world, artifact_age="30 d").run()
    assert ({t.kind for t in done.removed}, done.failures) == ({"log", "artifact"}, ("report: the disk refuses",))


def test_a_thread_that_never_began_ends(world: World) -> None:
    PruningThread(prunes(world)).end()


def test_folders_that_their_owner_made_read_only_go_as_well(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    inside = artifact(world, "default/cache/module", sealed=False)
    for folder in (inside, inside.parent):
        folder.chmod(0o555)
    modes, move, whole = [], os.rename, shutil.rmtree

    def moved(name: str, to: Path, **at: int) -> None:
        modes.append(inside.parent.stat().st_mode & 0o777)
        move(name, to, **at)

    def gone(path: Path) -> None:
        modes.extend((path / "it" / each).stat().st_mode & 0o777 for each in (".", "module"))
        whole(path)

    # Whoever is root may do all of it anyway, so what others would meet is looked at.
    monkeypatch.setattr(os, "rename", moved)
    monkeypatch.setattr(shutil, "rmtree", gone)
    assert removed(prunes(world, artifact_age="30 d")) == {"artifact": 1}
    assert modes == [0o700] * 3
    assert list((world.folder / "artifacts" / ASIDE).iterdir()) == []


def test_folders_in_each_other_without_end_stay_and_keep_nothing_else_from_going(world: World) -> None:
    artifact(world, "default/old")
    deep = artifact(world, "default/deep")
    here = os.open(deep, os.O_RDONLY)
    for _ in range(DEEPEST + 60):
        os.mkdir("d", dir_fd=here)
        here, above = os.open("d", os.O_RDONLY, dir_fd=here), here
        os.close(above)
    os.close(here)
    assert removed(prunes(world, artifact_age="30 d")) == {"artifact": 1}
    assert deep.is_dir()


def test_what_was_set_aside_and_cannot_go_keeps_nothing_else_from_going(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    aside = world.folder / "artifacts" / ASIDE / "stuck"
    aside.mkdir(parents=True)
    artifact(world, "default/old")
    whole = shutil.rmtree

    def stuck(path: Path) -> None:
        if path == aside:
            raise PermissionError(13, "Permission denied")
        whole(path)

    monkeypatch.setattr(shutil, "rmtree", stuck)
    done = prunes(world, artifact_age="30 d").run()
    assert [(total.kind, total.number) for total in done.removed] == [("artifact", 1)]
    assert "artifact" in done.failures[0]


def test_a_control_that_no_longer_leads_removes_nothing(world: World) -> None:
    ended(world, "old")

    def lost() -> None:
        raise LostLead("another one leads")

    pruning = Pruning(replace(world.kept, fence=lost), Retention(), world.clock, Figures())
    with pytest.raises(LostLead):
        pruning.run()
    assert (world.logs.read("old")[0], told(world, "old")) == (b"its words\n", [])
