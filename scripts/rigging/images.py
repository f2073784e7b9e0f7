"""Container images made on the spot: one that keeps a pod's namespaces, one that is this machine's own Python and Ray.

Knows nothing of runtimes. The second image is almost empty: the nodes' runtime mounts the machine's programs, the
interpreter, the environment and this checkout into every container, read-only, under the paths they have here.
"""

import hashlib
import io
import json
import platform
import sys
import tarfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from scripts.rigging.api import Object
from scripts.rigging.layout import ROOT, Layout

PAUSE_IMAGE = "fabric/pause:rig"
"""What keeps a pod's namespaces."""
RAY_IMAGE = "fabric/host:rig"
"""The project's environment; pods name it with `imagePullPolicy: Never` or `IfNotPresent`."""
ALTERNATIVES = Path("/etc/alternatives")
"""Where some programs below /usr are links to."""
LINKS = {name: f"usr/{name}" for name in ("bin", "lib", "lib64", "sbin")}
ACCOUNTS = {
    "etc/passwd": "root:x:0:0:root:/root:/bin/bash\nray:x:1000:1000:ray:/home/ray/:/bin/bash\n",
    "etc/group": "root:x:0:\nray:x:1000:\n",
    "etc/nsswitch.conf": "passwd: files\ngroup: files\nhosts: files dns\n",
}
FOLDERS = {"etc": 0o755, "usr": 0o755, "root": 0o755, "var": 0o755, "var/tmp": 0o1777, "tmp": 0o1777}
FOLDERS |= {"home": 0o755, "home/ray": 0o777, "opt": 0o755, "run": 0o755, "srv": 0o755}


def environment() -> Path:
    """The virtual environment that runs this, as its scripts name it."""
    return Path(sys.prefix).resolve()


def host_folders(layout: Layout) -> list[Path]:
    """What containers see of this machine, read-only, outermost first.

    Programs, the interpreter, the environment, this checkout and converted models.
    """
    wanted = {Path("/usr"), ALTERNATIVES, Path(sys.base_prefix).resolve(), environment(), ROOT, layout.assets}
    return sorted(
        f for f in wanted if f.is_dir() and not any(f != other and f.is_relative_to(other) for other in wanted)
    )


def ray_archive(to: Path, layout: Layout) -> None:
    """Write the image of the project's environment."""
    layer = _Layer()
    for name, mode in FOLDERS.items():
        layer.folder(name, mode)
    for name, target in LINKS.items():
        if Path("/", name).is_symlink():
            layer.link(name, target)
    for name, text in ACCOUNTS.items():
        layer.file(name, text.encode())
    cache = Path("/etc/ld.so.cache")
    if cache.exists():
        layer.file("etc/ld.so.cache", cache.read_bytes())
    path = f"{environment()}/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
    told = {"PATH": path, "PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1", "RAY_USAGE_STATS_ENABLED": "0"}
    told["FABRIC_CACHE"] = str(layout.assets)
    write_archive(to, RAY_IMAGE, layer.content(), variables=told)


def pause_archive(to: Path, layout: Layout) -> None:
    """Write the image that keeps a pod's namespaces."""
    layer = _Layer()
    layer.file("pause", Path(layout.program("pause")).read_bytes(), mode=0o755)
    write_archive(to, PAUSE_IMAGE, layer.content(), entrypoint=["/pause"])


class _Layer:
    """A tar of one layer; the same content is the same bytes."""

    def __init__(self) -> None:
        self._buffer = io.BytesIO()
        self._tar = tarfile.open(fileobj=self._buffer, mode="w")

    def folder(self, name: str, mode: int) -> None:
        """Add a folder."""
        self._add(name, mode, tarfile.DIRTYPE)

    def link(self, name: str, target: str) -> None:
        """Add a symbolic link."""
        self._add(name, 0o777, tarfile.SYMTYPE, target=target)

    def file(self, name: str, content: bytes, mode: int = 0o644) -> None:
        """Add a file."""
        self._add(name, mode, tarfile.REGTYPE, content=content)

    def content(self) -> bytes:
        """The finished tar."""
        self._tar.close()
        return self._buffer.getvalue()

    def _add(self, name: str, mode: int, kind: bytes, *, target: str = "", content: bytes = b"") -> None:
        entry = tarfile.TarInfo(name)
        entry.type, entry.mode, entry.linkname, entry.size = kind, mode, target, len(content)
        self._tar.addfile(entry, io.BytesIO(content))


def write_archive(
    to: Path, name: str, layer: bytes, *, variables: Mapping[str, str] | None = None, entrypoint: Sequence[str] = ()
) -> None:
    """Write an image of one layer as `docker save` does, which every runtime reads."""
    digest = hashlib.sha256(layer).hexdigest()
    config: Object = {
        "architecture": {"x86_64": "amd64", "aarch64": "arm64"}[platform.machine()],
        "os": "linux",
        "config": {
            "Env": [f"{key}={value}" for key, value in (variables or {}).items()],
            "Entrypoint": list(entrypoint) or None,
        },
        "rootfs": {"type": "layers", "diff_ids": [f"sha256:{digest}"]},
        "history": [{"created": "2026-01-01T00:00:00Z"}],
    }
    text = json.dumps(config).encode()
    config_file = f"{hashlib.sha256(text).hexdigest()}.json"
    manifest = [{"Config": config_file, "RepoTags": [name], "Layers": ["layer.tar"]}]
    files = {config_file: text, "layer.tar": layer, "manifest.json": json.dumps(manifest).encode()}
    to.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(to, "w") as archive:
        for file, content in files.items():
            entry = tarfile.TarInfo(file)
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
