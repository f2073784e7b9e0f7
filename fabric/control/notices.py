"""Tell a web hook what happened: every notice at least once, whatever dies in between.

Knows nothing of what the receiver makes of it. Histories are the queue: the number of the last line that was passed on
is in a file, so nothing has to be kept beside them, the loop waits for nobody, and after a crash it goes on from there.
"""

import json
import logging
import threading
import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol

import httpx
import stamina

from fabric.api.notices import signed_headers
from fabric.config import env
from fabric.config.notices import Happening, Notices
from fabric.control.signs import Signs, is_judged
from fabric.core.errors import FabricError, Unavailable
from fabric.scheduler.snapshot import Node, NodeState
from fabric.store.files import write_atomically
from fabric.store.outbox import Line
from fabric.store.retention import RETAINED
from fabric.store.site_events import OF_STATES, WARNING
from fabric.workloads.record import Event, Record

_log = logging.getLogger(__name__)

CURSOR_FILE = "notices.json"
"""In the state folder: how far histories were passed on."""

OVER = "works again; the warning is over"
"""Line of a history after which a new warning is told."""

LOOK_EVERY_S, JUDGE_EVERY_S = 5.0, 60.0
"""Seconds between two looks at histories and nodes, and between two at signs of life."""

MOST_LINES = 200
"""Lines that are looked at in one turn."""

TRIES = 3
"""How often one notice is tried in one turn; the next turn begins with it again."""

_AGAIN = frozenset({408, 425, 429})
"""Refusals of a receiver that may not last, beside all from 500 on."""


class Records(Protocol):
    """What is read of the records, and the only thing that is written."""

    def newest_line(self, before: float | None = None) -> int:
        """The largest number of a line, or of one written before an instant."""
        ...

    def line_at(self, number: int) -> float | None:
        """When a line was written; None where it is gone."""
        ...

    def lines(self, after: int, limit: int) -> Sequence[Line]:
        """The first lines behind a number."""
        ...

    def active(self) -> Mapping[str, Record]:
        """Every workload that is not final."""
        ...

    def events(self, name: str) -> Sequence[Event]:
        """One history."""
        ...

    def add_event(self, event: Event) -> None:
        """Append a line to a history."""
        ...


@dataclass(frozen=True, slots=True)
class Cursor:
    """How far histories were passed on."""

    number: int
    """Of the last line."""
    at: float
    """When that was written, in seconds since the epoch."""


class NamedValues(Protocol):
    """What secrets of projects hold."""

    def named_secret(self, project: str, name: str) -> str | None:
        """What one holds; None if there is none of that name."""
        ...


class NotNow(Unavailable):
    """The receiver may want a notice later. Its address is not told: it may hold a secret."""


class Refused(FabricError):
    """The receiver does not want a notice, and would not want it later."""

    code = "refused"


class Hook:
    """Posts one notice."""

    def __init__(
        self,
        notices: Notices,
        transport: httpx.BaseTransport | None = None,
        *,
        secret: Callable[[], str | None] = lambda: None,
        now: Callable[[], float] = time.time,
    ) -> None:
        """Post nothing yet.

        Args:
            notices: Where to.
            transport: Instead of TCP.
            secret: With what notices are signed; None for not at all.
            now: Seconds since the epoch by the machine's own clock, with which the receiver compares its own.
        """
        self._url, self._secret, self._now = notices.url, secret, now
        self._http = httpx.Client(timeout=notices.timeout_s, transport=transport, trust_env=False)

    def post(self, notice: Mapping[str, Any]) -> None:
        """Let the receiver have it.

        Raises:
            httpx.HTTPError: If it cannot be reached.
            NotNow: If it may want it later.
            Refused: If it does not want it.
            Unavailable: If the secret that should sign it is not there.
        """
        body, secret = json.dumps(dict(notice)).encode(), self._secret()
        for attempt in stamina.retry_context(
            on=(httpx.HTTPError, NotNow), attempts=TRIES, wait_initial=0.2, wait_max=2.0
        ):
            with attempt:
                # At each try anew, as it is dated.
                signed = signed_headers(secret, body, self._now()) if secret else {}
                headers = {"Content-Type": "application/json", **signed}
                answer = self._http.post(self._url, content=body, headers=headers)
                if answer.is_server_error or answer.status_code in _AGAIN:
                    raise NotNow(f"the receiver of notices answers {answer.status_code}")
        if not answer.is_success:
            raise Refused(f"the receiver of notices answers {answer.status_code}")

    def close(self) -> None:
        """Hang up."""
        self._http.close()


class Notifier(threading.Thread):
    """Looks at histories, nodes and signs of life, and passes on what is to be known; a thread of its own."""

    def __init__(
        self,
        records: Records,
        nodes: Callable[[], Iterable[Node]],
        signs: Signs,
        *,
        site: str,
        state: Path,
        now: Callable[[], float],
        notices: Notices | None = None,
        hook: Hook | None = None,
    ) -> None:
        """Look at nothing yet.

        Args:
            records: The histories.
            nodes: Every node as it is.
            signs: What is suspicious.
            site: Its name.
            state: Folder in which it is kept how far histories were passed on.
            now: Seconds since the epoch.
            notices: What is told; None only writes warnings into histories.
            hook: To whom; None tells nobody.
        """
        super().__init__(name="notices", daemon=True)
        self._records, self._nodes, self._signs = records, nodes, signs
        self._site, self._file, self._now = site, state / CURSOR_FILE, now
        self._wanted = frozenset(notices.events) if notices else frozenset[str]()
        self._hook = hook
        self._over = threading.Event()
        self._down: dict[str, float] = {}
        self._judge_at = 0.0
        self._warned: dict[str, Event] | None = None
        """The warning of each workload whose history ends with it; None before the histories were looked at."""

    def run(self) -> None:
        """Look and tell until told to end; who cannot be reached now is told later."""
        said = ""
        while not self._over.is_set():
            problem = ""
            try:
                self.turn()
            except (FabricError, httpx.HTTPError, OSError) as error:
                problem = f"{type(error).__name__}: {error}"
            except Exception as error:  # a mistake of ours must not end what tells of others'
                problem = f"internal error: {type(error).__name__}"
                if problem != said:
                    _log.exception("notices go on in spite of an error")
            if problem != said:
                _log.warning("notices %s", f"wait: {problem}" if problem else "are told again")
                said = problem
            self._over.wait(LOOK_EVERY_S)
        if self._hook is not None:
            self._hook.close()

    def end(self) -> None:
        """Stop; what was not told yet is told by the next control."""
        self._over.set()
        if self.is_alive():
            self.join(timeout=5.0)

    def turn(self) -> None:
        """Look once.

        Raises:
            httpx.HTTPError: If the receiver is not to be reached; everything from there on is told later.
            FabricError: If that may want it later, or the records cannot be read.
        """
        now = self._now()
        if now >= self._judge_at:
            self._judge_at = now + JUDGE_EVERY_S
            self._warn(now)
        if self._hook is not None:
            self._tell_lines(self._hook)
            self._tell_nodes(self._hook, now)

    def _warn(self, now: float) -> None:
        """Write what is suspicious into the histories that do not say so last of the attempt, and that it is over."""
        active = self._records.active()
        found = self._signs.warnings(tuple(active.values()), now)
        warned = self._warned
        if warned is None:
            last = ((record.name, self._last_warning(record)) for record in active.values() if is_judged(record))
            warned = {name: event for name, event in last if event is not None}
        holding = {name: event for name, event in warned.items() if self._still(active.get(name), event, found, now)}
        for name, text in found.items():
            holding[name] = self._last_warning(active[name]) or self._begin(active[name], text, now)
        self._warned = holding

    def _begin(self, record: Record, text: str, now: float) -> Event:
        event = Event(record.name, now, record.state, WARNING + text, record.attempt)
        self._records.add_event(event)
        return event

    def _still(self, record: Record | None, warning: Event, found: Collection[str], now: float) -> bool:
        """Whether a warning still holds; where work works again that was not found suspicious, that is written down."""
        if record is None or not is_judged(record) or record.attempt != warning.attempt:
            return False
        if record.name in found or not self._signs.works_again(record, warning):
            return True
        if self._last_warning(record) is None:  # something else has happened since
            return False
        self._records.add_event(Event(record.name, now, record.state, OVER, record.attempt))
        return False

    def _last_warning(self, record: Record) -> Event | None:
        """The warning that the history of a workload says last of its present attempt, if it does."""
        last = self._records.events(record.name)[-1:]
        says = bool(last) and last[0].reason.startswith(WARNING) and last[0].attempt == record.attempt
        return last[0] if says else None

    def _tell_lines(self, hook: Hook) -> None:
        cursor = self._cursor()
        while lines := self._records.lines(cursor.number, MOST_LINES):
            for line in lines:
                kind = kind_of(line.event)
                if kind in self._wanted:
                    self._post(hook, notice_of(line, kind, self._site))
                cursor = Cursor(line.number, line.event.at)
                if kind in self._wanted or line is lines[-1]:
                    self._keep(cursor)

    def _cursor(self) -> Cursor:
        """Where to go on; at the very first start behind all that was before."""
        try:
            cursor = Cursor(**json.loads(self._file.read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError):
            newest = self._records.newest_line()
            cursor = Cursor(newest, self._records.line_at(newest) or self._now())
            self._keep(cursor)
            return cursor
        if cursor.number and self._records.line_at(cursor.number) != cursor.at:
            # It went with its workload, and its number may be another line's by now. Those of its instant come again.
            return Cursor(self._records.newest_line(before=cursor.at), cursor.at)
        return cursor

    def _keep(self, cursor: Cursor) -> None:
        write_atomically(self._file, json.dumps(asdict(cursor)).encode())

    def _tell_nodes(self, hook: Hook, now: float) -> None:
        """Tell of each node once when it goes down; a control that begins tells of those that are."""
        down = {node.name: node for node in self._nodes() if node.state is NodeState.DOWN}
        self._down = {name: at for name, at in self._down.items() if name in down}
        for name in sorted(down.keys() - self._down.keys()):
            if "node_down" in self._wanted:
                notice = {"id": f"{self._site}/node/{name}/{now:.0f}", "event": "node_down", "site": self._site,
                          "at": now, "node": name, "tier": down[name].tier}  # fmt: skip
                self._post(hook, notice)
            self._down[name] = now

    def _post(self, hook: Hook, notice: Mapping[str, Any]) -> None:
        try:
            hook.post(notice)
        except Refused as error:
            _log.warning("%s; %s is not told again", error.message, notice["id"])


def signing(notices: Notices, named: NamedValues) -> Callable[[], str | None]:
    """What gives the secret with which notices are signed: looked up each time, so that another one holds at once.

    Args:
        notices: Name it.
        named: Secrets of projects.
    """
    if notices.signed_with is None:
        return lambda: env.get(env.NOTICES_SECRET)
    project, name = notices.named

    def look_up() -> str:
        # Rather later than unsigned.
        if (found := named.named_secret(project, name)) is None:
            raise Unavailable(
                f"project {project} has no secret {name!r}, which should sign notices. Set it: "
                f"`fabric secrets set {name} --project {project}`"
            )
        return found

    return look_up


def kind_of(event: Event) -> Happening | None:
    """What a line tells; None where it is nothing to be told of."""
    if event.reason.startswith(RETAINED):  # the state was told when it began
        return None
    return "warning" if event.reason.startswith(WARNING) else OF_STATES.get(event.state)


def notice_of(line: Line, kind: Happening, site: str) -> dict[str, Any]:
    """What is posted."""
    event = line.event
    return {
        "id": f"{site}/{line.number}/{event.at:.3f}",
        "event": kind,
        "site": site,
        "at": event.at,
        "workload": event.workload,
        "project": line.project,
        "attempt": event.attempt,
        "reason": event.reason.removeprefix(WARNING),
    }
