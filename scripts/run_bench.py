"""List the benchmarks under scripts/benches, or run one.

Knows nothing of what they measure: the first line of each docstring says that, and how long it takes.
"""

import ast
import difflib
import os
import sys
from pathlib import Path

BENCHES = Path(__file__).resolve().parent / "benches"


def listing() -> dict[str, str]:
    """First docstring line of every benchmark, by name."""
    files = sorted(file for file in BENCHES.glob("*.py") if not file.name.startswith("_"))
    return {file.stem: (ast.get_docstring(ast.parse(file.read_text())) or "").partition("\n")[0] for file in files}


def main(words: list[str]) -> int:
    """Run the benchmark that `words` begin with; returns the exit status."""
    known = listing()
    if not words:
        print("\n".join(f"{name:12} {line}" for name, line in known.items()) or "bench: scripts/benches is empty")
        return 0
    name, *options = words
    if name not in known:
        near = difflib.get_close_matches(name, known, n=1)
        hint = f" Did you mean {near[0]}?" if near else ""
        print(f"bench: no benchmark {name!r}.{hint} There are: {', '.join(known) or 'none'}", file=sys.stderr)
        return 2
    os.execv(sys.executable, [sys.executable, "-m", f"scripts.benches.{name}", *options])  # noqa: S606 - a name we listed


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
