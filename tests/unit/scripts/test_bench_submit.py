"""The clock of the submission bench stops at the output, and the client is waited for."""

import os
import sys
import time

import pytest

from scripts.benches.submit import shown_at


def client(program: str) -> float:
    return shown_at([sys.executable, "-IS", "-c", program], dict(os.environ), "http://x")


@pytest.mark.slow
def test_the_time_is_that_of_the_output_and_the_client_has_ended_when_it_is_told() -> None:
    at = client("import time; print(1, flush=True); time.sleep(0.5); print(2)")
    assert time.monotonic() - at >= 0.4


@pytest.mark.parametrize("program", ["print(2)", "print(1); raise SystemExit(3)"])
def test_a_client_without_the_output_or_that_fails_ends_the_bench(program: str) -> None:
    with pytest.raises(SystemExit, match="the client ended with"):
        client(program)
