"""What a lease does in every database; each inherits the suite and says how to build one."""

from abc import ABC, abstractmethod

import pytest
from sqlalchemy import Engine, text

from fabric.core.errors import Unavailable
from fabric.store.database import writing
from fabric.store.lease import Leader, Lease, LostLead
from fabric.store.records import SqlRecords
from tests.builders import job, record


class Pace:
    """A clock that moves when told."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


class LeaseContract(ABC):
    """Two processes, one lease."""

    @pytest.fixture
    @abstractmethod
    def engine(self) -> Engine:
        """An empty database."""

    @pytest.fixture
    def pace(self) -> Pace:
        """Time as the first of the two sees it."""
        return Pace()

    @pytest.fixture
    def first(self, engine: Engine, pace: Pace) -> Lease:
        """The one that leads."""
        lease = Lease(engine, "first", address="http://first", clock=pace)
        assert lease.take()
        return lease

    @pytest.fixture
    def second(self, engine: Engine) -> Lease:
        """The one that waits."""
        return Lease(engine, "second", address="http://second")

    def run_out(self, engine: Engine) -> None:
        """Let the lease of whoever holds it have ended by the database's clock."""
        with writing(engine, alone=False) as connection:
            connection.execute(text("UPDATE leases SET expires = expires - 3600"))

    def test_one_leads_and_the_other_waits(self, first: Lease, second: Lease) -> None:
        assert first.leads
        assert not second.take()
        assert not second.leads
        assert second.leader() == Leader("first", "http://first", 1)
        assert first.renew()

    def test_a_lease_that_ran_out_is_taken_once_and_its_number_grows(
        self, engine: Engine, first: Lease, second: Lease
    ) -> None:
        self.run_out(engine)
        assert second.leader() == Leader("", "", 1)
        assert second.take()
        assert (second.token, second.leader().holder) == (2, "second")
        assert not Lease(engine, "third").take()
        assert not first.renew()
        assert not first.leads

    def test_a_lease_that_ran_out_and_that_nobody_took_is_renewed(self, engine: Engine, first: Lease) -> None:
        self.run_out(engine)
        assert first.renew()
        assert (first.leads, first.token) == (True, 1)

    def test_a_former_leader_can_write_nothing_in_the_name_of_the_lead(
        self, engine: Engine, first: Lease, second: Lease
    ) -> None:
        old, new = SqlRecords(first.fenced()), SqlRecords(second.fenced())
        old.submit(record(job("a")))
        self.run_out(engine)
        old.submit(record(job("b")))  # nobody has taken it: nothing else can have been written meanwhile
        assert second.take()
        with pytest.raises(LostLead, match=r"second leads \(number 2\); what first writes under 1 is refused"):
            old.save([record(job("a"))], [])
        with pytest.raises(LostLead):
            old.secret("a", "token", lambda: "x")
        new.submit(record(job("c")))
        people = SqlRecords(engine)
        people.submit(record(job("d")))
        assert sorted(each.name for each in people.list()) == ["a", "b", "c", "d"]
        assert old.get("a").name == "a", "it may read"

    def test_who_was_asleep_for_longer_than_the_lease_acts_no_more_even_before_it_asks(
        self, first: Lease, pace: Pace
    ) -> None:
        first.check()
        pace.now += 4.9
        first.check()
        pace.now += 0.2
        with pytest.raises(LostLead, match="the lease of first has run out"):
            first.check()
        assert issubclass(LostLead, Unavailable), "asking again, or somebody else, may help"

    def test_who_lets_go_is_followed_at_once(self, first: Lease, second: Lease) -> None:
        first.release()
        assert not first.leads
        assert second.take()
        first.release()
        assert second.renew(), "letting go again takes nothing from another"
