"""What lines of logs say, and what they never say."""

import io
import json
import logging
import threading
from typing import Any

import pytest

from fabric.telemetry.logs import HIDDEN, about, handler_for, masked


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


class Log:
    """A logger of its own, and what its handler wrote."""

    def __init__(self, stream: io.StringIO) -> None:
        self.stream = stream
        self.logger = logging.Logger("a.module")
        self.logger.addHandler(handler_for(stream))

    @property
    def lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.stream.getvalue().splitlines()]


def test_a_line_is_one_object_with_time_level_module_and_words() -> None:
    log = Log(io.StringIO())
    log.logger.warning("node %s is\nlost", "g0")
    [line] = log.lines
    assert line.pop("time").endswith("+00:00")
    assert line == {"level": "WARNING", "module": "a.module", "message": "node g0 is\nlost"}


def test_a_line_says_of_which_workload_it_is_where_that_is_known() -> None:
    log = Log(io.StringIO())
    with about(workload="train", attempt=2):
        log.logger.info("one")
        log.logger.info("two", extra={"workload": "other", "project": "alpha"})
        threading.Thread(target=log.logger.info, args=("of another thread",)).start()
    log.logger.info("after")
    said = [(line["message"], line.get("workload"), line.get("attempt"), line.get("project")) for line in log.lines]
    assert said[0] == ("one", "train", 2, None)
    assert said[1] == ("two", "other", 2, "alpha")
    assert sorted(said[2:]) == [("after", None, None, None), ("of another thread", None, None, None)]


def test_on_a_terminal_it_is_words() -> None:
    log = Log(Terminal())
    log.logger.error("gone", extra={"workload": "train", "attempt": 1})
    assert log.stream.getvalue()[8:] == " error a.module: gone workload=train attempt=1\n"


@pytest.mark.parametrize("stream", [io.StringIO, Terminal])
def test_an_error_is_told_with_its_trace_and_without_its_secrets(stream: type[io.StringIO]) -> None:
    log = Log(stream())
    try:
        raise ValueError("wrong: Bearer fab-0123456789abcdef0123")
    except ValueError:
        log.logger.exception("it failed with %s", {"Authorization": "Bearer other-words"})
    text = log.stream.getvalue()
    assert "test_logs.py" in text
    assert "ValueError: wrong" in text
    assert "0123456789" not in text
    assert "other-words" not in text


SECRET = "s3cr3t-0123456789abcdef"


@pytest.mark.parametrize(
    "text",
    [
        f"Authorization: Bearer {SECRET}",
        f"{{'authorization': 'Bearer {SECRET}', 'a': 1}}",
        f"[(b'x-fabric-service', b'{SECRET}')]",
        f"X-Ray-Authorization: {SECRET}",
        f"cookie: session={SECRET}",
        f"key fab-{SECRET} was shown",
        f"token ey{SECRET}.{SECRET}.{SECRET} is no good",
        f"FABRIC_TOKEN={SECRET}",
        f"{{'MLFLOW_TRACKING_TOKEN': '{SECRET}'}}",
        f"postgresql+psycopg://fabric:{SECRET}@db:5432/fabric does not answer",
        f"https://:{SECRET}@host/x",
        f"password={SECRET} host=db",
        f"POST /x?api_key={SECRET}&a=b",
        f'{{"client_secret": "{SECRET}"}}',
    ],
)
def test_what_looks_like_a_secret_is_not_told(text: str) -> None:
    assert SECRET not in masked(text)
    assert HIDDEN in masked(text)


@pytest.mark.parametrize(
    "text",
    [
        "workload train is queued: group workers: 0 of 2 workers fit on any tier now, 2 GPUs short",
        "http://127.0.0.1:8270/api/fabric/workloads/train did not answer",
        "postgresql://fabric@db:5432/fabric does not answer",
        "snapshot 7: 2 models, 5 keys",
        "fab-ric is a name, and so is fabric-control",
        "tokens: 17 read, 4 written",
        "the key was issued by nobody here",
    ],
)
def test_what_is_none_is_told_as_it_is(text: str) -> None:
    assert masked(text) == text


def test_masking_twice_changes_nothing() -> None:
    once = masked(f"Authorization: Bearer {SECRET} token={SECRET} a://b:{SECRET}@c")
    assert masked(once) == once
