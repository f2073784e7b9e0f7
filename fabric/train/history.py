"""What happened at each step, as JSON lines that a resumed run rewinds to where it goes on.

Knows nothing of what is recorded, but that every record has a `step`.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fabric.train.manifest import write_atomically


class History:
    """A file of records, one a line, in the order of their steps."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def append(self, record: Mapping[str, Any]) -> None:
        """Add a record that has a `step`.

        Raises:
            OSError: If the disk refuses.
        """
        with self.path.open("a", encoding="utf-8") as stream:
            stream.write(json.dumps(record) + "\n")

    def records(self) -> list[dict[str, Any]]:
        """All whole records; a line that a crash cut short is left out."""
        if not self.path.exists():
            return []
        found = []
        for line in self.path.read_text(encoding="utf-8").splitlines():
            try:
                found.append(json.loads(line))
            except ValueError:
                break
        return found

    def rewind(self, step: int) -> None:
        """Forget what was recorded after `step` steps, because the run goes on from there.

        Raises:
            OSError: If the disk refuses.
        """
        kept = [record for record in self.records() if record["step"] <= step]
        if self.path.exists():
            write_atomically(self.path, "".join(json.dumps(record) + "\n" for record in kept))
