"""Every public name is documented: what ruff does not see."""

import ast
from collections.abc import Iterator
from pathlib import Path

from tests.architecture.tree import nodes, place, python_files, syntax


def _has_string_under(body: list[ast.stmt], index: int) -> bool:
    after = body[index + 1] if index + 1 < len(body) else None
    return isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant) and isinstance(after.value.value, str)


def _classes(files: list[Path]) -> Iterator[tuple[Path, ast.ClassDef]]:
    yield from ((f, node) for f in files for node in nodes(f) if isinstance(node, ast.ClassDef))


def _settings_names(files: list[Path]) -> set[str]:
    """Names of all classes that derive from Settings, over any number of steps."""
    bases = {node.name: {ast.unparse(base).rpartition(".")[2] for base in node.bases} for _, node in _classes(files)}
    names = {"Settings"}
    while new := {name for name, above in bases.items() if above & names} - names:
        names |= new
    return names


def test_every_public_class_and_function_has_a_docstring() -> None:
    kinds = (ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    found = [
        place(file, node.lineno)
        for file in python_files("fabric")
        for owner in nodes(file)
        if isinstance(owner, ast.Module | ast.ClassDef) and not getattr(owner, "name", "").startswith("_")
        for node in owner.body
        if isinstance(node, kinds) and not node.name.startswith("_") and not ast.get_docstring(node)
        if "override" not in {ast.unparse(decorator) for decorator in node.decorator_list}
    ]
    assert found == []


def test_every_settings_field_has_a_string_under_it() -> None:
    files = python_files("fabric", "apps")
    settings = _settings_names(files)
    found = [
        place(file, node.lineno)
        for file, owner in _classes(files)
        if owner.name in settings and owner.bases
        for index, node in enumerate(owner.body)
        if isinstance(node, ast.AnnAssign) and not ast.unparse(node.annotation).startswith("ClassVar")
        if not _has_string_under(owner.body, index)
    ]
    assert found == [], "say under the field what it means and in which unit"


def _is_number(value: ast.expr | None) -> bool:
    """Whether it is a number, or reckoned from numbers."""
    leaves = [n for n in ast.walk(value or ast.Constant(None)) if not list(ast.iter_child_nodes(n))]
    return all(
        isinstance(n, ast.operator | ast.unaryop) or type(getattr(n, "value", n)) in (int, float) for n in leaves
    )


def test_every_public_number_has_a_string_under_it() -> None:
    found = [
        place(file, node.lineno)
        for file in python_files("fabric")
        for index, node in enumerate(syntax(file).body)
        if isinstance(node, ast.Assign | ast.AnnAssign) and _is_number(node.value)
        for target in (node.targets if isinstance(node, ast.Assign) else [node.target])
        if isinstance(target, ast.Name) and target.id.isupper() and target.id[0] != "_"
        if not _has_string_under(syntax(file).body, index)
    ]
    assert found == [], "say under the number what it bounds, in which unit, and where it comes from"
