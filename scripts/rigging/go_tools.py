"""Build programs from Go modules of pinned versions, each into the cache.

Knows nothing of what they do. A build that was interrupted goes on where it was: Go keeps what it compiled.
"""

import hashlib
import json
import os
import re
import subprocess
from collections.abc import Sequence
from pathlib import Path

from scripts.rigging.errors import RigError
from scripts.rigging.layout import Layout
from scripts.rigging.pins import GoTool
from scripts.rigging.progress import say

NICENESS = 10
"""How much a build gives way to whatever else the machine does."""
FETCHES = 8
"""How often sources are asked for; each time goes on where the last one stopped."""


def _stamp(tool: GoTool) -> str:
    described = json.dumps([tool.at, dict(tool.packages), tool.main, tool.flags, tool.static, tool.staging])
    return hashlib.sha256(described.encode()).hexdigest()


def is_built(layout: Layout, tool: GoTool) -> bool:
    """Whether the cache holds all programs of the tool as it is pinned."""
    stamp = layout.programs / f".{tool.name}.stamp"
    there = all((layout.programs / name).exists() for name in tool.packages)
    return there and stamp.exists() and stamp.read_text() == _stamp(tool)


def build_tool(layout: Layout, tool: GoTool) -> None:
    """Build all programs of one tool.

    Raises:
        RigError: If Go fails; its last lines are in the message.
    """
    folder = layout.sources / tool.name
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "go.mod").write_text(_go_mod(tool))
    if tool.main:
        (folder / "main.go").write_text(tool.main)
    made = folder / "made"
    made.mkdir(exist_ok=True)
    linker = " ".join(["-s -w", *tool.flags])
    fetch(tool, folder)
    # What only a debugger reads is neither made nor kept.
    words = ["build", "-mod=mod", "-trimpath", "-gcflags=all=-dwarf=false", f"-ldflags={linker}", "-o", f"{made}/"]
    go([*words, *tool.packages.values()], folder, tool)
    layout.programs.mkdir(parents=True, exist_ok=True)
    for name, package in tool.packages.items():
        made_as = "rig" if package == "." else package.rpartition("/")[2]
        (made / made_as).replace(layout.programs / name)
    (layout.programs / f".{tool.name}.stamp").write_text(_stamp(tool))


def fetch(tool: GoTool, folder: Path) -> None:
    """Fetch the sources of everything the tool is made of, again if the network fails for a while.

    Raises:
        RigError: If it fails every time.
    """
    for again in range(FETCHES, 0, -1):
        try:
            go(["list", "-mod=mod", "-deps", *tool.packages.values()], folder, tool)
            return
        except RigError:
            if again == 1:
                raise
            say(f"sources of {tool.name} did not come, trying again")


def go(words: Sequence[str], folder: Path, tool: GoTool) -> str:
    """Run Go in `folder` and return what it printed.

    Raises:
        RigError: If it fails.
    """
    env = {**os.environ, "GOFLAGS": "-buildvcs=false", "GOWORK": "off"}
    if tool.static:
        env["CGO_ENABLED"] = "0"
    done = subprocess.run(
        ["nice", "-n", str(NICENESS), "go", *words], cwd=folder, env=env, text=True, capture_output=True, check=False,
    )  # fmt: skip
    if done.returncode:
        raise RigError(
            f"go {words[0]} failed for {tool.at or tool.name}:\n{done.stderr[-3000:].strip()}\n"
            "Fix what it names and run scripts/rig build again; it goes on where it was."
        )
    return done.stdout


def _go_mod(tool: GoTool) -> str:
    lines = ["module rig", "", "go 1.26.0", ""]
    if tool.module:
        lines.append(f"require {tool.module} v{tool.version}")
    lines += [f"replace {name} => {name} v{tool.staging}" for name in _staged(tool)]
    return "\n".join([*lines, ""])


def _staged(tool: GoTool) -> list[str]:
    """Libraries that the module takes from folders of its own repository, which its release does not hold."""
    if not tool.staging:
        return []
    text = (module_folder(tool) / "go.mod").read_text()
    return sorted(set(re.findall(r"^\s*(?:replace\s+)?(\S+) => \./staging/", text, re.MULTILINE)))


def module_folder(tool: GoTool) -> Path:
    """Where the module's files lie, fetched if they do not yet.

    Raises:
        RigError: If it cannot be fetched.
    """
    told = json.loads(go(["mod", "download", "-json", tool.at], Path("/"), tool))
    return Path(told["Dir"])
