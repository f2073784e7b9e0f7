"""Served answers are compared token by token with the evaluated ones, and shown as they come."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
from rich.console import Console

from scripts.demo_chat import ask
from scripts.demo_report import Answer
from scripts.demo_run import verdict
from tests.unit.scripts.test_demo_report import report


class FakeOpenAI:
    """Answers with given tokens by prompt; streams the letters of a given text one by one."""

    def __init__(self, tokens: Mapping[str, list[int] | None], text: str = "hi!") -> None:
        self.tokens, self.text = tokens, text
        self.asked: list[Mapping[str, Any]] = []
        self.completions = SimpleNamespace(create=self._complete)
        self.chat = SimpleNamespace(completions=SimpleNamespace(create=self._chat))

    def _complete(self, *, prompt: str, **more: Any) -> Any:
        return self._answer("text", prompt, more)

    def _chat(self, *, messages: list[Mapping[str, str]], **more: Any) -> Any:
        return self._answer("chat", messages[0]["content"], more)

    def _answer(self, kind: str, prompt: str, more: Mapping[str, Any]) -> Any:
        self.asked.append({"kind": kind, "prompt": prompt, **more})
        if more.get("stream"):
            return self._pieces(kind)
        choice = SimpleNamespace(model_dump=lambda: {"token_ids": self.tokens[prompt]})
        return SimpleNamespace(choices=[choice])

    def _pieces(self, kind: str) -> Iterator[Any]:
        for letter in [*self.text, None]:
            told = {"delta": SimpleNamespace(content=letter)} if kind == "chat" else {"text": letter}
            yield SimpleNamespace(choices=[SimpleNamespace(**told)])
        yield SimpleNamespace(choices=[])


def sample(prompt: str, *token_ids: int, kind: str = "chat") -> dict[str, Any]:
    return {"prompt": prompt, "kind": kind, "max_tokens": 8, "token_ids": list(token_ids)}


def unheard(piece: str) -> None:
    """Nobody listens."""


@pytest.mark.parametrize("kind", ["chat", "text"])
def test_the_first_answer_is_shown_piece_by_piece(kind: str) -> None:
    said: list[str] = []
    answer = ask(FakeOpenAI({"a": [1]}), "parrot", [sample("a", 1, kind=kind)], said.append)
    assert said == ["parrot is asked: a\nparrot answers: ", "h", "i", "!", "", "", "\n"]
    assert answer == Answer("parrot", "a", "hi!", asked=1)


def test_every_prompt_is_asked_greedily_and_those_that_differ_are_named() -> None:
    client = FakeOpenAI({"a": [1, 2], "b": [1, 3], "c": None})
    answer = ask(client, "parrot", [sample("a", 1, 2), sample("b", 1, 2), sample("c", 7)], unheard)
    assert (answer.asked, answer.same, answer.differing) == (3, 1, ("b", "c"))
    compared = [told for told in client.asked if not told.get("stream")]
    assert [told["prompt"] for told in compared] == ["a", "b", "c"]
    assert all(told["temperature"] == 0.0 and told["extra_body"] == {"return_token_ids": True} for told in compared)


@pytest.mark.parametrize(
    ("answers", "status", "words"),
    [
        ((Answer("a", "p", "t", asked=20), Answer("b", "p", "t", asked=20)), 0, ""),
        ((Answer("a", "p", "t", 20), Answer("b", "p", "t", 20, ("q",))), 1, "demo: b: 19 of 20 served answers equal"),
        ((Answer("a", "p", "t", asked=0),), 1, "demo: a: 0 of 0 served answers"),
    ],
)
def test_the_demo_fails_unless_every_served_answer_is_the_evaluated_one(
    answers: tuple[Answer, ...], status: int, words: str
) -> None:
    console = Console(width=200)
    with console.capture() as said:
        assert verdict(replace(report(), answers=answers), console) == status
    assert said.get().startswith(words)
    assert bool(said.get()) == bool(status)
