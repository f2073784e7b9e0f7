"""No key and no service's secret is ever in a line of the gateway's log."""

import logging
from pathlib import Path

import pytest

from tests.asgi import client
from tests.unit.gateway.test_relay import sends
from tests.unit.gateway.world import KEY, SECRET, Service, World, snapshot

WRONG, TOKEN = "sk-nobody-0123456789", "ey0123456789.0123456789.no-one"


async def test_neither_keys_nor_secrets_are_logged(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    broken = sends(b'data: {"choi', breaks=True)
    world = World(tmp_path, {"s1": Service(), "s2": broken}, told=snapshot("s1", "s2", "away"))
    app = await world.ready()
    for shown in (KEY, WRONG, TOKEN):
        async with client(app, Authorization=f"Bearer {shown}") as http:
            for path in ("/v1/models", "/metrics", "/openapi.json", "/serve/a/b/c", "/no/such"):
                await http.get(path)
            for body in ({"model": "parrot", "prompt": "x", "stream": True}, {"model": "x"}, {}):
                for _ in range(3):
                    await http.post("/v1/completions", json=body)
    world.control.down = True
    await world.follower.ask()
    text = "\n".join(logging.Formatter().format(record) for record in caplog.records)
    assert "did not answer" in text
    assert [secret for secret in (KEY, SECRET, WRONG, TOKEN) if secret in text] == []
