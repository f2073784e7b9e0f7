"""Judge models: exact answers to held-out items, and greedy samples that served answers are compared with.

Knows nothing of engines: callers bring a function that generates.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, Protocol, Self

from pydantic import Field, model_validator

from fabric.config.settings import Settings
from fabric.core.errors import Corrupt, NotFound
from fabric.registry.evaluation import Evaluation
from fabric.train.finetune import prompt_tokens
from fabric.train.manifest import MANIFEST, verify, write_atomically
from fabric.train.statistics import Comparison, compare
from fabric.train.tasks import Grader, Item, items_version
from fabric.workloads.spec import WorkloadSpec

EVALUATION = "evaluation.json"
"""File with everything that was found."""
SAMPLES = "samples.json"
"""File with the greedy samples."""


class EvaluateSettings(Settings):
    """What is judged and how; one file under `configs/evaluate/`."""

    workload: WorkloadSpec | None = None
    """What the fabric grants; unused under plain Ray."""

    output: str
    """Folder of what is found, below the artifacts' root."""

    finetuned: str | None = None
    """Output of the `finetune` stage, judged on its held-out items and against its base model."""

    pretrained: str | None = None
    """Output of the `pretrain` stage, judged by bits per byte."""

    data: str | None = None
    """Output of the `prepare` stage with the held-out works; needed with `pretrained`."""

    engine: Literal["auto", "vllm", "transformers"] = "auto"
    """What generates; `auto` takes vLLM where it imports and transformers otherwise."""

    max_context: int = Field(default=512, ge=32)
    """Longest prompt and answer together, in tokens."""

    answer_tokens: int = Field(default=16, ge=1)
    """Longest answer to an item, in tokens; a longer one is cut and so is wrong."""

    samples: int = Field(default=20, ge=0)
    """Greedy samples of each served model, one prompt at a time."""

    sample_tokens: int = Field(default=24, ge=1)
    """Longest sample, in tokens."""

    works_tokens: int | None = Field(default=None, ge=1)
    """Held-out tokens read for bits per byte, taken evenly from every work; None reads all."""

    threads: int = Field(default=2, ge=1)
    """Threads torch computes with."""

    @model_validator(mode="after")
    def _something_is_judged(self) -> Self:
        if self.finetuned is None and self.pretrained is None:
            raise ValueError("name at least one of finetuned and pretrained: the outputs of those stages")
        if self.pretrained is not None and self.data is None:
            raise ValueError("data is needed with pretrained: the output of the prepare stage with the held-out works")
        return self


class Generate(Protocol):
    """Greedy continuations, as many prompts at a time as are given."""

    def __call__(self, prompts: Sequence[Sequence[int]], max_tokens: int, /) -> Sequence[Sequence[int]]:
        """New tokens of each prompt, in the prompts' order, up to and with the token that ends a turn."""
        ...


@dataclass(frozen=True, slots=True)
class Answer:
    """What a model answered to an item."""

    task: str
    """Title of the item's kind."""

    question: str
    """What was asked."""

    expected: str
    """What is right."""

    text: str
    """What the model said."""

    right: bool
    """Whether it is exactly right."""


@dataclass(frozen=True, slots=True)
class Sample:
    """A greedy continuation that can be asked for again over HTTP."""

    model: str
    """Name of the model's output folder."""

    kind: Literal["chat", "completion"]
    """`chat`: the prompt is a user's message; `completion`: it is text to go on with."""

    prompt: str
    """What is asked."""

    prompt_token_ids: tuple[int, ...]
    """What the model reads."""

    token_ids: tuple[int, ...]
    """What it says, with the token that ends a turn if it got there."""

    text: str
    """What it says, without special tokens."""

    max_tokens: int
    """How many it was allowed."""


def parent(root: Path, name: str, stage: str) -> dict[str, Any]:
    """The manifest of an earlier stage's output, every byte of it verified.

    Args:
        root: The artifacts' root.
        name: The output's folder below it.
        stage: The stage that makes it.

    Raises:
        NotFound: If the stage has not finished there.
        Corrupt: If a file is missing or damaged.
        Unavailable: If one cannot be read at the moment.
    """
    if not (root / name / MANIFEST).is_file():
        raise NotFound(f"{root / name} holds no finished output: {MANIFEST} is missing. Run the {stage} stage first.")
    try:
        return verify(root / name)
    except Corrupt as error:
        raise Corrupt(f"{error.message}. Run the {stage} stage again.", **error.fields) from None


def answer(
    generate: Generate, tokenizer: Any, items: Sequence[Item], *, grader: Grader, max_tokens: int
) -> list[Answer]:
    """Ask every item at once and grade what comes.

    Args:
        generate: The model.
        tokenizer: Its tokenizer, with a chat template.
        items: What to ask.
        grader: Says what is right.
        max_tokens: Longest answer.
    """
    said = generate([prompt_tokens(tokenizer, item.question) for item in items], max_tokens)
    texts = [tokenizer.decode(tokens, skip_special_tokens=True) for tokens in said]
    return [
        Answer(item.task, item.question, item.answer, text, grader.right(item, text))
        for item, text in zip(items, texts, strict=True)
    ]


def shares(answers: Sequence[Answer]) -> dict[str, float]:
    """Share of right answers by kind, in the order of the items."""
    kinds = dict.fromkeys(each.task for each in answers)
    of = {kind: [each.right for each in answers if each.task == kind] for kind in kinds}
    return {kind: sum(right) / len(right) for kind, right in of.items()}


def chat_samples(
    generate: Generate, tokenizer: Any, questions: Sequence[str], *, model: str, max_tokens: int
) -> list[Sample]:
    """Greedy answers to questions, asked one at a time as a person would.

    Args:
        generate: The model.
        tokenizer: Its tokenizer, with a chat template.
        questions: What a user asks.
        model: Name of the model's output folder.
        max_tokens: Longest answer.
    """
    prompts = [(question, prompt_tokens(tokenizer, question)) for question in questions]
    return _samples(generate, tokenizer, prompts, kind="chat", model=model, max_tokens=max_tokens)


def completion_samples(
    generate: Generate, tokenizer: Any, texts: Sequence[str], *, model: str, max_tokens: int
) -> list[Sample]:
    """Greedy continuations of texts, one at a time.

    Args:
        generate: The model.
        tokenizer: Its tokenizer.
        texts: What to go on with.
        model: Name of the model's output folder.
        max_tokens: Longest continuation.
    """
    prompts = [(text, tuple(tokenizer(text)["input_ids"])) for text in texts]
    return _samples(generate, tokenizer, prompts, kind="completion", model=model, max_tokens=max_tokens)


def _samples(
    generate: Generate,
    tokenizer: Any,
    prompts: Sequence[tuple[str, tuple[int, ...]]],
    *,
    kind: Literal["chat", "completion"],
    model: str,
    max_tokens: int,
) -> list[Sample]:
    found = []
    for text, tokens in prompts:
        said = tuple(generate([tokens], max_tokens)[0])
        plain = tokenizer.decode(said, skip_special_tokens=True)
        found.append(Sample(model, kind, text, tokens, said, plain, max_tokens))
    return found


class AnswerCache:
    """Answers of models that never change, by what decides them, so that a base model is asked once."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def find(self, key: Mapping[str, Any]) -> list[Answer] | None:
        """The answers under `key`, or None; a damaged file counts as none."""
        try:
            kept = json.loads(self._path(key).read_text(encoding="utf-8"))
            return [Answer(**each) for each in kept["answers"]] if kept["key"] == dict(key) else None
        except (OSError, ValueError, TypeError, KeyError):
            return None

    def keep(self, key: Mapping[str, Any], answers: Sequence[Answer]) -> None:
        """Keep `answers` under `key`.

        Raises:
            OSError: If the disk refuses.
        """
        self._folder.mkdir(parents=True, exist_ok=True)
        write_atomically(self._path(key), json.dumps({"key": dict(key), "answers": [asdict(a) for a in answers]}))

    def _path(self, key: Mapping[str, Any]) -> Path:
        name = hashlib.sha256(json.dumps(dict(key), sort_keys=True).encode()).hexdigest()[:16]
        return self._folder / f"{name}.json"


def judgement(items: Sequence[Item], answers: Sequence[Answer]) -> Evaluation:
    """What the registry compares versions by."""
    right = tuple(each.right for each in answers)
    by_kind = {f"exact_match/{kind}": share for kind, share in shares(answers).items()}
    return Evaluation(items_version(items), {"exact_match": sum(right) / len(right), **by_kind}, right)


def improvement(before: Sequence[Answer], after: Sequence[Answer]) -> Comparison:
    """The paired comparison of two models' answers to the same items."""
    return compare([each.right for each in before], [each.right for each in after])


def table(before: Sequence[Answer], after: Sequence[Answer], guessing: Mapping[str, float]) -> str:
    """Exact match by kind before and after, and what always guessing the commonest answer would get."""
    found = improvement(before, after)
    old, new = shares(before), shares(after)
    width = max(len(kind) for kind in [*old, "all"])
    lines = [f"{'exact match':{width}}  before  after  guessing"]
    lines += [f"{kind:{width}}  {old[kind]:6.1%}  {new[kind]:5.1%}  {guessing[kind]:8.1%}" for kind in old]
    lines.append(f"{'all':{width}}  {found.before / found.num_items:6.1%}  {found.after / found.num_items:5.1%}")
    lines.append(
        f"{found.num_items} items: {found.gained} gained, {found.lost} lost, McNemar exact p = {found.p_value:.2g}"
    )
    return "\n".join(lines)
