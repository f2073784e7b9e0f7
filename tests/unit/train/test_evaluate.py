"""Judging models: grading, samples, cached answers, and what the registry is told."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from fabric.config.load import decode
from fabric.core.errors import BadConfig, Corrupt, NotFound
from fabric.train.evaluate import (
    Answer,
    AnswerCache,
    EvaluateSettings,
    answer,
    chat_samples,
    completion_samples,
    improvement,
    judgement,
    parent,
    shares,
    table,
)
from fabric.train.manifest import seal
from fabric.train.tasks import Item, items_version

ITEMS = tuple(Item(task, f"{task}{i}?", str(i), {}) for task in ("sums", "words") for i in range(3))


class FakeTokenizer:
    """A token is a character; the chat template puts `<` before a question and `>` after it."""

    eos_token_id = 0

    def __call__(self, text: str, add_special_tokens: bool = True) -> dict[str, list[int]]:
        return {"input_ids": [ord(c) for c in text]}

    def apply_chat_template(self, messages: Any, **_: Any) -> str:
        return "".join(f"<{message['content']}>" for message in messages)

    def decode(self, tokens: Sequence[int], skip_special_tokens: bool = False) -> str:
        return "".join(chr(t) for t in tokens if t or not skip_special_tokens)


class FakeModel:
    """Says the digit in the prompt, which is right, but `?` to prompts that begin with one of `wrong`."""

    def __init__(self, wrong: str = "") -> None:
        self.wrong = wrong
        self.asked: list[int] = []

    def __call__(self, prompts: Sequence[Sequence[int]], max_tokens: int) -> list[list[int]]:
        self.asked.append(len(prompts))
        return [self._say("".join(map(chr, prompt)))[:max_tokens] for prompt in prompts]

    def _say(self, prompt: str) -> list[int]:
        said = "?" if self.wrong and prompt.startswith(f"<{self.wrong}") else "".join(c for c in prompt if c.isdigit())
        return [*map(ord, f" {said}"), 0]


class ExactGrader:
    """Right is what equals the item's answer."""

    def right(self, item: Item, text: str) -> bool:
        return text.strip() == item.answer


def answers(model: FakeModel, max_tokens: int = 8) -> list[Answer]:
    grader: Any = ExactGrader()
    return answer(model, FakeTokenizer(), ITEMS, grader=grader, max_tokens=max_tokens)


def settings(**changes: Any) -> EvaluateSettings:
    return decode(EvaluateSettings, {"output": "e", "finetuned": "f", **changes}, "evaluate.yaml")


def test_items_are_asked_all_at_once_and_graded_without_blanks_and_special_tokens() -> None:
    model = FakeModel(wrong="words")
    assert shares(answers(model)) == {"sums": 1.0, "words": 0.0}
    assert model.asked == [6]
    assert answers(model)[0] == Answer("sums", "sums0?", "0", " 0", True)


def test_an_answer_that_is_cut_is_wrong() -> None:
    assert shares(answers(FakeModel(), max_tokens=1)) == {"sums": 0.0, "words": 0.0}


def test_samples_are_asked_one_at_a_time_and_keep_every_token() -> None:
    model = FakeModel()
    found = chat_samples(model, FakeTokenizer(), ["a1", "b2"], model="demo/finetune", max_tokens=5)
    assert model.asked == [1, 1]
    assert (found[0].prompt, found[0].prompt_token_ids) == ("a1", tuple(map(ord, "<a1>")))
    assert (found[0].token_ids, found[0].text) == ((32, 49, 0), " 1")
    assert json.loads(json.dumps(asdict(found[1])))["kind"] == "chat"


def test_a_completion_reads_the_text_itself() -> None:
    found = completion_samples(FakeModel(), FakeTokenizer(), ["to be 2"], model="demo/pretrain", max_tokens=2)
    assert found[0].prompt_token_ids == tuple(map(ord, "to be 2"))
    assert (found[0].kind, found[0].max_tokens, len(found[0].token_ids)) == ("completion", 2, 2)


def test_the_registry_is_told_item_by_item_in_one_suite() -> None:
    found = judgement(ITEMS, answers(FakeModel(wrong="words")))
    assert found.suite == items_version(ITEMS)
    assert found.correct == (True, True, True, False, False, False)
    assert found.metrics == {"exact_match": 0.5, "exact_match/sums": 1.0, "exact_match/words": 0.0}


def test_the_table_says_before_after_guessing_and_chance() -> None:
    before, after = answers(FakeModel(wrong="words")), answers(FakeModel())
    assert improvement(before, after).gained == 3
    text = table(before, after, {"sums": 0.25, "words": 0.0})
    assert text.splitlines()[1].split() == ["sums", "100.0%", "100.0%", "25.0%"]
    assert text.splitlines()[-1] == "6 items: 3 gained, 0 lost, McNemar exact p = 0.25"


def test_answers_are_cached_by_everything_that_decides_them(tmp_path: Path) -> None:
    cache, key = AnswerCache(tmp_path / "new"), {"model": "abc", "items": "def", "engine": "vllm"}
    assert cache.find(key) is None
    cache.keep(key, answers(FakeModel()))
    assert cache.find(key) == answers(FakeModel())
    assert cache.find({**key, "engine": "transformers"}) is None


def test_a_damaged_cache_counts_as_none(tmp_path: Path) -> None:
    cache, key = AnswerCache(tmp_path), {"model": "abc"}
    cache.keep(key, answers(FakeModel()))
    for path in tmp_path.iterdir():
        path.write_text(path.read_text()[:-9])
    assert cache.find(key) is None


def test_a_parent_that_did_not_finish_is_named_with_its_stage(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="demo/finetune holds no finished output.*Run the finetune stage first"):
        parent(tmp_path, "demo/finetune", "finetune")


def test_a_parent_whose_bytes_changed_is_named_with_its_file(tmp_path: Path) -> None:
    (tmp_path / "f").mkdir()
    (tmp_path / "f" / "model.safetensors").write_bytes(b"good")
    seal(tmp_path / "f", {"kind": "model"})
    assert parent(tmp_path, "f", "finetune")["kind"] == "model"
    (tmp_path / "f" / "model.safetensors").write_bytes(b"evil")
    with pytest.raises(Corrupt, match="model.safetensors.*Run the finetune stage again"):
        parent(tmp_path, "f", "finetune")


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"engine": "echo"}, "engine.*'auto', 'vllm' or 'transformers'"),
        ({"samples": -1}, "samples.*greater than or equal to 0"),
        ({"answer_tokens": "16"}, "answer_tokens"),
        ({"pretrained": "demo/pretrain"}, "data is needed with pretrained"),
        ({"finetune": "demo/finetune"}, "Did you mean 'finetuned'"),
    ],
)
def test_impossible_evaluations_are_refused(changes: dict[str, Any], told: str) -> None:
    with pytest.raises(BadConfig, match=told):
        settings(**changes)
