"""What of ended work is old enough to go, and removing it: logs, reports, packages and artifacts.

Knows nothing of files or SQL. Nothing of work that has not ended is touched. Whatever is removed goes in one step, and
what must be told is told before, so a pass that is killed is finished by the next one.
"""

import logging
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial

from fabric.api.retention import MOST_REMOVALS, Kind, PassView, PruneView, RemovalView, TotalView
from fabric.config.retention import SHORTEST_S, Retention
from fabric.control.callers import Caller, Permission
from fabric.control.figures import Figures
from fabric.control.retention_ports import Kept
from fabric.core.clock import Clock
from fabric.core.errors import FabricError
from fabric.core.quantity import Bytes
from fabric.store.old_artifacts import Part
from fabric.store.removal import Measure, Step, to_the_end
from fabric.store.retention import Ended
from fabric.workloads.record import Record

_log = logging.getLogger(__name__)

MOST_AT_ONCE = 200
"""Workloads whose histories are written in one transaction."""

PREVIEW_S = 5.0
"""How long a preview looks at artifacts, in seconds: who asks waits, and holds one of few lanes meanwhile. A choice."""

KINDS: tuple[Kind, ...] = ("log", "report", "package", "artifact")
"""In the order in which they are removed."""


@dataclass(frozen=True, slots=True)
class _Stays:
    num: int
    num_bytes: int


@dataclass(frozen=True, slots=True)
class _Artifacts:
    going: list[Part]
    stays: Mapping[str, _Stays]
    """How much is old enough and stays, of projects at work."""
    unseen: str = ""


class _LongEnough(Exception):
    """A preview has looked for as long as it may."""


_Step = Callable[[Retention, float], Iterator[tuple[int, int]]]
"""Removes everything of one kind, at an instant; tells how many things went with how many bytes, as they go."""


class Pruning:
    """Removes what is old enough; safe to call from several threads at once."""

    def __init__(
        self,
        kept: Kept,
        rules: Retention,
        clock: Clock,
        figures: Figures,
        *,
        passed_s: Callable[[], float] = time.monotonic,
    ) -> None:
        """Remove nothing yet.

        Args:
            kept: What there is.
            rules: How long it is kept.
            clock: What says how old it is.
            figures: Where removals are counted.
            passed_s: Seconds that only grow.
        """
        self._passed_s = passed_s
        self._kept, self._rules, self._clock, self._figures = kept, rules, clock, figures
        self._one_at_a_time = threading.Lock()
        self._last: PassView | None = None
        self.wanted = threading.Event()
        """Set by whoever wants a pass now."""

    def use(self, rules: Retention) -> None:
        """Go by other rules from the next pass on."""
        self._rules = rules

    @property
    def every_s(self) -> float:
        """Seconds between two passes."""
        return self._rules.every_s

    def preview(self, caller: Caller) -> PruneView:
        """What a pass would remove now.

        Raises:
            Denied: If the caller may not steer the site.
        """
        caller.require(Permission.OPERATE)
        now, rules = self._clock.now(), self._rules
        artifacts = self._artifacts(rules, now, self._for_a_while())
        found = {
            "log": self._logs(rules, now), "report": self._reports(rules, now),
            "package": [RemovalView(kind="package", project=p.project, name=p.name, num_bytes=p.num_bytes, since=p.used)
                        for p in self._kept.packages.unneeded(self._kept.named())],
            "artifact": [_of_part(part) for part in artifacts.going],
        }  # fmt: skip
        numbers = {kind: len(found[kind]) for kind in KINDS}
        if rules.report_age_s is not None:
            numbers["report"] = self._kept.records.num_reported(now - rules.report_age_s)
        return PruneView(
            removals=tuple(each for kind in KINDS for each in found[kind])[:MOST_REMOVALS],
            totals=tuple(_total(kind, numbers[kind], sum(e.num_bytes for e in found[kind])) for kind in KINDS),
            stays=tuple(
                f"{_many(left.num, 'artifact')} of project {name} ({Bytes(left.num_bytes)}): work of it waits or runs"
                for name, left in sorted(artifacts.stays.items())
            ),
            unseen=artifacts.unseen,
            last=self._last,
        )

    def begin(self, caller: Caller) -> PruneView:
        """Let the next pass begin now; what it will remove.

        Raises:
            Denied: If the caller may not steer the site.
        """
        seen = self.preview(caller)
        _log.info("a pass of retention was asked for by %s", caller.submits_as)
        self.wanted.set()
        return seen

    def run(self) -> PassView:
        """Remove everything that is old enough; what cannot be removed keeps nothing else from going.

        Raises:
            LostLead: If another control leads.
        """
        with self._one_at_a_time:
            now, rules = self._clock.now(), self._rules
            done, failures = {kind: (0, 0) for kind in KINDS}, []
            steps: dict[Kind, _Step] = {
                "log": self._remove_logs,
                "report": self._forget_reports,
                "package": self._collect_packages,
                "artifact": self._remove_artifacts,
            }
            for kind, step in steps.items():
                self._kept.fence()
                try:
                    for num, num_bytes in step(rules, now):
                        done[kind] = (done[kind][0] + num, done[kind][1] + num_bytes)
                        self._figures.removed(kind, num, num_bytes)
                except FabricError as error:
                    failures.append(f"{kind}: {error.message}")
                    self._figures.removal_failed()
                    _log.warning("retention could not remove all of kind %s: %s", kind, error.message)
            totals = tuple(_total(kind, *done[kind]) for kind in KINDS if done[kind][0])
            self._last = PassView(at=now, removed=totals, failures=tuple(failures))
            self._figures.pruned(now)
        if totals:
            words = (f"{_many(each.number, each.kind)} ({Bytes(each.num_bytes)})" for each in totals)
            _log.info("retention removed %s", ", ".join(words))
        return self._last

    def _logs(self, rules: Retention, now: float) -> list[RemovalView]:
        kept = self._kept.logs.kept()
        return old_logs(kept, self._kept.records.ends(kept.keys()), rules, now)

    def _remove_logs(self, rules: Retention, now: float) -> Iterator[tuple[int, int]]:
        going = self._logs(rules, now)
        each_goes = _Each()
        for first in range(0, len(going), MOST_AT_ONCE):
            some = {each.name: each for each in going[first : first + MOST_AT_ONCE]}
            ended: set[str] = set()
            for said, names in _by_reason(some.values(), rules, now).items():
                # Told first: a kill in between leaves a log that the next pass removes, and no second line.
                ended |= self._kept.records.say(names, said)
            nobodys = {name for name, each in some.items() if not each.project} - self._kept.records.ends(some).keys()
            for name in sorted(ended | nobodys):
                self._kept.fence()
                if each_goes(partial(self._kept.logs.retire, name, now - SHORTEST_S)):
                    yield 1, some[name].num_bytes
        self._kept.logs.sweep()
        each_goes.check()

    def _reports(self, rules: Retention, now: float) -> list[RemovalView]:
        if rules.report_age_s is None:
            return []
        found = self._kept.records.reported(now - rules.report_age_s, MOST_REMOVALS)
        return [_of_workload("report", each.name, each.project, num_bytes=0, since=each.ended or 0.0) for each in found]

    def _forget_reports(self, rules: Retention, now: float) -> Iterator[tuple[int, int]]:
        if rules.report_age_s is None:
            return
        said = f"what it told of itself was forgotten; report_age is {rules.report_age}"
        while num := self._kept.records.forget_reports(now - rules.report_age_s, MOST_AT_ONCE, said):
            yield num, 0

    def _collect_packages(self, rules: Retention, now: float) -> Iterator[tuple[int, int]]:
        named = self._kept.named()
        num = len(self._kept.packages.unneeded(named))
        if num:
            yield num, self._kept.packages.collect(named)

    def _for_a_while(self) -> Step:
        """Lets a look go on for as long as a preview may take."""
        until = self._passed_s() + PREVIEW_S

        def step() -> None:
            if self._passed_s() > until:
                raise _LongEnough

        return step

    def _artifacts(self, rules: Retention, now: float, step: Step = to_the_end) -> _Artifacts:
        """What goes, and what stays though it is old."""
        if rules.artifact_age_s is None:
            return _Artifacts([], {})
        busy, going, unseen = at_work(self._kept.active().values()), list[Part](), ""
        num, size, last = Counter[str](), Counter[str](), ""
        try:
            for part in self._kept.artifacts.parts(step):
                last = f" after {part.path} of project {part.project}"
                if part.size.used >= now - rules.artifact_age_s:
                    continue
                if part.project in busy:
                    num[part.project] += 1
                    size[part.project] += part.size.num_bytes
                else:
                    going.append(part)
        except _LongEnough:
            unseen = f"artifacts{last}: looking at all of them takes longer than {PREVIEW_S:g} s"
        return _Artifacts(going, {project: _Stays(num[project], size[project]) for project in num}, unseen)

    def _remove_artifacts(self, rules: Retention, now: float) -> Iterator[tuple[int, int]]:
        if rules.artifact_age_s is None:
            return
        each_goes = _Each()
        for part in self._artifacts(rules, now).going:
            self._kept.fence()
            # Somebody may have submitted work meanwhile that needs it.
            if part.project not in at_work(self._kept.active().values()) and each_goes(
                partial(self._kept.artifacts.remove, part, now - rules.artifact_age_s)
            ):
                _log.info("retention removed %s of project %s", part.path, part.project)
                yield 1, part.size.num_bytes
        self._kept.artifacts.sweep()
        each_goes.check()


class _Each:
    """Removes one thing after another; what cannot be removed keeps none of the others from going."""

    def __init__(self) -> None:
        self._failed: FabricError | None = None

    def __call__(self, remove: Callable[[], bool]) -> bool:
        try:
            return remove()
        except FabricError as error:
            self._failed = error
            return False

    def check(self) -> None:
        """Say so if something could not be removed.

        Raises:
            FabricError: Why the last of these could not.
        """
        if self._failed is not None:
            raise self._failed


class PruningThread(threading.Thread):
    """Makes a pass at intervals, and whenever somebody wants one."""

    def __init__(self, pruning: Pruning) -> None:
        """Begin nothing yet.

        Args:
            pruning: What makes the passes.
        """
        super().__init__(name="retention", daemon=True)
        self.pruning = pruning
        """What makes the passes."""
        self._over = threading.Event()

    def run(self) -> None:
        """Pass after pass, until told to end; a mistake of ours ends none but its own."""
        while not self._over.is_set():
            self.pruning.wanted.clear()
            try:
                self.pruning.run()
            except FabricError as error:
                _log.warning("a pass of retention was cut off: %s", error.message)
            except Exception:
                _log.exception("a pass of retention failed")
            self.pruning.wanted.wait(self.pruning.every_s)

    def end(self) -> None:
        """Stop; what was begun is finished by the next control."""
        self._over.set()
        self.pruning.wanted.set()
        if self.is_alive():
            self.join(timeout=5.0)


def at_work(active: Iterable[Record]) -> frozenset[str]:
    """Projects with work that may read or write artifacts; services of models have versions of their own."""
    return frozenset(r.spec.project for r in active if not r.state.final and r.spec.service is None)


def old_logs(kept: Mapping[str, Measure], ends: Mapping[str, Ended], rules: Retention, now: float) -> list[RemovalView]:
    """Logs that go, that of the first end first; of work that nobody knows any more the last line counts as its end.

    Args:
        kept: Every log, by workload.
        ends: When those ended that are known.
        rules: How long logs are kept, and how much.
        now: Seconds since the epoch.
    """
    found = [
        _of_workload("log", name, _project(name, ends), num_bytes=size.num_bytes, since=since)
        for name, size in kept.items()
        if (since := _since(name, size, ends)) is not None and since < now - SHORTEST_S
    ]
    found.sort(key=lambda each: (each.since, each.name))
    most, age_s = rules.max_log_bytes, rules.log_age_s
    left = sum(size.num_bytes for size in kept.values())
    going = []
    for each in found:
        if (age_s is not None and each.since < now - age_s) or (most is not None and left > most):
            going.append(each)
            left -= each.num_bytes
    return going


def _project(name: str, ends: Mapping[str, Ended]) -> str:
    return ends[name].project if name in ends else ""


def _since(name: str, size: Measure, ends: Mapping[str, Ended]) -> float | None:
    """When the workload of a log ended; None while it has not."""
    return ends[name].ended if name in ends else size.written


def _by_reason(going: Iterable[RemovalView], rules: Retention, now: float) -> Mapping[str, list[str]]:
    """Names of workloads by what is said of their logs."""
    names: dict[str, list[str]] = {}
    for each in going:
        old = rules.log_age_s is not None and each.since < now - rules.log_age_s
        why = f"log_age is {rules.log_age}" if old else f"max_logs is {rules.max_logs}"
        names.setdefault(f"its log was removed; {why}", []).append(each.name)
    return names


def _of_workload(kind: Kind, name: str, project: str, *, num_bytes: int, since: float) -> RemovalView:
    return RemovalView(kind=kind, project=project, name=name, num_bytes=num_bytes, since=since)


def _of_part(part: Part) -> RemovalView:
    size = part.size
    return RemovalView(
        kind="artifact", project=part.project, name=part.path, num_bytes=size.num_bytes, since=size.used
    )  # fmt: skip


def _total(kind: Kind, number: int, num_bytes: int) -> TotalView:
    return TotalView(kind=kind, number=number, num_bytes=num_bytes)


def _many(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"
