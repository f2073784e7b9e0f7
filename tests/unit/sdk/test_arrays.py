"""Arrays of jobs through the client, against control's own routes without sockets."""

from pathlib import Path

import httpx
import pytest

from fabric.api.arrays import ArrayView
from fabric.core.errors import BadInput, Conflict, NotFound, Unavailable
from fabric.sdk import AsyncClient, Client, arrays
from fabric.workloads.states import State
from tests.unit.control.world import BASE, World

SPEC = {"name": "sweep", "entrypoint": "python x.py", "array": {"size": 2}}


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(arrays, "FIRST_LOOK_S", 0.001)
    monkeypatch.setattr(arrays, "SLOWEST_LOOK_S", 0.002)


def client(world: World) -> AsyncClient:
    return AsyncClient(BASE, transport=httpx.ASGITransport(world.app), patience_s=0)


async def test_an_array_is_handed_in_waited_for_and_forgotten(world: World) -> None:
    async with client(world) as fabric:
        made = await fabric.arrays.submit(SPEC)
        assert [one.name for one in made.elements] == ["sweep.0", "sweep.1"]
        said: list[dict[str, int]] = []

        def goes_on(view: ArrayView) -> None:
            said.append(view.counts)
            if len(said) <= len(made.elements):
                world.end(f"sweep.{len(said) - 1}")

        ended = await fabric.arrays.wait("sweep", on_update=goes_on)
        assert (ended.state, [one.state for one in ended.elements]) == ("succeeded", ["succeeded"] * 2)
        assert said == [{"queued": 2}, {"queued": 1, "succeeded": 1}, {"succeeded": 2}]
        await fabric.arrays.delete("sweep")
        with pytest.raises(NotFound):
            await fabric.arrays.get("sweep")


async def test_a_working_directory_goes_with_it_and_a_key_makes_it_one(world: World, tmp_path: Path) -> None:
    (tmp_path / "work").mkdir()
    (tmp_path / "work" / "x.py").write_text("print(1)\n")
    spec = {**SPEC, "name": None, "runtime_env": {"working_dir": str(tmp_path / "work")}}
    async with client(world) as fabric:
        names = [(await fabric.arrays.submit(spec, idempotency_key="k")).name for _ in range(2)]
        assert names[0] == names[1]
        with pytest.raises(Conflict, match="'k'"):
            await fabric.arrays.submit({**spec, "entrypoint": "other"}, idempotency_key="k")
        view = await fabric.get(f"{names[0]}.1")
    assert view.array is not None
    assert (view.array.index, view.array.size) == (1, 2)
    assert str(world.records.get(view.name).spec.runtime_env["working_dir"]).startswith("gcs://")


async def test_waiting_too_long_says_where_it_stands(world: World) -> None:
    async with client(world) as fabric:
        await fabric.arrays.submit(SPEC)
        with pytest.raises(Unavailable, match=r"sweep is queued after 0\.001 s"):
            await fabric.arrays.wait("sweep", timeout_s=0.001)
        with pytest.raises(BadInput, match="/api/fabric/arrays"):
            await fabric.submit(SPEC)
        with pytest.raises(BadInput):
            await fabric.arrays.get("..")


def test_the_same_without_await(world: World) -> None:
    with Client(BASE, transport=httpx.ASGITransport(world.app), patience_s=0) as fabric:
        fabric.arrays.submit(SPEC)
        assert fabric.arrays.stop("sweep").counts == {"queued": 2}
        world.change("sweep.0", State.CANCELLED)
        assert fabric.arrays.get("sweep", elements=False).elements == ()


async def test_one_key_is_one_job_whoever_sends_it_again(world: World) -> None:
    job = {"entrypoint": "python x.py"}
    async with client(world) as fabric, client(world) as other:
        first = await fabric.submit(job, idempotency_key="nightly")
        assert (await other.submit(job, idempotency_key="nightly")).name == first.name
        with pytest.raises(Conflict, match="'nightly' was used for"):
            await other.submit({"entrypoint": "python y.py"}, idempotency_key="nightly")
