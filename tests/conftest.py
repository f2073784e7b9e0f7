"""Fixtures and options that all tests share.

Knows nothing of what is tested.
"""

import difflib
import gc
import random
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import settings

TESTS = Path(__file__).resolve().parent
GOLDEN = TESTS / "golden"
MACHINE_TIERS = ("ray", "cluster", "gpu")
WITH_MODELS = {
    "test_engines.py", "test_serve.py", "test_gateway_process.py", "test_finetune.py", "test_prepare.py",
    "test_plain_ray.py", "test_pretrain.py", "test_resizing.py", "test_service.py", "test_training_faults.py",
    "test_training_loop.py",
}  # fmt: skip
"""Files of tests/ray that train or load models for minutes; the tier `models` runs them."""

# The machine is shared, so no example is slow enough to be called broken; a failure prints what replays it.
settings.register_profile("fabric", deadline=None, max_examples=15, print_blob=True)
settings.register_profile("thorough", settings.get_profile("fabric"), max_examples=100)
settings.load_profile("fabric")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--rewrite-golden", action="store_true", help="write golden files instead of comparing with them")
    parser.addoption(
        "--seed", type=int, help="where in time tests of faults kill, as a run printed it; drawn if not given"
    )
    parser.addoption(
        "--outage",
        type=float,
        default=0.0,
        help="least seconds for which tests of faults leave a part of Kubernetes dead",
    )
    parser.addoption("--examples", type=int, default=2, help="made-up requests of each operation of a description")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Mark what lies in a tier's folder, so that nothing there can slip into the fast tier."""
    for item in items:
        folder = item.path.relative_to(TESTS).parts[0] if item.path.is_relative_to(TESTS) else ""
        if folder in MACHINE_TIERS:
            item.add_marker(folder)
        if folder == "ray" and item.path.name in WITH_MODELS:
            item.add_marker("models")
    if config.getoption("--rewrite-golden"):
        chosen = [item for item in items if "golden" in getattr(item, "fixturenames", ())]
        config.hook.pytest_deselected(items=[item for item in items if item not in chosen])
        items[:] = chosen


def pytest_collection_finish(session: pytest.Session) -> None:
    """Tests and what they import stay to the end: looking them through for garbage takes a tenth of all time."""
    gc.freeze()
    gc.set_threshold(50_000, 50, 100)


@pytest.fixture
def golden(request: pytest.FixtureRequest) -> Callable[[str, str], None]:
    """Compare text with a file under tests/golden; `scripts/golden` writes it."""
    rewrite = request.config.getoption("--rewrite-golden")

    def compare(name: str, text: str) -> None:
        file = GOLDEN / name
        if rewrite:
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text, encoding="utf-8")
            return
        kept = file.read_text(encoding="utf-8") if file.exists() else ""
        change = "\n".join(
            difflib.unified_diff(kept.splitlines(), text.splitlines(), f"golden/{name}", "now", lineterm="")
        )
        assert kept == text, f"golden/{name} differs. If the change is meant, run scripts/golden.\n{change}"

    return compare


@pytest.fixture(scope="session")
def empty_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file with the schema of the code and no rows, to be copied: migrating takes longer than most tests."""
    # Most tests need no store.
    from fabric.store.database import DATABASE, open_store

    folder = tmp_path_factory.mktemp("schema")
    open_store(folder).dispose()
    return folder / DATABASE


@pytest.fixture
def seed(request: pytest.FixtureRequest) -> int:
    """Where in time to kill; printed, so that `--seed` can repeat a failure."""
    given: int | None = request.config.getoption("--seed")
    chosen = random.SystemRandom().randrange(10_000) if given is None else given
    print(f"seed {chosen}")
    return chosen
