"""The ledger is the integral of what was granted, whatever happens in between."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Self

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import Connection, Engine, delete, event, func, insert, select, update

from fabric.core.resources import Resources
from fabric.store.database import engine_at, is_postgres, open_store, writing
from fabric.store.ledger import GIVEN_BACK, GRANTED, RECONCILED_S, SqlLedger
from fabric.store.records import SqlRecords
from fabric.store.schema import LEDGER, METADATA, WORKLOADS
from fabric.workloads.record import Event, Grant, Slice
from fabric.workloads.states import State
from tests.builders import job, record


class World:
    """A store with a clock of its own."""

    def __init__(self, engine: Engine) -> None:
        self.now = 0.0
        self.engine = engine
        self.records = SqlRecords(engine, now=lambda: self.now)

    def submit(self, name: str, project: str = "alpha") -> None:
        self.records.submit(record(job(name, project=project), at=self.now, submitted_by="ann"))

    def save(self, name: str, state: State, *gpus: int, attempt: int = 1, event: bool = False) -> None:
        """Write what the loop would: slices with so many accelerators each."""
        grant = Grant(tuple(part(number, count) for number, count in enumerate(gpus))) if gpus else None
        changed = replace(self.records.get(name), state=state, grant=grant, attempt=attempt)
        self.records.save([changed], [Event(name, self.now, state, "so")] if event else [])

    def gpu_s(self, since: float, until: float) -> float:
        return sum(s.holding.milli_gpus / 1000 * (s.ended - s.began) for s in self.records.spells(since, until))

    def rows(self) -> int:
        with self.engine.connect() as connection:
            return connection.execute(select(func.count()).select_from(LEDGER)).scalar_one()


class Work:
    """What the database does: hundreds of steps of SQLite's machine, or rows of the ledger that PostgreSQL reads."""

    def __init__(self, engine: Engine) -> None:
        self.done = 0
        self._engine = engine

    def __enter__(self) -> Self:
        event.listen(self._engine, "begin", self._begins)
        event.listen(self._engine, "commit", self._ends)
        return self

    def __exit__(self, *error: object) -> None:
        event.remove(self._engine, "begin", self._begins)
        event.remove(self._engine, "commit", self._ends)

    def _begins(self, connection: Connection) -> None:
        if is_postgres(self._engine):
            self.done -= rows_read(connection)
        else:
            driver = connection.connection.driver_connection
            assert driver is not None
            driver.set_progress_handler(self._step, 100)

    def _ends(self, connection: Connection) -> None:
        if is_postgres(self._engine):
            self.done += rows_read(connection)

    def _step(self) -> int:
        self.done += 1
        return 0


def rows_read(connection: Connection) -> int:
    counts = "seq_tup_read + coalesce(idx_tup_fetch, 0)"
    query = f"SELECT {counts} FROM pg_stat_xact_user_tables WHERE relname = 'ledger'"  # noqa: S608 - no values in it
    return int(connection.exec_driver_sql(query).scalar_one())


def work_of(engine: Engine, ask: Callable[[], object]) -> int:
    with Work(engine) as work:
        ask()
    return work.done


def write_past(engine: Engine, begins: float, number: int) -> None:
    """Let so many have held something for half a second each, one a second."""
    about = {
        "submitted": 0.0, "attempt": 1, "project": "alpha", "user": "ann", "model": "", "slice": "w-0", "node": "g0",
        "tier": "gpu", "milli_cpus": 1000, "milli_gpus": 1000, "memory_bytes": 1,
    }  # fmt: skip
    rows = [
        {"at": begins + each + late_s, "sign": sign, "workload": f"past-{each}", **about}
        for each in range(number)
        for late_s, sign in ((0.0, GRANTED), (0.5, GIVEN_BACK))
    ]
    with engine.begin() as connection:
        connection.execute(insert(LEDGER), rows)
        if is_postgres(engine):
            connection.exec_driver_sql("ANALYZE ledger, workloads")


def part(number: int, gpus: int) -> Slice:
    return Slice(f"workers-{number}", "workers", f"g{number}", "gpu", 1, Resources.of(1, gpus, "1 GiB"), number == 0)


@pytest.fixture
def world(engine: Engine) -> World:
    return World(engine)


def test_a_slice_is_written_when_it_is_granted_and_when_it_is_given_back(world: World) -> None:
    world.submit("a")
    world.now = 10.0
    world.save("a", State.PLACING, 2, 1)
    world.now = 15.0
    world.save("a", State.RUNNING, 2, 1)
    world.now = 30.0
    world.save("a", State.SUCCEEDED, 2, 1)
    second, first = world.records.spells(0.0, 100.0)
    about = first.holding
    assert (about.workload, about.project, about.user, about.tier, about.node) == ("a", "alpha", "ann", "gpu", "g0")
    assert [(s.holding.milli_gpus, s.began, s.ended) for s in (first, second)] == [
        (2000, 10.0, 30.0),
        (1000, 10.0, 30.0),
    ]
    assert world.rows() == 4


def test_use_is_cut_off_at_the_instants_that_are_asked_for(world: World) -> None:
    world.submit("a")
    world.now = 10.0
    world.save("a", State.PLACING, 4)
    assert world.gpu_s(0.0, 10.0) == 0.0
    assert world.gpu_s(12.0, 20.0) == 32.0
    world.now = 30.0
    world.save("a", State.QUEUED)
    assert [world.gpu_s(*window) for window in ((0.0, 99.0), (25.0, 99.0), (30.0, 99.0))] == [80.0, 20.0, 0.0]
    assert world.records.gpu_seconds({"alpha": 25.0, "beta": 0.0}, 99.0) == {"alpha": 20.0, "beta": 0.0}
    assert list(world.records.spells(0.0, 99.0, "beta")) == []
    assert list(world.records.spells(0.0, 99.0, workload="another")) == []


def test_another_attempt_in_the_same_turn_is_another_holding(world: World) -> None:
    world.submit("a")
    world.save("a", State.PLACING, 1)
    world.now = 5.0
    world.save("a", State.PLACING, 1, attempt=2)
    world.now = 7.0
    found = [(s.holding.attempt, s.began, s.ended) for s in world.records.spells(0.0, 7.0)]
    assert found == [(2, 5.0, 7.0), (1, 0.0, 5.0)]


def test_a_change_of_size_is_charged_from_its_instant(world: World) -> None:
    world.submit("a")
    world.save("a", State.PLACING, 2)
    world.now = 10.0
    world.save("a", State.RESIZING, 2, 3)
    world.now = 20.0
    world.save("a", State.RUNNING, 2)
    assert (world.gpu_s(0.0, 20.0), world.rows()) == (2 * 20.0 + 3 * 10.0, 3)


def test_the_ledger_outlives_the_workload_and_a_later_one_of_its_name(world: World) -> None:
    world.submit("a")
    world.save("a", State.PLACING, 1)
    world.now = 4.0
    world.save("a", State.FAILED, 1)
    world.records.delete("a")
    world.submit("a", project="beta")
    world.save("a", State.PLACING, 1)
    world.now = 5.0
    found = [(s.holding.project, s.ended - s.began) for s in world.records.spells(0.0, 5.0)]
    assert found == [("beta", 1.0), ("alpha", 4.0)]


def test_a_clock_that_goes_back_gives_nothing_back(world: World) -> None:
    world.submit("a")
    world.now = 50.0
    world.save("a", State.PLACING, 1)
    world.now = 20.0
    world.save("a", State.SUCCEEDED, 1, event=True)
    assert world.gpu_s(0.0, 99.0) == 0.0


def test_what_an_older_version_granted_is_written_at_the_next_start(world: World) -> None:
    world.submit("a")
    world.save("a", State.PLACING, 1)
    with writing(world.engine) as connection:
        connection.execute(delete(LEDGER))
    world.now = 60.0
    assert [(c.holding.workload, c.sign) for c in world.records.reconcile()] == [("a", GRANTED)]
    assert world.records.reconcile() == ()
    with writing(world.engine) as connection:
        connection.execute(update(WORKLOADS).values(state="queued"))
    assert [c.sign for c in world.records.reconcile()] == [GIVEN_BACK]
    assert world.gpu_s(0.0, 99.0) == 0.0


def test_what_somebody_ended_by_hand_is_given_back_and_an_older_one_is_read_as_if_it_was(world: World) -> None:
    for name in ("old", "new"):
        world.submit(name)
        world.now += RECONCILED_S
        world.save(name, State.RUNNING, 1)
    world.now += 1.0
    with writing(world.engine) as connection:
        connection.execute(update(WORKLOADS).values(state="failed"))
    assert [(c.holding.workload, c.sign) for c in world.records.reconcile()] == [("new", GIVEN_BACK)]
    world.now += 100.0
    assert world.gpu_s(world.now - 1000.0, world.now) == 1.0
    assert world.records.gpu_seconds({"alpha": world.now - 1000.0}, world.now) == {"alpha": 1.0}


def test_a_time_long_past_is_told_without_what_began_after_it(world: World) -> None:
    for name, now, state in (
        ("over", 0.0, State.RUNNING), ("runs", 5.0, State.RUNNING), ("over", 10.0, State.QUEUED),
        ("later", 20.0, State.RUNNING), ("over", 25.0, State.RUNNING), ("later", 30.0, State.QUEUED),
    ):  # fmt: skip
        if name not in {each.name for each in world.records.list()}:
            world.submit(name)
        world.now = now
        world.save(name, state, *([1] if state is State.RUNNING else []))
    world.now = 40.0
    found = {(spell.holding.workload, spell.began, spell.ended) for spell in world.records.spells(4.0, 8.0)}
    assert found == {("over", 4.0, 8.0), ("runs", 5.0, 8.0)}
    assert world.records.gpu_seconds({"alpha": 4.0}, 8.0) == {"alpha": 7.0}


def test_what_a_question_costs_does_not_grow_with_the_age_of_the_ledger(world: World) -> None:
    records, now = world.records, 2 * RECONCILED_S
    world.now = now
    for name in ("a", "b"):
        world.submit(name)
        world.save(name, State.RUNNING, 2)
    world.now += 5.0
    world.save("b", State.QUEUED)
    since, until = now - 10.0, now + 10.0
    questions: dict[str, Callable[[], object]] = {
        "all": lambda: list(records.spells(since, until)),
        "one project": lambda: list(records.spells(since, until, "alpha")),
        "one workload": lambda: list(records.spells(since, until, workload="a")),
        "budgets": lambda: records.gpu_seconds({"alpha": since}, until),
        "a start": records.reconcile,
    }
    write_past(world.engine, 0.0, 10)
    young = {about: work_of(world.engine, ask) for about, ask in questions.items()}
    write_past(world.engine, 100.0, 1000)
    old = {about: work_of(world.engine, ask) for about, ask in questions.items()}
    assert {about: work for about, work in old.items() if work > young[about] + 2} == {}
    assert work_of(world.engine, lambda: list(records.spells(0.0, until))) > 10 * old["all"], "and this would be seen"


def test_a_long_time_is_read_row_after_row(world: World) -> None:
    write_past(world.engine, 0.0, 2000)
    with Work(world.engine) as work:
        spells = world.records.spells(0.0, 1e6)
        last = next(spells)
        first_s_work = work.done
        assert len(list(spells)) == 1999
    assert last.holding.workload == "past-1999"
    assert first_s_work < work.done / 4


HOLDS = [State.PLACING, State.RUNNING, State.DRAINING]
STEP = st.tuples(
    st.sampled_from(["a", "b", "c"]),
    st.sampled_from([*HOLDS, State.QUEUED]),
    st.lists(st.integers(0, 3), min_size=1, max_size=3),
    st.sampled_from(["save", "killed before", "killed after"]),
    st.floats(0.0, 1000.0),
)


@given(st.lists(STEP, max_size=12), st.floats(0.0, 2000.0), st.floats(0.0, 5000.0))
@settings(max_examples=12)
@pytest.mark.slow
def test_the_ledger_is_the_integral_of_the_grants_over_kills_and_restarts(
    steps: list[tuple[str, State, list[int], str, float]], since: float, length: float
) -> None:
    engine = engine_at("sqlite://")
    METADATA.create_all(engine)
    world = World(engine)
    for name in "abc":
        world.submit(name)
    held = dict.fromkeys("abc", 0)
    integral: list[tuple[float, float, int]] = []
    for name, state, gpus, fate, pause_s in steps:
        integral.append((world.now, world.now + pause_s, sum(held.values())))
        world.now += pause_s
        if fate != "killed before":
            world.save(name, state, *gpus, event=pause_s > 500)
            held[name] = sum(gpus) if state.holds_grant else 0
        if fate != "save":
            world.records = SqlRecords(engine, now=lambda: world.now)
            assert world.records.reconcile() == (), "what was committed is in both, what was not in neither"
    until = since + length
    integral.append((world.now, 1e9, sum(held.values())))
    expected = sum(gpus * max(0.0, min(end, until) - max(begin, since)) for begin, end, gpus in integral)
    assert world.gpu_s(since, until) == pytest.approx(expected, abs=1e-6)
    assert world.records.gpu_seconds({"alpha": since}, until)["alpha"] == pytest.approx(expected, abs=1e-3)
    engine.dispose()


def test_a_ledger_is_read_where_nothing_was_written(tmp_path: Path) -> None:
    engine = open_store(tmp_path)
    assert list(SqlLedger(engine).spells(0.0, 1.0)) == []
    engine.dispose()
