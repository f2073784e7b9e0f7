"""Who guesses keys is slowed down, and nobody else."""

from collections.abc import Callable

import pytest

from fabric.control.http import failures
from fabric.control.http.failures import KNOWN_S, WINDOW_S, FailedLogins, TooOften
from tests.unit.control.world import World


class Clock:
    at = 100.0

    def __call__(self) -> float:
        return self.at


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def logins(clock: Clock) -> FailedLogins:
    return FailedLogins(3, clock)


def test_an_address_that_fails_too_often_waits_and_others_do_not(logins: FailedLogins, clock: Clock) -> None:
    for _ in range(3):
        logins.check("here", "guess")
        logins.failed("here")
        clock.at += 10
    with pytest.raises(TooOften, match="came from here; try again in 30 s"):
        logins.check("here", "another guess")
    logins.check("there", "guess")
    clock.at = 100.0 + WINDOW_S
    logins.check("here", "guess")


def test_who_got_in_lately_is_let_in_whatever_others_do_from_there(logins: FailedLogins, clock: Clock) -> None:
    logins.got_in("here", "good")
    for _ in range(5):
        logins.failed("here")
    logins.check("here", "good")
    with pytest.raises(TooOften):
        logins.check("here", "other")
    clock.at += KNOWN_S
    for _ in range(3):
        logins.failed("here")
    with pytest.raises(TooOften):
        logins.check("here", "good")


def test_what_is_remembered_is_bounded(logins: FailedLogins, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(failures, "MOST_REMEMBERED", 2)
    for address in ("one", "two", "three"):
        for _ in range(3):
            logins.failed(address)
    logins.check("one", "forgotten")
    for address in ("two", "three"):
        with pytest.raises(TooOften):
            logins.check(address, "guess")


def test_the_route_says_when_to_try_again(make_world: Callable[..., World]) -> None:
    world = make_world(anonymous=False, max_failed_logins=2)
    good = world.issue("good", "admin")
    assert world.client(good).get("/api/version").status_code == 200
    answers = [world.client("guess").get("/api/fabric/nodes") for _ in range(3)]
    assert [answer.status_code for answer in answers] == [401, 401, 429]
    assert (answers[2].headers["Retry-After"], answers[2].json()["code"]) == ("2", "unavailable")
    assert world.client(good).get("/api/fabric/nodes").status_code == 200
    assert world.client().get("/api/fabric/health").status_code == 200
