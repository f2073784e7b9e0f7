"""Every way in which a call can fail ends as one of the fabric's own errors."""

import httpx
import pytest

from fabric.core.errors import (
    ERRORS,
    BadInput,
    Denied,
    DoesNotFit,
    FabricError,
    NotFound,
    StorageFull,
    Unauthenticated,
    Unavailable,
)
from fabric.sdk import AsyncClient
from fabric.sdk.failures import BY_STATUS, unreachable
from tests.unit.sdk.fakes import ADDRESS, FakeControl, answer, refusal, view


def _httpx_errors() -> list[type[Exception]]:
    found = [value for value in vars(httpx).values() if isinstance(value, type) and issubclass(value, Exception)]
    return sorted(found, key=lambda kind: kind.__name__)


def _made(kind: type[Exception]) -> Exception:
    if issubclass(kind, httpx.HTTPStatusError):
        return kind("x", request=httpx.Request("GET", ADDRESS), response=httpx.Response(500))
    without_words = issubclass(kind, httpx.StreamError) and kind is not httpx.StreamError
    return kind() if without_words else kind("x")


@pytest.mark.parametrize("kind", _httpx_errors(), ids=lambda kind: kind.__name__)
def test_every_exception_of_httpx_becomes_an_error_of_the_fabric(kind: type[Exception]) -> None:
    error = unreachable(_made(kind), ADDRESS)
    assert isinstance(error, Unavailable | BadInput)
    assert ADDRESS in error.message


def test_a_refused_connection_says_what_to_do() -> None:
    error = unreachable(httpx.ConnectError("refused"), ADDRESS)
    assert error.message == f"no fabric answers at {ADDRESS}. Start one with `fabric up`, or set FABRIC_ADDRESS."


@pytest.mark.parametrize("code", sorted(ERRORS))
async def test_what_the_server_raised_is_raised_here_with_its_fields(control: FakeControl, code: str) -> None:
    control.on("GET /api/fabric/workloads/a", refusal(418, code, "too large", asked=16, most=8, message="odd"))
    async with AsyncClient(ADDRESS, transport=control.transport) as client:
        with pytest.raises(FabricError) as caught:
            await client.get("a")
    assert type(caught.value) is ERRORS[code]
    assert caught.value.message == "too large"
    assert caught.value.fields == {"asked": 16, "most": 8, "message": "odd"}


@pytest.mark.parametrize(("status", "kind"), BY_STATUS.items())
async def test_an_answer_of_something_that_is_no_fabric_is_told_by_its_status(
    control: FakeControl, status: int, kind: type[FabricError]
) -> None:
    control.on("GET /api/fabric/workloads/a", httpx.Response(status, text="<html>\n  nginx  </html>"))
    async with AsyncClient(ADDRESS, transport=control.transport, patience_s=0) as client:
        with pytest.raises(kind, match=f"answered {status} <html> nginx </html>"):
            await client.get("a")


async def test_an_unknown_code_is_still_an_error_of_the_fabric(control: FakeControl) -> None:
    control.on("GET /api/fabric/workloads/a", refusal(400, "of_the_future", "new"))
    async with AsyncClient(ADDRESS, transport=control.transport) as client:
        with pytest.raises(FabricError, match="^new$"):
            await client.get("a")


@pytest.mark.parametrize("text", ["", "[]", '{"name": 1}', "<html>"])
async def test_an_answer_that_is_not_understood_names_the_place(control: FakeControl, text: str) -> None:
    control.on("GET /api/fabric/workloads/a", httpx.Response(200, text=text))
    async with AsyncClient(ADDRESS, transport=control.transport) as client:
        with pytest.raises(FabricError, match=r"GET http://control.test/api/fabric/workloads/a: .* same version"):
            await client.get("a")


def test_derived_errors_are_told_apart() -> None:
    assert issubclass(DoesNotFit, BadInput)
    assert issubclass(Unauthenticated, Denied)
    assert issubclass(StorageFull, Unavailable)
    assert not issubclass(NotFound, BadInput)


@pytest.mark.parametrize("name", ["", ".", ".."])
async def test_a_name_that_leads_elsewhere_is_not_asked_for(control: FakeControl, name: str) -> None:
    async with AsyncClient(ADDRESS, transport=control.transport) as client:
        with pytest.raises(BadInput, match="name the workload"):
            await client.get(name)
    assert control.asked == []


async def test_a_strange_name_stays_one_part_of_the_path(control: FakeControl) -> None:
    async with AsyncClient(ADDRESS, transport=control.transport) as client:
        with pytest.raises(NotFound):
            await client.get("../x?y#z")
    assert control.asked[0].url.raw_path == b"/api/fabric/workloads/..%2Fx%3Fy%23z"


async def test_a_good_answer_is_a_value(control: FakeControl) -> None:
    control.on("GET /api/fabric/workloads/a", answer(view("a", slices=())))
    async with AsyncClient(ADDRESS, transport=control.transport) as client:
        assert await client.get("a") == view("a")
