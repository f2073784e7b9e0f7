"""Who guesses keys at control is slowed down, and nobody else."""

from collections.abc import Callable

from tests.unit.control.world import World


def test_the_route_says_when_to_try_again(make_world: Callable[..., World]) -> None:
    world = make_world(anonymous=False, max_failed_logins=2)
    good = world.issue("good", "admin")
    assert world.client(good).get("/api/version").status_code == 200
    answers = [world.client("guess").get("/api/fabric/nodes") for _ in range(3)]
    assert [answer.status_code for answer in answers] == [401, 401, 429]
    assert (answers[2].headers["Retry-After"], answers[2].json()["code"]) == ("2", "unavailable")
    assert world.client(good).get("/api/fabric/nodes").status_code == 200
    assert world.client().get("/api/fabric/health").status_code == 200
