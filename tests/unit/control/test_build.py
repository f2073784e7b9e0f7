"""How the parts of control are opened."""

import hashlib
import shutil
import stat
import time
from pathlib import Path

import pytest

from fabric.backends.keeping.surroundings import Surroundings
from fabric.config.projects import Project, Share
from fabric.config.site import Site
from fabric.config.store import Store
from fabric.config.windows import Window
from fabric.control.build import Outside, ensure_admin_key, lease_of, loop_settings, running
from fabric.scheduler.policy import Policy
from fabric.scheduler.ports import Door
from fabric.store.database import DATABASE, engine_at, open_store
from fabric.store.keyring import KEY_FILE
from fabric.store.packages import TEMPORARY
from fabric.store.records import SqlRecords
from fabric.workloads.spec import ServiceSpec
from tests.builders import job, record, tiny_site
from tests.fake_backend import FakeBackend, NothingWarm
from tests.fake_control import FakeMlflow


class FakeClusters(NothingWarm, FakeBackend):
    """Remembers whether it was begun and ended."""

    def __init__(self, site: Site, around: Surroundings) -> None:
        super().__init__()
        self.life: list[str] = []

    def start(self) -> None:
        self.life.append("begun")

    def close(self) -> None:
        self.life.append("ended")

    def door(self, cluster: str) -> Door | None:
        return None


def test_a_control_alone_acts_at_once_and_sweeps_uploads_that_ended_with_an_earlier_one(tmp_path: Path) -> None:
    half = tmp_path / "packages" / f"{TEMPORARY}half"
    half.parent.mkdir()
    half.write_bytes(b"PK")
    made: list[FakeClusters] = []

    def backend(site: Site, around: Surroundings) -> FakeClusters:
        made.append(FakeClusters(site, around))
        return made[0]

    with running(tiny_site(), tmp_path, Outside(backend, FakeMlflow)):
        assert made[0].life == ["begun"]
        assert not half.exists()
        assert stat.S_IMODE((tmp_path / KEY_FILE).stat().st_mode) == 0o600
    assert made[0].life == ["begun", "ended"]


def test_a_control_that_starts_finishes_replacements_that_a_kill_came_into(
    tmp_path: Path, empty_database: Path
) -> None:
    engine = engine_at(f"sqlite:///{shutil.copy(empty_database, tmp_path / DATABASE)}")
    records = SqlRecords(engine)
    for name in ("one", "two"):
        chat = ServiceSpec(model="play", engine="echo", deployment="chat")
        records.submit(record(job(name, "", kind="service", service=chat)))
    with running(tiny_site(), tmp_path, Outside(FakeClusters, FakeMlflow)):
        assert records.get("one").stop_reason.startswith("replaced by two")
        assert not records.get("two").stop_requested
    engine.dispose()


def test_only_a_shared_database_has_a_lease(tmp_path: Path) -> None:
    engine = open_store(tmp_path)
    assert lease_of(tiny_site(), engine, "me") is None
    shared = tiny_site(store=Store(url="postgresql://fabric@db/fabric", lease_s=9.0))
    assert lease_of(shared, engine, "me") is not None
    engine.dispose()


def test_the_loop_is_told_what_the_site_file_says() -> None:
    assert loop_settings(tiny_site()).policy == Policy()
    window = Window(name="w", nodes=("gpu-0",), starts="2026-12-02T08:00:00+01:00", ends="2026-12-02T12:00:00+01:00")
    projects = (Project(name="physics", limit={"gpu": Share(gpus=1.0)}),)
    site = tiny_site(
        policy={"protect": "all"},
        projects=projects,
        windows=(window,),
        grace_s=3.0,
        overhead_s=7.0,
        usage_half_life_s=60.0,
    )
    told = loop_settings(site)
    assert told.policy == Policy(protect="all")
    assert (told.windows, told.grace_s, told.overhead_s, told.half_life_s) == ((window,), 3.0, 7.0, 60.0)
    assert told.tree.projects == projects


def opens(records: SqlRecords, text: str) -> bool:
    key = records.find_key(hashlib.sha256(text.strip().encode()).hexdigest())
    return key is not None and key.valid(time.time())


def test_an_administrators_key_that_was_removed_is_made_anew_and_the_old_one_opens_nothing(tmp_path: Path) -> None:
    records, file = SqlRecords(open_store(tmp_path)), tmp_path / "admin.key"
    ensure_admin_key(records, file)
    old = file.read_text()
    file.unlink()
    ensure_admin_key(records, file)
    assert (opens(records, old), opens(records, file.read_text())) == (False, True)


def test_a_file_whose_key_was_rotated_away_stops_no_start_and_opens_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    records, file = SqlRecords(open_store(tmp_path)), tmp_path / "admin.key"
    ensure_admin_key(records, file)
    for text in ("one", "two"):
        records.rotate("local administrator", hashlib.sha256(text.encode()).hexdigest(), 0.0)
    ensure_admin_key(records, file)
    assert (opens(records, file.read_text()), opens(records, "two")) == (False, True)
    assert "opens nothing: its key was rotated" in caplog.text
