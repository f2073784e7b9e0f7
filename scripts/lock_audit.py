"""Audit what is locked: releases that were yanked or are gone, and known vulnerabilities, as the registry tells them.

Knows no registry: it asks the one that uv or pip is configured for, and tells nobody which that is, as its address may
hold a password. Yanked files are in the registry's index (PEP 691 as JSON, or PEP 503 and 592 as a page);
vulnerabilities are in the JSON of a release where the registry has such beside its index.

Exit codes: 0 all of it was checked and nothing found, 1 something was found, 2 wrong usage or no lock file, 3 nothing
was found, but not everything could be checked.
"""

import argparse
import json
import os
import re
import ssl
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from html.parser import HTMLParser
from pathlib import Path
from typing import Any, Literal
from urllib.parse import unquote

import httpx
from packaging.utils import (
    InvalidSdistFilename,
    InvalidWheelFilename,
    canonicalize_name,
    parse_sdist_filename,
    parse_wheel_filename,
)
from packaging.version import InvalidVersion, Version

LOCK = Path(__file__).parent.parent / "requirements.lock"
"""What is audited unless another file is named."""
FINE, FOUND, WRONG, UNKNOWN = 0, 1, 2, 3
"""Exit codes."""
AT_ONCE, TIMEOUT_S, TRIES = 8, 30.0, 2
"""Questions at the same time, longest wait for an answer in seconds, and how often one is asked."""

_PIN = re.compile(r"([A-Za-z0-9][\w.-]*)(?:\[[^\]]*\])?==([^\s;\\]+)")
_DEFAULT = re.compile(r"--index-url <url>.*?\(default:? ([^\s)]+)\)", re.DOTALL)
_JSON = "application/vnd.pypi.simple.v1+json"
_SIMPLE = "/simple"
_LONGEST_TEXT = 200


@dataclass(frozen=True, slots=True)
class Pin:
    """A package that is locked."""

    name: str
    version: str


@dataclass(frozen=True, slots=True)
class Finding:
    """Something about a locked release that somebody should look at."""

    package: str
    version: str
    kind: Literal["yanked", "gone", "vulnerable"]
    id: str
    """Of a vulnerability; empty otherwise."""
    text: str
    """What the registry says."""
    fixed_in: tuple[str, ...] = ()
    """Versions without the vulnerability."""

    def __str__(self) -> str:
        fixed = f"; fixed in {', '.join(self.fixed_in)}" if self.fixed_in else ""
        what = f"{self.kind} ({self.id})" if self.id else self.kind
        return f"{self.package} {self.version}: {what}: {self.text or 'the registry says no more'}{fixed}"


@dataclass(frozen=True, slots=True)
class Report:
    """What was looked at, and found."""

    checked: int
    """Packages whose releases the registry told."""
    findings: tuple[Finding, ...]
    unreachable: tuple[str, ...]
    """Packages of which the registry told nothing."""
    without_advisories: tuple[str, ...]
    """Packages of which it did not say whether they are vulnerable."""

    @property
    def exit_code(self) -> int:
        """As the head of this module says."""
        if self.findings:
            return FOUND
        return UNKNOWN if self.unreachable or self.without_advisories else FINE

    def lines(self) -> Iterator[str]:
        """The same for people."""
        yield from map(str, self.findings)
        if self.unreachable:
            yield f"not checked, as the registry did not tell of them: {_some(self.unreachable)}"
        if self.checked and len(self.without_advisories) >= self.checked:
            yield (
                "known vulnerabilities were NOT looked for: the configured registry offers no advisories beside its "
                "index; audit where one is reachable, or with another tool"
            )
        elif self.without_advisories:
            yield f"without a word about vulnerabilities: {_some(self.without_advisories)}"
        yield f"audit: {self.checked} packages checked, {len(self.findings)} findings"


class Registry:
    """The index of packages that is configured, and what lies beside it."""

    def __init__(self, index: str, transport: httpx.BaseTransport | None = None) -> None:
        """Ask nothing yet.

        Args:
            index: Address of the index.
            transport: Instead of the network.
        """
        self._index = index.rstrip("/")
        cert = os.environ.get("SSL_CERT_FILE") or os.environ.get("PIP_CERT")
        verify = ssl.create_default_context(cafile=cert) if cert and transport is None else True
        self._http = httpx.Client(timeout=TIMEOUT_S, follow_redirects=True, verify=verify, transport=transport)

    def files(self, name: str) -> Mapping[str, str | None] | None:
        """Why each file of a package was yanked, None where it was not; None if the registry does not tell."""
        answer = self._get(f"{self._index}/{canonicalize_name(name)}/", f"{_JSON}, text/html;q=0.1")
        if answer is None:
            return None
        if answer.headers.get("content-type", "").startswith("text/html"):
            page = _Page()
            page.feed(answer.text)
            return page.files
        try:
            return {each["filename"]: _reason(each.get("yanked", False)) for each in answer.json()["files"]}
        except (ValueError, KeyError, TypeError):
            return None

    def vulnerabilities(self, pin: Pin) -> list[Mapping[str, Any]] | None:
        """What is known of a release; None if the registry does not tell."""
        if not self._index.endswith(_SIMPLE):
            return None
        root = self._index.removesuffix(_SIMPLE)
        answer = self._get(f"{root}/pypi/{canonicalize_name(pin.name)}/{pin.version}/json", "application/json")
        try:
            found = None if answer is None else answer.json()["vulnerabilities"]
        except (ValueError, KeyError, TypeError):
            return None
        return [each for each in found if not each.get("withdrawn")] if isinstance(found, list) else None

    def _get(self, url: str, accept: str) -> httpx.Response | None:
        for _ in range(TRIES):
            try:
                answer = self._http.get(url, headers={"Accept": accept})
            except httpx.HTTPError:
                continue
            if not answer.is_server_error:
                return answer if answer.is_success else None
        return None


class _Page(HTMLParser):
    """An index as a page: the text of each link is a file."""

    def __init__(self) -> None:
        super().__init__()
        self.files: dict[str, str | None] = {}

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        told = dict(attrs)
        if tag == "a" and (link := told.get("href")):
            file = unquote(link.partition("#")[0].rpartition("/")[2])
            self.files[file] = _reason(told.get("data-yanked") or "data-yanked" in told)


def _reason(yanked: object) -> str | None:
    """Why, empty where nobody said; None where it was not."""
    if isinstance(yanked, str):
        return yanked
    return "" if yanked else None


def pins_of(lock: str) -> tuple[Pin, ...]:
    """What a lock file pins."""
    found = (_PIN.match(line) for line in lock.splitlines())
    return tuple(Pin(match[1], match[2]) for match in found if match)


def audit(pins: Sequence[Pin], registry: Registry) -> Report:
    """Ask about each."""
    with ThreadPoolExecutor(AT_ONCE) as asked:
        files = dict(zip(pins, asked.map(lambda pin: registry.files(pin.name), pins), strict=True))
        known = [pin for pin in pins if files[pin] is not None]
        # Where the registry tells nothing of the first ones, nobody is asked hundreds of times.
        told = dict(zip(known[:AT_ONCE], asked.map(registry.vulnerabilities, known[:AT_ONCE]), strict=True))
        if any(found is not None for found in told.values()):
            rest = known[AT_ONCE:]
            told |= dict(zip(rest, asked.map(registry.vulnerabilities, rest), strict=True))
    findings = [found for pin in known for found in _about(pin, files[pin] or {}, told.get(pin) or ())]
    return Report(
        checked=len(known),
        findings=tuple(findings),
        unreachable=tuple(pin.name for pin in pins if files[pin] is None),
        without_advisories=tuple(pin.name for pin in known if told.get(pin) is None),
    )


def _about(pin: Pin, files: Mapping[str, str | None], vulnerable: Iterable[Mapping[str, Any]]) -> Iterator[Finding]:
    reasons = [reason for file, reason in files.items() if version_of(file) == Version(pin.version)]
    if not reasons:
        yield Finding(pin.name, pin.version, "gone", "", "the registry has no file of this release any more")
    elif all(reason is not None for reason in reasons):
        yield Finding(pin.name, pin.version, "yanked", "", next(filter(None, reasons), ""))
    for each in vulnerable:
        text = str(each.get("summary") or each.get("details") or "").strip().partition("\n")[0][:_LONGEST_TEXT]
        ids = dict.fromkeys([str(each.get("id", "")), *map(str, each.get("aliases") or ())])
        fixed = tuple(map(str, each.get("fixed_in") or ()))
        yield Finding(pin.name, pin.version, "vulnerable", " ".join(ids), text, fixed)


def version_of(file: str) -> Version | None:
    """The release that a file belongs to; None for what is neither a wheel nor a source archive."""
    try:
        return parse_wheel_filename(file)[1] if file.endswith(".whl") else parse_sdist_filename(file)[1]
    except (InvalidWheelFilename, InvalidSdistFilename, InvalidVersion):
        return None


def configured_index() -> str | None:
    """The index that uv is told by the environment, else pip's: configured, or the one that it has by itself."""
    for variable in ("UV_DEFAULT_INDEX", "UV_INDEX_URL"):
        if told := os.environ.get(variable):
            return told
    # What pip's help shows of a configured address has no password.
    for key in (":env:.index-url", "install.index-url", "global.index-url"):
        words = [sys.executable, "-m", "pip", "config", "get", key]
        done = subprocess.run(words, capture_output=True, text=True, check=False)
        if done.returncode == 0 and done.stdout.strip():
            return done.stdout.strip()
    # What it has by itself; wide enough that no address is broken over lines.
    words = [sys.executable, "-m", "pip", "install", "--help"]
    done = subprocess.run(words, capture_output=True, text=True, check=False, env={**os.environ, "COLUMNS": "2000"})
    found = _DEFAULT.search(done.stdout)
    return found[1] if found else None


def main(words: Sequence[str], transport: httpx.BaseTransport | None = None) -> int:
    """Audit, say what was found, and return the exit code.

    Args:
        words: Of the command line.
        transport: Instead of the network.
    """
    parser = argparse.ArgumentParser(prog="scripts/audit", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--lock", type=Path, default=LOCK, help="lock file; requirements.lock if left out")
    parser.add_argument("--package", action="append", default=[], help="only this package of it; may be repeated")
    parser.add_argument("--json", action="store_true", help="print the report as JSON")
    given = parser.parse_args(words)
    try:
        pins = pins_of(given.lock.read_text(encoding="utf-8"))
    except OSError as error:
        return _wrong(f"{given.lock} cannot be read: {error.strerror}")
    names = {canonicalize_name(pin.name) for pin in pins}
    wanted = {canonicalize_name(name) for name in given.package}
    if not pins or wanted - names:
        return _wrong(f"{given.lock} pins no {', '.join(sorted(wanted - names)) or 'package'}")
    index = configured_index()
    if index is None:
        return _wrong("neither uv nor pip names a registry; set UV_DEFAULT_INDEX or `pip config set global.index-url`")
    report = audit([p for p in pins if not wanted or canonicalize_name(p.name) in wanted], Registry(index, transport))
    if given.json:
        print(json.dumps({**asdict(report), "exit_code": report.exit_code}, indent=1))
    else:
        print(*report.lines(), sep="\n")
    return report.exit_code


def _some(names: Sequence[str], most: int = 10) -> str:
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more


def _wrong(text: str) -> int:
    print(f"error: {text}", file=sys.stderr)
    return WRONG


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
