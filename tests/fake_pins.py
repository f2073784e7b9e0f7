"""Values that are made once per workload, kept in a dictionary."""

from collections.abc import Callable


class FakePins:
    """Makes each value of a workload once."""

    def __init__(self) -> None:
        self.known: dict[tuple[str, str], str] = {}

    def secret(self, workload: str, kind: str, make: Callable[[], str]) -> str:
        """As it was made the first time."""
        return self.known.setdefault((workload, kind), make())

    def kept_secret(self, workload: str, kind: str) -> str | None:
        """None if it was not made."""
        return self.known.get((workload, kind))
