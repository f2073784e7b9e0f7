"""Who guesses keys at the gateway is slowed down, and nobody else."""

from pathlib import Path

from fabric.api.gateway import Judged
from tests.asgi import client
from tests.unit.gateway.test_tokens import token
from tests.unit.gateway.world import KEY, QUICK, Service, World

THREE = QUICK.model_copy(update={"max_failed_logins": 3})


async def statuses(world: World, *keys: str) -> list[int]:
    """What is answered to who shows these, one after the other."""
    app, found = await world.ready(), []
    for shown in keys:
        async with client(app, **({"Authorization": f"Bearer {shown}"} if shown else {})) as http:
            found.append((await http.get("/v1/models")).status_code)
    return found


async def test_an_address_from_which_too_many_fail_waits_and_is_told_so(tmp_path: Path) -> None:
    world = World(tmp_path, {"s1": Service()}, settings=THREE)
    assert await statuses(world, "a", "b", "c", "d", KEY) == [401, 401, 401, 429, 429]
    async with client(world.app, Authorization="Bearer e") as http:
        answer = await http.get("/v1/models")
    assert answer.headers["Retry-After"]
    told = answer.json()["error"]
    assert (told["type"], told["code"]) == ("rate_limit_error", "too_many_failed_logins")
    assert "try again in" in told["message"]


async def test_who_got_in_before_is_let_in_and_who_shows_nothing_does_not_count(tmp_path: Path) -> None:
    world = World(tmp_path, {"s1": Service()}, settings=THREE)
    assert await statuses(world, KEY, "", "", "", "", "a", "b", "c", "d", KEY) == [200, *[401] * 7, 429, 200]


async def test_tokens_that_control_refuses_count_and_those_that_may_not_ask_do_not(tmp_path: Path) -> None:
    world = World(tmp_path, {"s1": Service()}, settings=THREE)
    known, *others = (token(ends) for ends in (1.0, 2.0, 3.0, 4.0, 5.0))
    world.control.people[known] = Judged(refusal="he may not", denied=True)
    assert await statuses(world, *[known] * 4, *others) == [403, 403, 403, 403, 401, 401, 401, 429]
