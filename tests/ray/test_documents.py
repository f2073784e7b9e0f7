"""The Python blocks of the documents that talk to a fabric, against one that is running."""

from pathlib import Path

import pytest

from tests.docs.blocks import Block, blocks, run
from tests.ray.live import Live

pytestmark = pytest.mark.ray


@pytest.mark.parametrize("block", blocks("python fabric"), ids=str)
def test_every_python_block_for_a_running_fabric_runs_against_one(
    block: Block, live: Live, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in live.environment().items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(tmp_path)
    run(block)
