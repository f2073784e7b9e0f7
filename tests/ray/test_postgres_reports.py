"""What workloads tell of themselves, kept in a real PostgreSQL."""

from tests.unit.store.test_reports import *  # noqa: F403 - its tests and its fixture, on the engine of this folder
