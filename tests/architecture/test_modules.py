"""Size, names and imports of our modules."""

import ast
import subprocess
import sys
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

from tests.architecture.tree import ROOT, imports, nodes, place, python_files, syntax

MOST_LINES = 400
MOST_LINES_OF_AN_APP = 60
RAY_MODULES = (
    "fabric/backends/",
    "fabric/data/ray_pipeline.py",
    "fabric/train/ray_train.py",
    "fabric/serve/ray_serve.py",
)
HEAVY = ("ray", "torch", "transformers", "pandas", "sqlalchemy", "fastapi")


@pytest.mark.parametrize(
    ("folders", "most"),
    [(("fabric", "tests", "scripts"), MOST_LINES), (("apps",), MOST_LINES_OF_AN_APP)],
    ids=["modules", "apps"],
)
def test_no_module_is_longer_than_its_cap(folders: tuple[str, ...], most: int) -> None:
    lengths = {place(file): len(file.read_text().splitlines()) for file in python_files(*folders)}
    assert {name: length for name, length in lengths.items() if length > most} == {}


def test_only_named_modules_import_ray() -> None:
    found = [
        place(file, line)
        for file in python_files("fabric")
        if not place(file).startswith(RAY_MODULES)
        for name, line in imports(file)
        if name.split(".")[0] == "ray"
    ]
    assert found == [], f"import Ray in one of {', '.join(RAY_MODULES)}"


def test_core_imports_only_the_standard_library() -> None:
    known = sys.stdlib_module_names | {"fabric"}
    found = {
        place(f, line): n for f in python_files("fabric/core") for n, line in imports(f) if n.split(".")[0] not in known
    }
    assert found == {}


def _reads_environment(node: ast.AST) -> bool:
    names = ("environ", "environb", "getenv", "putenv")
    if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
        return node.value.id == "os" and node.attr in names
    return isinstance(node, ast.ImportFrom) and node.module == "os" and any(a.name in names for a in node.names)


def test_only_one_module_reads_the_environment() -> None:
    others = [file for file in python_files("fabric") if place(file) != "fabric/config/env.py"]
    found = [place(f, node.lineno) for f in others for node in nodes(f) if _reads_environment(node)]  # type: ignore[attr-defined]
    assert found == [], "ask fabric.config.env"


def _is_code(node: ast.stmt) -> bool:
    if isinstance(node, ast.Import | ast.ImportFrom):
        return False
    if isinstance(node, ast.Expr):
        return not isinstance(node.value, ast.Constant)
    names = [t.id for t in getattr(node, "targets", []) if isinstance(t, ast.Name)]
    return not isinstance(node, ast.Assign) or not set(names) <= {"__all__", "__version__"}


def test_package_files_hold_a_docstring_and_names_but_no_code() -> None:
    packages = [file for file in python_files("fabric") if file.name == "__init__.py"]
    found = [place(f, node.lineno) for f in packages for node in syntax(f).body if _is_code(node)]
    assert found == []


def test_every_folder_of_modules_is_a_package() -> None:
    folders = {file.parent for file in python_files("fabric")}
    assert [place(folder) for folder in sorted(folders) if not (folder / "__init__.py").exists()] == []


def test_exactly_one_distribution_owns_the_name_fabric() -> None:
    owners = set(packages_distributions()["fabric"])
    assert owners == {"compute-fabric"}, "another distribution overwrote ours; make a new .venv with scripts/setup"


def test_importing_the_sdk_is_light(tmp_path: Path) -> None:
    # Processor time, not the wall clock, so that a busy machine does not matter.
    program = "import sys, time, fabric.sdk; print(time.process_time(), *sys.modules)"
    python = [sys.executable, "-c", program]
    seconds, *modules = subprocess.run(python, cwd=ROOT, capture_output=True, text=True, check=True).stdout.split()
    assert sorted(set(HEAVY) & set(modules)) == []
    assert float(seconds) < 0.5
