"""Read the counts of a test run from its JUnit report.

Knows nothing of pytest beyond the format.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from xml.etree import ElementTree

LONGEST_REASON = 100
LONGEST_FAILURE = 600


@dataclass(frozen=True, slots=True)
class Counts:
    """How many tests ended how."""

    passed: int = 0
    failed: int = 0
    skipped: int = 0
    reasons: Mapping[str, int] = field(default_factory=dict)
    """How many were skipped for which reason."""
    failures: Mapping[str, str] = field(default_factory=dict)
    """What each failed test said, the beginning of it in one line, by its name."""


def read_counts(report: Path) -> Counts:
    """Counts of the report; none where the run was killed before it wrote one."""
    if not report.exists():
        return Counts()
    cases = list(ElementTree.parse(report).iter("testcase"))  # noqa: S314 - written by our own pytest
    skips = [found for case in cases if (found := case.find("skipped")) is not None]
    reasons = Counter(skip.get("message", "")[:LONGEST_REASON] for skip in skips)
    failures = {_name(case): _said(found) for case in cases if (found := _failure(case)) is not None}
    failed = sum(_failure(case) is not None for case in cases)
    return Counts(len(cases) - failed - len(skips), failed, len(skips), dict(reasons), failures)


def _failure(case: ElementTree.Element) -> ElementTree.Element | None:
    """What is wrong with a case: the test's own failure before one of a fixture."""
    found = case.find("failure")
    return found if found is not None else case.find("error")


def _name(case: ElementTree.Element) -> str:
    return f"{case.get('classname', '')}::{case.get('name', '')}"


def _said(failure: ElementTree.Element) -> str:
    return " ".join(failure.get("message", "").split())[:LONGEST_FAILURE]
