"""Read the counts of a test run from its JUnit report.

Knows nothing of pytest beyond the format.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from xml.etree import ElementTree

LONGEST_REASON = 100


@dataclass(frozen=True, slots=True)
class Counts:
    """How many tests ended how."""

    passed: int = 0
    failed: int = 0
    skipped: int = 0
    reasons: Mapping[str, int] = field(default_factory=dict)
    """How many were skipped for which reason."""


def read_counts(report: Path) -> Counts:
    """Counts of the report; none where the run was killed before it wrote one."""
    if not report.exists():
        return Counts()
    cases = list(ElementTree.parse(report).iter("testcase"))  # noqa: S314 - written by our own pytest
    skips = [found for case in cases if (found := case.find("skipped")) is not None]
    failed = sum(case.find("failure") is not None or case.find("error") is not None for case in cases)
    reasons = Counter(skip.get("message", "")[:LONGEST_REASON] for skip in skips)
    return Counts(len(cases) - failed - len(skips), failed, len(skips), dict(reasons))
