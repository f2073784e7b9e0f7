"""One of several controls leads: it alone acts, and it ends when another one does."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from fabric.control.leading import Candidate, FencedBackend
from fabric.control.standby import Standby
from fabric.core.errors import Unavailable
from fabric.store.lease import LostLead
from tests.builders import wanted
from tests.fake_backend import FakeBackend


@dataclass
class FakeLease:
    """Answers as it is told."""

    free: bool = True
    mine: bool = True
    away: bool = False
    asked: list[str] = field(default_factory=list)

    def take(self) -> bool:
        return self._answer("take", self.free)

    def renew(self) -> bool:
        return self._answer("renew", self.mine)

    def release(self) -> None:
        self._answer("release", True)

    def check(self) -> None:
        if not self.mine:
            raise LostLead("over")

    def _answer(self, asked: str, answer: bool) -> bool:
        self.asked.append(asked)
        if self.away:
            raise Unavailable("the database is away")
        return answer


@dataclass
class Life:
    """What became of a candidate."""

    lease: FakeLease = field(default_factory=FakeLease)
    acts: list[str] = field(default_factory=list)
    fails: bool = False

    def begin(self) -> None:
        if self.fails:
            raise Unavailable("no Kubernetes")
        self.acts.append("begin")

    def candidate(self) -> Candidate:
        return Candidate(self.lease, self.begin, lease_s=6.0, lost=lambda: self.acts.append("lost"))


def acting(candidate: Candidate) -> None:
    """Wait until it has begun."""
    assert candidate._acting is not None
    candidate._acting.join(10.0)


def test_it_waits_until_nobody_leads_then_begins_once_and_renews() -> None:
    life = Life(FakeLease(free=False))
    candidate = life.candidate()
    candidate.turn()
    assert (candidate.leads, life.acts) == (False, [])
    life.lease.free = True
    candidate.turn()
    acting(candidate)
    candidate.turn()
    assert (candidate.leads, life.acts) == (True, ["begin"])
    assert life.lease.asked == ["take", "take", "renew"]


def test_it_ends_when_another_one_leads() -> None:
    life = Life()
    candidate = life.candidate()
    candidate.turn()
    acting(candidate)
    life.lease.mine = False
    candidate.turn()
    assert life.acts == ["begin", "lost"]


def test_a_database_that_is_away_takes_the_lead_from_nobody() -> None:
    life = Life()
    candidate = life.candidate()
    candidate.turn()
    acting(candidate)
    life.lease.away = True
    with pytest.raises(Unavailable):
        candidate.turn()
    life.lease.away = False
    candidate.turn()
    assert life.acts == ["begin"]


def test_one_that_cannot_begin_lets_another_one_lead_and_ends() -> None:
    life = Life(fails=True)
    candidate = life.candidate()
    candidate.turn()
    acting(candidate)
    assert life.acts == ["lost"]
    assert life.lease.asked == ["take", "release"]


def test_one_that_never_led_lets_go_of_nothing() -> None:
    life = Life(FakeLease(free=False))
    candidate = life.candidate()
    candidate.start()
    candidate.end()
    assert "release" not in life.lease.asked


def test_hands_are_bound_once_the_lease_has_run_out_and_eyes_are_not() -> None:
    lease, inner = FakeLease(), FakeBackend()
    hands = FencedBackend(inner, lease)
    cluster = wanted()
    hands.realise(cluster)
    lease.mine = False
    acts: list[Callable[[], None]] = [
        lambda: hands.realise(cluster),
        lambda: hands.stop(cluster.name, 1.0),
        lambda: hands.remove(cluster.name),
    ]
    for act in acts:
        with pytest.raises(LostLead):
            act()
    assert hands.observe().keys() == {cluster.name}
    assert hands.changes(0).views.keys() == {cluster.name}
    assert hands.nodes() == inner.nodes()
    assert inner.started == [cluster.name]


@pytest.fixture(scope="module")
def follower() -> Callable[[str, str], Any]:
    """Asks an application that follows `http://leader`."""
    app = FastAPI()

    @app.api_route("/{path:path}", methods=["GET", "POST", "PUT", "DELETE"])
    def anything(path: str) -> str:
        return "reached"

    standby = Standby(app, lambda: False, lambda: "http://leader")

    async def ask(method: str, path: str) -> httpx.Response:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(standby), base_url="http://follower") as client:
            return await client.request(method, path)

    return ask


@pytest.mark.parametrize("path", ["/api/fabric/workloads", "/api/jobs/", "/api/fabric/health", "/api/gateway"])
async def test_a_follower_answers_questions_about_the_records(follower: Any, path: str) -> None:
    assert (await follower("GET", path)).status_code == 200


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/api/fabric/workloads"),
        ("DELETE", "/api/jobs/x"),
        ("PUT", "/api/packages/gcs/_ray_pkg_1.zip"),
        ("GET", "/api/gateway/snapshot"),
        ("GET", "/mlflow"),
        ("GET", "/mlflow/api/2.0/mlflow/experiments/search"),
    ],
)
async def test_a_follower_sends_whatever_only_the_leader_can_do_there(follower: Any, method: str, path: str) -> None:
    answer = await follower(method, path)
    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "2")
    assert "Ask the one that leads, http://leader" in answer.text


async def test_without_a_leader_one_is_asked_to_come_again() -> None:
    def away() -> str:
        raise Unavailable("no database")

    for leader in (lambda: "", away):
        standby = Standby(FastAPI(), lambda: False, leader)
        async with httpx.AsyncClient(transport=httpx.ASGITransport(standby), base_url="http://follower") as client:
            answer = await client.post("/api/fabric/workloads")
        assert answer.status_code == 503
        assert answer.json()["message"].endswith("None leads at the moment; ask again.")


async def test_who_leads_answers_everything() -> None:
    app = FastAPI()
    app.post("/x")(lambda: "reached")
    standby = Standby(app, lambda: True, lambda: "")
    async with httpx.AsyncClient(transport=httpx.ASGITransport(standby), base_url="http://leader") as client:
        assert (await client.post("/x")).json() == "reached"
