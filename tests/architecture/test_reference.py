"""Documents keep step with the code: the environment's variables and the tree."""

import re

from fabric.config import env
from tests.architecture.tree import ROOT, repository_files

README = ROOT / "README.md"


def _folders_drawn(text: str) -> set[str]:
    """Folders of the tree drawing: the block whose first line is a dot."""
    block = re.search(r"^```text\n\.\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    assert block, "the README has no ```text block that begins with a line `.`"
    above: list[str] = []
    drawn = set()
    for line in block[1].splitlines():
        if branch := re.match(r"([│ ]*)[├└]── (.*)", line):
            depth = len(branch[1]) // 4
            for name in re.findall(r"([\w.-]+)/(?=\s|$)", branch[2].partition("  ")[0]):
                above[depth:] = [name]
                drawn.add("/".join(above))
    return drawn


def _folders_that_exist() -> set[str]:
    """Top-level folders, and the packages of the library."""
    parents = [file.relative_to(ROOT).parts[:-1] for file in repository_files()]
    tops = {parts[0] for parts in parents if parts and not parts[0].startswith(".")}
    return tops | {"/".join(parts[:2]) for parts in parents if len(parts) > 1 and parts[0] == "fabric"}


def test_the_readme_draws_the_tree_that_exists() -> None:
    drawn = _folders_drawn(README.read_text(encoding="utf-8"))
    assert {name for name in drawn if not (ROOT / name).is_dir()} == set(), "drawn, but no such folder"
    assert _folders_that_exist() - drawn == set(), "exists, but is not drawn"


def test_every_environment_variable_is_in_the_reference() -> None:
    text = "".join(file.read_text(encoding="utf-8") for file in (ROOT / "CONTRIBUTING.md", README))
    assert {name for name in env.VARIABLES if f"`{name}`" not in text} == set()


def test_the_table_of_variables_has_every_name_in_the_module() -> None:
    names = {value for key, value in vars(env).items() if key.isupper() and isinstance(value, str) and "." not in value}
    assert names == set(env.VARIABLES)
