"""Every Python block in a README runs by itself; those marked `python fabric` run in tests/ray/test_documents.py."""

from pathlib import Path

import pytest

from tests.docs.blocks import Block, blocks, run


@pytest.mark.parametrize("block", blocks("python", "py"), ids=str)
def test_every_python_block_of_the_documents_runs(
    block: Block, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    run(block)


def test_every_block_says_its_language() -> None:
    assert [str(block) for block in blocks("")] == [], "write ```text, ```bash, ```yaml, ```python or ```python fabric"
