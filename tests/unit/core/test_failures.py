"""Who guesses keys is slowed down, and nobody else."""

import pytest

from fabric.core import failures
from fabric.core.failures import KNOWN_S, WINDOW_S, FailedLogins, TooOften


@pytest.fixture
def logins() -> FailedLogins:
    return FailedLogins(3)


def fail(logins: FailedLogins, address: str, now: float, times: int = 3) -> None:
    for _ in range(times):
        logins.failed(address, now)


def test_an_address_that_fails_too_often_waits_and_others_do_not(logins: FailedLogins) -> None:
    for now in (100.0, 110.0, 120.0):
        logins.check("here", "guess", now)
        logins.failed("here", now)
    with pytest.raises(TooOften, match="came from here; try again in 30 s"):
        logins.check("here", "another guess", 130.0)
    logins.check("there", "guess", 130.0)
    logins.check("here", "guess", 100.0 + WINDOW_S)


def test_who_got_in_lately_is_let_in_whatever_others_do_from_there(logins: FailedLogins) -> None:
    logins.got_in("here", "good", 0.0)
    fail(logins, "here", 0.0, 5)
    logins.check("here", "good", 0.0)
    with pytest.raises(TooOften):
        logins.check("here", "other", 0.0)
    fail(logins, "here", KNOWN_S)
    with pytest.raises(TooOften):
        logins.check("here", "good", KNOWN_S)


def test_what_is_remembered_is_bounded(logins: FailedLogins, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(failures, "MOST_REMEMBERED", 2)
    for address in ("one", "two", "three"):
        fail(logins, address, 0.0)
    logins.check("one", "forgotten", 0.0)
    for address in ("two", "three"):
        with pytest.raises(TooOften):
            logins.check(address, "guess", 0.0)
