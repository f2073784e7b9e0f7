"""The reading of documents itself, on a small one."""

from pathlib import Path

import pytest

from tests.docs import blocks as reader

DOCUMENT = """# Title

Run `fabric up --site FILE`, then look.

```bash
# start it
$ fabric submit --config x.yaml   # a comment
FABRIC_STATE=here fabric jobs --json | head
echo fabric is nice
```

```python
assert True
```

```python fabric
import fabric.sdk
```
"""


@pytest.fixture(autouse=True)
def one_document(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "README.md"
    file.write_text(DOCUMENT)
    monkeypatch.setattr(reader, "documents", lambda: [file])
    monkeypatch.setattr(reader, "place", lambda file, line=0: f"{file.name}:{line or 0}")


def test_blocks_are_told_apart_by_their_info_string() -> None:
    assert [(block.line, block.text) for block in reader.blocks("python")] == [(13, "assert True\n")]
    assert [str(block) for block in reader.blocks("python fabric")] == ["README.md:17"]


def test_commands_are_found_in_text_and_in_shell_blocks() -> None:
    assert list(reader.fabric_commands()) == [
        ("README.md:0", ["up", "--site", "FILE"]),
        ("README.md:7", ["submit", "--config", "x.yaml"]),
        ("README.md:8", ["jobs", "--json"]),
    ]
