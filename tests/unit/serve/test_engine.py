"""What an engine does before and around its tokens."""

import importlib
from pathlib import Path

import pytest

from fabric.core.errors import BadInput, Corrupt, NotFound, Unavailable
from fabric.serve.engines.choice import Choice, choose, open_engine
from fabric.serve.engines.echo import ByteTokeniser, EchoSource
from fabric.serve.engines.engine import Engine, Sampling
from fabric.serve.engines.settings import EngineName, EngineSettings
from fabric.serve.engines.text import Turn, model_config
from fabric.serve.greedy import generate_greedy


@pytest.fixture
def engine() -> Engine:
    return Engine(EchoSource(), ByteTokeniser(), max_context=32)


@pytest.mark.parametrize(
    ("prompt", "ids"),
    [("hé", (104, 195, 169)), ([1, 2], (1, 2)), ([Turn("system", "be brief"), Turn("user", "hi")], (104, 105))],
    ids=["text", "tokens", "conversation"],
)
def test_a_prompt_is_text_or_tokens_or_a_conversation(engine: Engine, prompt: str, ids: tuple[int, ...]) -> None:
    assert engine.encode(prompt) == ids


@pytest.mark.parametrize("prompt", ["", [], [257], [-1], [Turn("user", "")]], ids=str)
def test_an_empty_prompt_or_an_unknown_token_is_refused(engine: Engine, prompt: str) -> None:
    with pytest.raises(BadInput):
        engine.encode(prompt)


@pytest.mark.parametrize(("prompt", "asked", "room"), [(10, None, 22), (31, None, 1), (10, 22, 22), (10, 5, 5)])
def test_an_answer_may_be_as_long_as_the_context_leaves(
    engine: Engine, prompt: int, asked: int | None, room: int
) -> None:
    assert engine.room(prompt, asked) == room


@pytest.mark.parametrize(("prompt", "asked"), [(32, None), (33, None), (10, 23), (31, 2)])
def test_what_does_not_fit_the_context_is_refused_with_the_numbers(
    engine: Engine, prompt: int, asked: int | None
) -> None:
    with pytest.raises(BadInput, match=f"{prompt} tokens.*holds 32") as refused:
        engine.room(prompt, asked)
    assert refused.value.fields["code"] == "context_length_exceeded"


async def test_a_model_is_read_once(engine: Engine) -> None:
    class CountingSource(EchoSource):
        loads = 0

        def load(self) -> None:
            self.loads += 1

    source = CountingSource()
    counted = Engine(source, ByteTokeniser(), 32)
    await counted.warm_up()
    counted.load()
    assert source.loads == 1


async def test_warming_up_fails_if_no_token_comes(engine: Engine) -> None:
    engine.close()
    with pytest.raises(Unavailable):
        await engine.warm_up()


def test_echo_says_its_prompt_again(engine: Engine) -> None:
    [answer] = generate_greedy(engine, ["hello"], max_tokens=20)
    assert (answer.text, answer.finish, len(answer.token_ids)) == ("hello", "stop", 6)


def test_a_stop_text_ends_an_offline_answer(engine: Engine) -> None:
    [answer] = generate_greedy(engine, ["a.b.c"], max_tokens=20, stop=(".",))
    assert (answer.text, answer.finish) == ("a", "stop")


async def test_echo_ignores_its_end_if_told_to(engine: Engine) -> None:
    found = [d async for d in engine.generate((104,), Sampling(max_tokens=5, ignore_eos=True))]
    assert [d.finish for d in found] == [None, None, None, None, "length"]


class Imports:
    """Stands for the import system: what is named fails."""

    def __init__(self, *broken: str) -> None:
        self.broken = broken
        self.asked: list[str] = []

    def __call__(self, name: str) -> None:
        self.asked.append(name)
        if name in self.broken:
            raise ImportError(f"no {name} here")


@pytest.mark.parametrize(
    ("broken", "name", "engine", "reason"),
    [
        ((), "auto", "vllm", "auto: vLLM imports"),
        (("vllm",), "auto", "transformers", "auto: vLLM does not import (ImportError: no vllm here)"),
        ((), "transformers", "transformers", "asked for by name"),
        (
            ("vllm", "transformers"),
            "echo",
            "echo",
            "asked for by name; it repeats its prompt and is for load tests only",
        ),
    ],
)
def test_the_choice_of_an_engine_says_why(
    monkeypatch: pytest.MonkeyPatch, broken: tuple[str, ...], name: EngineName, engine: str, reason: str
) -> None:
    monkeypatch.setattr(importlib, "import_module", Imports(*broken))
    assert choose(name) == Choice(engine, reason)  # type: ignore[arg-type] # as written in the table


@pytest.mark.parametrize(("broken", "name"), [(("vllm",), "vllm"), (("vllm", "transformers"), "auto")])
def test_an_engine_that_does_not_import_is_not_replaced_by_echo(
    monkeypatch: pytest.MonkeyPatch, broken: tuple[str, ...], name: EngineName
) -> None:
    monkeypatch.setattr(importlib, "import_module", Imports(*broken))
    with pytest.raises(Unavailable, match="no vllm here"):
        choose(name)


def test_echo_needs_no_model_folder() -> None:
    assert open_engine(Choice("echo", ""), Path("nowhere"), EngineSettings()).name == "echo"


def test_a_folder_without_a_model_is_refused(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match=r"config\.json"):
        model_config(tmp_path)


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"vocab_size": 3}'])
def test_a_broken_model_configuration_is_named(tmp_path: Path, text: str) -> None:
    (tmp_path / "config.json").write_text(text)
    with pytest.raises(Corrupt, match=r"config\.json"):
        model_config(tmp_path)


@pytest.mark.parametrize(
    "wrong", [{"max_context": 4}, {"max_running": 0}, {"kv_cache": "much"}, {"threads": 2}], ids=str
)
def test_impossible_engine_settings_are_refused(wrong: dict[str, int]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        EngineSettings(**wrong)  # type: ignore[arg-type]
