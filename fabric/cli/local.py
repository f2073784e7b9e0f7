"""The files in a state folder by which `up`, `down` and the clients find each other.

Knows nothing of control's own records beside them.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from fabric.cli.processes import Lock, Running, write_whole
from fabric.config import env
from fabric.sdk.target import ADDRESS_FILE

if TYPE_CHECKING:
    from fabric.config.site import Site


class LocalFabric:
    """A state folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.lock = Lock(folder / "up.lock")
        """Held by `fabric up`."""
        self.control_lock = Lock(folder / "control.lock")
        """Held by control."""
        self.site_file = folder / "site.yaml"
        """The site as it is in force, overrides included."""
        self._pid_file, self._address_file = folder / "up.pid", folder / ADDRESS_FILE
        self._ca_file = folder / env.CA_FILE

    def log(self, name: str) -> Path:
        """Where a program's output goes."""
        return self.folder / f"{name}.log"

    def running(self) -> Running | None:
        """The `fabric up` that runs on this folder."""
        return Running.read(self._pid_file)

    def left_behind(self) -> bool:
        """Whether a `fabric up` ended here without saying so."""
        return self._pid_file.exists()

    def remember(self, site: Site) -> None:
        """Write down who runs here, with which site, and whose certificates clients should believe."""
        self._address_file.unlink(missing_ok=True)
        if site.tls is None:
            self._ca_file.unlink(missing_ok=True)
        else:
            write_whole(self._ca_file, Path(site.tls.believed).read_text(encoding="utf-8"))
        mine = Running.now(os.getpid())
        if mine is not None:
            mine.write(self._pid_file)
        self.rewrite(site)

    def rewrite(self, site: Site) -> None:
        """Write down the site as control is to read it."""
        from ruamel.yaml import YAML

        beside = self.site_file.with_suffix(".new")
        with beside.open("w", encoding="utf-8") as out:
            out.write("# The site in force, written by `fabric up` and `fabric admin reload`; changes here are lost.\n")
            YAML(typ="safe", pure=True).dump(site.model_dump(mode="json"), out)
        beside.replace(self.site_file)

    def announce(self, address: str) -> None:
        """Write down where control answers, for clients that are told no address."""
        write_whole(self._address_file, f"{address}\n")

    def address(self) -> str | None:
        """Where control answers; None while nothing is up."""
        try:
            return self._address_file.read_text(encoding="utf-8").strip() or None
        except FileNotFoundError:
            return None

    def control_address(self) -> str | None:
        """Where control answers, or will once it has started; None if nobody wrote that down."""
        from fabric.config.load import load
        from fabric.config.site import Site

        if (announced := self.address()) or not self.site_file.exists():
            return announced
        site = load(Site, self.site_file)
        return site.url(site.ports.control)

    def forget(self) -> None:
        """Remove what was written down, if it was us."""
        running = self.running()
        if running is not None and running.pid == os.getpid():
            self._address_file.unlink(missing_ok=True)
            self._pid_file.unlink(missing_ok=True)
