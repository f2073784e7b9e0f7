"""Files and `--set` become settings, or an error that names place, mistake and what is allowed."""

from enum import StrEnum
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import Field, ValidationError

from fabric.config.load import apply_sets, decode, load, parse_yaml
from fabric.config.settings import Settings
from fabric.core.errors import BadConfig


class Kind(StrEnum):
    ADAM = "adam"
    LION = "lion"


class Optimizer(Settings):
    lr: float = Field(default=1e-3, gt=0)
    """Learning rate."""
    warmup_steps: int = 0
    """Steps until it is reached."""
    kind: Kind = Kind.ADAM
    """Rule."""


class Run(Settings):
    name: str
    """Name."""
    resume: bool = False
    """Whether to go on from the last checkpoint."""
    optimizer: Optimizer = Optimizer()
    """One optimizer."""
    stages: tuple[Optimizer, ...] = ()
    """Several."""
    by_tier: dict[str, Optimizer] = {}
    """One for each tier."""


def read(text: str, *sets: str) -> Run:
    return decode(Run, apply_sets(parse_yaml(text, "run.yaml"), sets), "run.yaml")


def test_a_whole_file_is_read_with_its_sets_and_the_rest_by_default(tmp_path: Path) -> None:
    file = tmp_path / "run.yaml"
    file.write_text("name: a\nstages: [{lr: 1}, {kind: lion}]\nby_tier: {gpu: {warmup_steps: 7}}\n")
    assert load(Run, file, ["optimizer.lr=3e-4", "resume=true", "name=b"]) == Run(
        name="b",
        resume=True,
        optimizer=Optimizer(lr=3e-4),
        stages=(Optimizer(lr=1.0), Optimizer(kind=Kind.LION)),
        by_tier={"gpu": Optimizer(warmup_steps=7)},
    )


def test_a_section_is_read_by_itself(tmp_path: Path) -> None:
    file = tmp_path / "app.yaml"
    file.write_text("run: {name: a}\nempty:\nwords: [x]\n")
    assert load(Run, file, section="run") == Run(name="a")
    assert load(Optimizer, file, section="empty") == load(Optimizer, file, section="absent") == Optimizer()
    with pytest.raises(BadConfig, match=r"app.yaml: words: must be a mapping, but is a list"):
        load(Run, file, section="words")


def test_settings_cannot_be_changed() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        Run(name="a").name = "b"  # type: ignore[misc]


@pytest.mark.parametrize(
    ("text", "lr"), [("3e-4", 3e-4), ("3E-4", 3e-4), (".5", 0.5), ("1", 1.0), ("+1.5e+2", 150.0), ("0.1", 0.1)]
)
def test_numbers_are_numbers_as_in_yaml_1_2(text: str, lr: float) -> None:
    assert read(f"name: a\noptimizer: {{lr: {text}}}").optimizer.lr == lr
    assert read("name: a", f"optimizer.lr={text}").optimizer.lr == lr


@pytest.mark.parametrize("word", ["on", "off", "yes", "no", "NO"])
def test_words_that_old_yaml_took_for_booleans_stay_words(word: str) -> None:
    assert read(f"name: {word}").name == word
    with pytest.raises(BadConfig, match=f"run.yaml: resume: Input should be a valid boolean .got '{word}'."):
        read(f"name: a\nresume: {word}")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{}", "run.yaml: name: is required"),
        ("name: a\noptimizr: {}", "optimizr: unknown key. Did you mean 'optimizer'? Allowed: by_tier, "),
        ("name: a\noptimizer: {lrr: 1}", "optimizer.lrr: unknown key. Did you mean 'lr'? Allowed: kind, lr,"),
        ("name: a\nstages: [{}, {warmup: 1}]", "stages.1.warmup: unknown key. Did you mean 'warmup_steps'?"),
        ("name: a\nby_tier: {gpu: {zzz: 1}}", "by_tier.gpu.zzz: unknown key. Allowed: kind, lr, warmup_steps."),
        ("name: 7", "name: Input should be a valid string (got 7)"),
        ("name: a\noptimizer: {warmup_steps: 1.5}", "warmup_steps: Input should be a valid integer (got 1.5)"),
        ("name: a\noptimizer: {warmup_steps: '5'}", "warmup_steps: Input should be a valid integer (got '5')"),
        ("name: a\noptimizer: {warmup_steps: true}", "warmup_steps: Input should be a valid integer (got True)"),
        ("name: a\noptimizer: {lr: 0}", "optimizer.lr: Input should be greater than 0 (got 0"),
        ("name: a\noptimizer: {kind: sgd}", "optimizer.kind: Input should be 'adam' or 'lion' (got 'sgd')"),
        ("name: a\noptimizer: [1]", "optimizer: Input should be an object"),
        ("name:", "name: Input should be a valid string (got None)"),
        ("name: 2026-01-01", "date is not JSON serializable; write dates and the like as text"),
        ("name: a\nstages: &again [*again]", "Circular reference detected"),
        ("1: x\nname: a", "1: unknown key."),
    ],
)  # fmt: skip
def test_a_wrong_setting_is_refused_by_place_and_with_what_is_allowed(text: str, message: str) -> None:
    with pytest.raises(BadConfig) as caught:
        read(text)
    assert message in str(caught.value)
    assert str(caught.value).startswith("run.yaml: ")


def test_all_mistakes_are_named_at_once() -> None:
    with pytest.raises(BadConfig) as caught:
        read("nam: a\nresume: 1")
    assert all(part in str(caught.value) for part in ("name: is required", "nam: unknown key", "resume: Input should"))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("name: [1", "run.yaml: line 1, column 9: expected ',' or ']'"),
        ("name: a\n\tresume: true", "run.yaml: line 2, column 1: found character '\\t'"),
        ("name: a\nname: b", 'run.yaml: line 2, column 1: found duplicate key "name"'),
        ("name: !!python/object:os.system {}", "run.yaml: line 1, column 7: could not determine a constructor"),
        ("- name: a", "run.yaml: must be a mapping of keys to values, but is a list"),
        ("just words", "run.yaml: must be a mapping of keys to values, but is a str"),
        ("name: a\n---\nname: b", "run.yaml: line 2, column 1: but found another document"),
        ("name: \x00", "run.yaml: unacceptable character"),
    ],
)
def test_what_is_no_yaml_is_refused_with_line_and_column(text: str, message: str) -> None:
    with pytest.raises(BadConfig) as caught:
        read(text)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("item", "message"),
    [
        ("optimizer.lr", "--set optimizer.lr: write it as path=value"),
        ("=3", "--set =3: write it as path=value"),
        ("name.first=x", "--set name.first=x: 'name' holds a value, not a section"),
        ("optimizer.lr=[", "--set optimizer.lr=[: line 1, column"),
        ("optimizer.lrr=1", "optimizer.lrr: unknown key. Did you mean 'lr'?"),
        ("optimizer.lr=", "optimizer.lr: Input should be a valid number (got None)"),
        ("resume=on", "resume: Input should be a valid boolean (got 'on')"),
        ("stages.0.lr=1", "--set stages.0.lr=1: 'stages' holds a value, not a section"),
    ],
)
def test_a_wrong_set_is_refused_by_its_own_text(item: str, message: str) -> None:
    with pytest.raises(BadConfig) as caught:
        read("name: a\nstages: []", item)
    assert message in str(caught.value)


KEYS = st.sampled_from(["a", "b", "c"])
VALUES = st.integers() | st.booleans()


@given(st.dictionaries(KEYS, VALUES | st.dictionaries(KEYS, VALUES)), KEYS, st.integers())
def test_sets_leave_the_document_they_were_given_alone(document: dict[str, object], key: str, number: int) -> None:
    before = repr(document)
    changed = apply_sets(document, [f"{key}={number}", f"new.{key}={number}"])
    assert repr(document) == before
    assert changed == {**document, key: number, "new": {key: number}}


def test_a_missing_file_is_answered_with_the_name_that_is_near(tmp_path: Path) -> None:
    (tmp_path / "laptop.yaml").write_text("name: a")
    with pytest.raises(BadConfig, match=r"labtop.yaml: no such file. Did you mean .*laptop.yaml\?"):
        load(Run, tmp_path / "labtop.yaml")
    with pytest.raises(BadConfig, match="no such file.$"):
        load(Run, tmp_path / "nowhere" / "zzz.yaml")


def test_a_file_that_is_no_text_or_a_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "picture.yaml").write_bytes(b"\x89PNG\xff")
    for path in (tmp_path / "picture.yaml", tmp_path):
        with pytest.raises(BadConfig, match="cannot be read"):
            load(Run, path)
