"""What every implementation of the port `Records` does; each inherits the suite and says how to build it."""

from abc import ABC, abstractmethod
from dataclasses import replace

from fabric.core.resources import Resources
from fabric.scheduler.ports import Records
from fabric.workloads.record import Event, Grant, Instants, Record, SetAside
from fabric.workloads.states import State
from tests.builders import job, piece, record


class RecordsContract(ABC):
    """The suite; `records` is a fixture of the subclass."""

    @abstractmethod
    def take_in(self, records: Records, *new: Record) -> None:
        """Let workloads be submitted."""

    @abstractmethod
    def ask_to_stop(self, records: Records, name: str) -> None:
        """Let a person ask for a workload's end."""

    @abstractmethod
    def ask_for(self, records: Records, name: str, workers: int) -> None:
        """Let a person ask for another size."""

    @abstractmethod
    def history(self, records: Records, name: str) -> list[tuple[State, str]]:
        """What was appended to a workload's history by `save`."""

    def test_nothing_is_active_in_an_empty_store(self, records: Records) -> None:
        assert records.active() == {}

    def test_a_saved_record_is_read_back_equal(self, records: Records) -> None:
        self.take_in(records, record(job("a"), at=1.5, submitted_by="ann"))
        running = replace(
            record(job("a"), State.RUNNING, at=1.5, submitted_by="ann"),
            at=Instants(1.5, granted=2.0, cluster_ready=3.25, running=4.125, resized=5.5),
            attempt=2,
            generation=3,
            failures=1,
            preemptions=2,
            ran_s=12.5,
            grant=Grant((piece("c0", head=True), piece("g1", "trainers")), "two tiers"),
            target=Grant((piece("c0", head=True),), "for another"),
            leave_by=6.25,
            message="running",
            waits_for="1 GPU short",
            expected_start=9.5,
            promised_start=8.5,
            passed=3,
            promised=True,
            set_aside=SetAside(8.5, (("c0", Resources.of(0.125, 0, "1 MiB")), ("g1", Resources.of(2, 0.5, "3 GiB")))),
            condition="degraded",
            exit_code=None,
        )
        records.save([running], [])
        assert records.active() == {"a": running}

    def test_a_final_workload_is_active_only_while_another_comes_after_it(self, records: Records) -> None:
        self.take_in(records, record(job("first")), record(job("other")), record(job("second", after=("first",))))
        records.save([record(job("first"), State.SUCCEEDED), record(job("other"), State.FAILED)], [])
        assert records.active().keys() == {"first", "second"}
        records.save([record(job("second", after=("first",)), State.CANCELLED)], [])
        assert records.active() == {}

    def test_saving_what_was_read_before_a_stop_was_asked_for_does_not_undo_the_asking(self, records: Records) -> None:
        self.take_in(records, record(job("a")))
        before = records.active()["a"]
        self.ask_to_stop(records, "a")
        records.save([replace(before, state=State.PLACING, message="granted")], [])
        after = records.active()["a"]
        assert (after.state, after.message, after.stop_requested) == (State.PLACING, "granted", True)

    def test_a_size_that_was_asked_for_is_news_and_stays_whatever_the_loop_saves(self, records: Records) -> None:
        self.take_in(records, record(job("a")), record(job("b")))
        before = records.active()["a"]
        cursor = records.news(0).cursor
        self.ask_for(records, "a", 3)
        told = records.news(cursor).records
        assert {name: each.wants for name, each in told.items()} == {"a": 3}
        records.save([replace(before, state=State.PLACING)], [])
        after = records.active()["a"]
        assert (after.state, after.wants) == (State.PLACING, 3)

    def test_events_are_kept_in_the_order_of_saving(self, records: Records) -> None:
        self.take_in(records, record(job("a")), record(job("b")))
        placing = record(job("a"), State.PLACING)
        records.save([placing], [Event("a", 1.0, State.PLACING, "granted"), Event("b", 1.0, State.QUEUED, "behind a")])
        records.save([], [Event("a", 1.0, State.STARTING, "starting")])
        assert self.history(records, "a") == [(State.PLACING, "granted"), (State.STARTING, "starting")]
        assert self.history(records, "b") == [(State.QUEUED, "behind a")]

    def test_news_are_what_came_since_and_what_shall_end(self, records: Records) -> None:
        assert records.news(0).records == {}
        self.take_in(records, record(job("a")), record(job("b")))
        first = records.news(0)
        assert first.records.keys() == {"a", "b"}
        assert records.news(first.cursor).records == {}
        self.take_in(records, record(job("c")))
        second = records.news(first.cursor)
        assert second.records == {"c": record(job("c"))}
        self.ask_to_stop(records, "a")
        third = records.news(second.cursor)
        assert third.records.keys() == {"a"}
        assert third.records["a"].stop_requested

    def test_what_the_loop_writes_is_no_news_to_it(self, records: Records) -> None:
        self.take_in(records, record(job("a")))
        cursor = records.news(0).cursor
        records.save([record(job("a"), State.PLACING)], [])
        assert records.news(cursor).records == {}

    def test_what_new_work_comes_after_is_told_with_it(self, records: Records) -> None:
        self.take_in(records, record(job("first")))
        records.save([record(job("first"), State.FAILED)], [])
        cursor = records.news(0).cursor
        self.take_in(records, record(job("second", after=("first",))))
        assert records.news(cursor).records.keys() == {"first", "second"}

    def test_a_batch_changes_many_workloads_at_once(self, records: Records) -> None:
        names = [f"w{number}" for number in range(20)]
        self.take_in(records, *(record(job(name)) for name in names))
        records.save([record(job(name), State.PLACING) for name in names], [])
        assert {r.state for r in records.active().values()} == {State.PLACING}
