"""No key is ever in a line of a log, whatever is asked and whatever goes wrong."""

import hashlib
import io
import logging
from collections.abc import Callable

import pytest

from fabric.store.keys import Key
from fabric.telemetry.logs import handler_for
from tests.unit.control.test_auth import PATHS
from tests.unit.control.world import START, World

GOOD, WRONG, TOKEN = "fab-good-key-0123456789", "no-such-key-0123456789", "ey0123456789.0123456789.no-one"


class Broken:
    """Records that fail with whatever they were asked for in their error."""

    def __getattr__(self, name: str) -> object:
        def fails(*args: object, **named: object) -> object:
            raise RuntimeError(f"{name}{args}{named} with the connection at postgresql://fabric:{WRONG}@db/fabric")

        return fails


@pytest.fixture
def said(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    caplog.set_level(logging.DEBUG)
    return caplog


def text_of(said: pytest.LogCaptureFixture) -> str:
    """Everything in every record, with traces, before anything is taken out."""
    return "\n".join(logging.Formatter().format(record) for record in said.records)


@pytest.mark.slow
async def test_no_route_logs_the_key_with_which_it_is_asked(
    make_world: Callable[..., World], said: pytest.LogCaptureFixture
) -> None:
    world = make_world(anonymous=False, max_wait_s=0.01)
    world.records.add_key(hashlib.sha256(GOOD.encode()).hexdigest(), Key("ann's", "admin", "", created=START))
    world.job("mine", project="alpha")
    for shown in (GOOD, WRONG, TOKEN):
        async with world.asynchronous(shown) as client:
            for method, path, body, _ in PATHS:
                if method != "WS" and not path.endswith("shutdown"):
                    await client.request(method, path, json=body, headers={"X-Ray-Authorization": f"Bearer {shown}"})
    text = text_of(said)
    assert [key for key in (GOOD, WRONG, TOKEN) if key in text] == []


async def test_an_incident_is_logged_without_what_its_error_says_of_secrets(
    make_world: Callable[..., World], said: pytest.LogCaptureFixture
) -> None:
    world = make_world(anonymous=False)
    world.issue(GOOD, "admin")
    stream = io.StringIO()
    logging.getLogger().addHandler(handler := handler_for(stream))
    world.service.lists._workloads = Broken()  # type: ignore[assignment]
    try:
        async with world.asynchronous(GOOD) as client:
            assert (await client.get(f"/api/fabric/search?text=api_key={WRONG}")).status_code == 500
    finally:
        logging.getLogger().removeHandler(handler)
    line = stream.getvalue()
    assert "incident" in line
    assert "RuntimeError" in line
    assert GOOD not in line
    assert WRONG not in line
