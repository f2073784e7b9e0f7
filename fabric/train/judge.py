"""The evaluate stage from its parents' outputs to its own: answers before and after, bits per byte, greedy samples.

Knows nothing of engines or data sets: callers bring what opens a model, and the held-out works.
"""

import json
import math
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol

from fabric.core.errors import Conflict
from fabric.registry.evaluation import JUDGEMENTS, Evaluation
from fabric.train.assets import base_model
from fabric.train.evaluate import (
    EVALUATION,
    SAMPLES,
    Answer,
    AnswerCache,
    EvaluateSettings,
    Generate,
    Sample,
    answer,
    chat_samples,
    completion_samples,
    improvement,
    judgement,
    parent,
    shares,
    table,
)
from fabric.train.manifest import MANIFEST, full_disk, seal, verify, write_atomically
from fabric.train.report import Reporter, Say
from fabric.train.samples import HeldOut
from fabric.train.task import MODEL
from fabric.train.tasks import Grader, ItemSets, TaskSettings, guesses, items_version
from fabric.train.tuned import read_items
from fabric.train.windows import subset_of

ANSWERS = "answers.json"
"""File with every answer, before and after."""
CACHE = "answers"
"""Folder of the cache with base models' answers."""

_LINE_TOKENS = 48


class Engines(Protocol):
    """Opens models for generation."""

    @property
    def name(self) -> str:
        """Which engine it is; asking may import it, which takes seconds."""
        ...

    def opened(self, folder: Path) -> AbstractContextManager[Generate]:
        """A block with the model in `folder` loaded."""
        ...


@dataclass(frozen=True, slots=True)
class Works:
    """What a pre-trained model is judged by."""

    held_out: HeldOut
    """Texts it never saw."""

    version: str
    """Content hash of the data they are from."""


@dataclass(frozen=True, slots=True)
class Stage:
    """What an evaluation needs besides its settings."""

    settings: EvaluateSettings
    """What is judged and how."""

    root: Path
    """The artifacts' root."""

    cache: Path
    """Cache folder, with base models and their answers."""

    engines: Engines
    """How a model is opened."""

    reporter: Reporter
    """Who is told of progress."""

    say: Say
    """Gets a line for each step."""

    @property
    def folder(self) -> Path:
        """Output."""
        return self.root / self.settings.output


def evaluate(stage: Stage, works: Works | None) -> dict[str, Any]:
    """Judge the models and seal the output; one that is there for the same models and works is taken as it is.

    Args:
        stage: What to judge and by which means.
        works: What the pre-trained model is judged by; None if none is.

    Raises:
        NotFound: If a parent has not finished or the base model is not converted.
        Conflict: If the works are of another version of the data than the pre-trained model learned from.
        Corrupt: If a file of a parent is missing or damaged.
        Unavailable: If one cannot be read at the moment.
        StorageFull: If the disk has no room.
        OSError: If it refuses for another reason.
    """
    settings = stage.settings
    tuned = parent(stage.root, settings.finetuned, "finetune") if settings.finetuned else None
    trained = parent(stage.root, settings.pretrained, "pretrain") if settings.pretrained else None
    models = [{"name": made["name"], "version": made["version"]} for made in (tuned, trained) if made]
    data, suite = list[dict[str, str]](), ""
    if trained and works:
        _require_unseen(trained, str(settings.data), works)
        data, suite = [{"name": str(settings.data), "version": works.version}], _suite(works, settings)
    if (done := _finished(stage, models, data, suite)) is not None:
        stage.say("evaluated already")
        return done
    try:
        stage.folder.mkdir(parents=True, exist_ok=True)
        found = _judge_tuned(stage, tuned) if tuned else Findings({}, {}, (), {})
        if trained and works:
            found = found.beside(_judge_trained(stage, trained, works))
        write_atomically(stage.folder / EVALUATION, json.dumps(found.as_json(stage), indent=1) + "\n")
        write_atomically(stage.folder / SAMPLES, json.dumps([asdict(s) for s in found.samples], indent=1) + "\n")
        head = {
            "kind": "evaluation",
            "name": settings.output,
            "config": settings.model_dump(mode="json"),
            "parents": [*models, *data],
            "metrics": found.metrics,
        }
        return seal(stage.folder, head, iter([EVALUATION, SAMPLES, *([ANSWERS] if tuned else [])]))
    except OSError as error:
        raise full_disk(error, stage.folder, "the evaluation") or error from error


@dataclass(frozen=True, slots=True)
class Findings:
    """What was found about some models."""

    judgements: Mapping[str, Evaluation]
    """By output name."""

    metrics: Mapping[str, float]
    """Numbers for the manifest."""

    samples: Sequence[Sample]
    """Greedy samples."""

    report: Mapping[str, Any]
    """What a person asks about later."""

    def beside(self, other: "Findings") -> "Findings":
        """Both together."""
        return Findings(
            {**self.judgements, **other.judgements},
            {**self.metrics, **other.metrics},
            [*self.samples, *other.samples],
            {**self.report, **other.report},
        )

    def as_json(self, stage: Stage) -> dict[str, Any]:
        """The evaluation's file."""
        told = {name: each.to_dict() for name, each in self.judgements.items()}
        return {"engine": stage.engines.name, "metrics": dict(self.metrics), **self.report, JUDGEMENTS: told}


def _require_unseen(trained: Mapping[str, Any], data: str, works: Works) -> None:
    """Refuse works that the model may have learned from: another version of its data may hold out others.

    Raises:
        Conflict: If they are of another version than the model names.
    """
    learned = {made["name"]: made["version"] for made in trained.get("parents", ())}
    if learned.get(data, works.version) != works.version:
        raise Conflict(
            f"{trained['name']} was trained on version {learned[data]} of {data}, which is now {works.version}: it may "
            "have learned from works that are held out there. Prepare the former again, or train on the latter.",
            output=str(trained["name"]),
        )


def _suite(works: Works, settings: EvaluateSettings) -> str:
    """What a pre-trained model is judged by, in one word."""
    return f"works-{works.version}-{settings.works_tokens or 'all'}"


def _finished(
    stage: Stage, models: list[dict[str, str]], data: list[dict[str, str]], suite: str
) -> dict[str, Any] | None:
    """The manifest of the evaluation if these models were judged by the works of this suite already."""
    if not (stage.folder / MANIFEST).is_file():
        return None
    manifest = verify(stage.folder)
    same = {"workload", "threads"}
    ours = {key: value for key, value in stage.settings.model_dump(mode="json").items() if key not in same}
    theirs = {key: value for key, value in manifest["config"].items() if key not in same}
    if theirs != ours:
        return None
    if data and manifest["parents"] == models:
        # From before evaluations named the data; the suite tells which works they were.
        found = json.loads((stage.folder / EVALUATION).read_text(encoding="utf-8"))[JUDGEMENTS]
        return manifest if suite in {judged["suite"] for judged in found.values()} else None
    return manifest if manifest["parents"] == [*models, *data] else None


@dataclass(frozen=True, slots=True)
class _Exam:
    """Held-out items, and all it takes to ask a model and to grade it."""

    items: ItemSets
    grader: Grader
    tokenizer: Any
    max_tokens: int

    def ask(self, generate: Generate) -> list[Answer]:
        asked = self.items.held_out
        return answer(generate, self.tokenizer, asked, grader=self.grader, max_tokens=self.max_tokens)


def _judge_tuned(stage: Stage, made: Mapping[str, Any]) -> Findings:
    """The fine-tuned model against its base on held-out items."""
    from transformers import AutoTokenizer  # seconds, which an evaluation that is there need not wait for

    settings, name = stage.settings, str(made["name"])
    folder = stage.root / name
    grader = Grader([TaskSettings.model_validate(task) for task in made["config"]["items"]["tasks"]])
    tokenizer = AutoTokenizer.from_pretrained(folder / MODEL)
    exam = _Exam(read_items(folder), grader, tokenizer, settings.answer_tokens)
    before = _before(stage, made, exam)
    stage.reporter.stage("after")
    stage.say(f"after: {len(before)} items, {settings.samples} samples of {name}")
    questions = _spread([item.question for item in exam.items.held_out], settings.samples)
    with stage.engines.opened(folder / MODEL) as generate:
        after = exam.ask(generate)
        samples = chat_samples(generate, tokenizer, questions, model=name, max_tokens=settings.sample_tokens)
    both = {"before": [asdict(each) for each in before], "after": [asdict(each) for each in after]}
    write_atomically(stage.folder / ANSWERS, json.dumps(both, indent=1) + "\n")
    compared, guessing = improvement(before, after), guesses(exam.items)
    stage.say(table(before, after, guessing))
    report = {"comparison": asdict(compared), "before": shares(before), "after": shares(after), "guessing": guessing}
    metrics = {
        "exact_match_before": compared.before / compared.num_items,
        "exact_match": compared.after / compared.num_items,
        "num_items": float(compared.num_items),
        "mcnemar_p": compared.p_value,
    }
    return Findings({name: judgement(exam.items.held_out, after)}, metrics, samples, report)


def _before(stage: Stage, made: Mapping[str, Any], exam: _Exam) -> list[Answer]:
    """The base model's answers, from the cache if it was asked the same before."""
    cache = AnswerCache(stage.cache / CACHE)
    key = {
        "model": made["run"]["base_version"],
        "items": items_version(exam.items.held_out),
        "engine": stage.engines.name,
        "answer_tokens": exam.max_tokens,
    }
    if (kept := cache.find(key)) is not None:
        stage.say("before: answers of the base model are known")
        return kept
    stage.reporter.stage("before")
    stage.say(f"before: {len(exam.items.held_out)} items of {made['config']['base']}")
    with stage.engines.opened(base_model(stage.cache, made["config"]["base"])) as generate:
        found = exam.ask(generate)
    cache.keep(key, found)
    return found


def _judge_trained(stage: Stage, made: Mapping[str, Any], works: Works) -> Findings:
    """The pre-trained model's bits per byte and its samples."""
    from transformers import AutoTokenizer

    settings, folder = stage.settings, stage.root / made["name"] / MODEL
    stage.reporter.stage("bits per byte")
    bits = _bits_per_byte(folder, works.held_out, settings)
    against = None if settings.works_tokens else works.held_out.xz_bits_per_byte  # xz is known for all works only
    stage.say(
        f"{made['name']}: {bits:.3f} bits per byte on held-out works" + (f" (xz {against:.3f})" if against else "")
    )
    tokenizer = AutoTokenizer.from_pretrained(folder)
    prompts = lines_from(works.held_out, tokenizer, settings.samples)
    with stage.engines.opened(folder) as generate:
        samples = completion_samples(
            generate, tokenizer, prompts, model=made["name"], max_tokens=settings.sample_tokens
        )
    judged = {made["name"]: Evaluation(_suite(works, settings), {"bits_per_byte": bits})}
    metrics = {"bits_per_byte": bits} | ({"xz_bits_per_byte": against} if against else {})
    return Findings(judged, metrics, samples, {})


def _bits_per_byte(folder: Path, held_out: HeldOut, settings: EvaluateSettings) -> float:
    import torch

    from fabric.train.lora import load_base
    from fabric.train.parallel import Alone
    from fabric.train.validate import read

    torch.set_num_threads(settings.threads)
    chosen = subset_of(held_out, settings.works_tokens) if settings.works_tokens else held_out
    reading = read(load_base(folder), chosen, Alone(), batch_windows=16)
    return reading.bits_per_byte if reading else math.nan  # None only where somebody asks to leave, and nobody does


def _spread(questions: Sequence[str], count: int) -> list[str]:
    """About evenly many of each kind: every so many-th question."""
    return [questions[i * len(questions) // count] for i in range(min(count, len(questions)))]


def lines_from(held_out: HeldOut, tokenizer: Any, count: int) -> list[str]:
    """Lines of held-out works to go on with, spread over all works.

    Args:
        held_out: The works.
        tokenizer: Turns their tokens into text.
        count: How many.
    """
    works = held_out.works
    each = -(-count // len(works))
    found = []
    for i in range(count):
        tokens = works[i % len(works)].tokens
        start = 1 + (i // len(works)) * (len(tokens) - 1) // each
        text = tokenizer.decode(tokens[start : start + _LINE_TOKENS].tolist(), skip_special_tokens=True)
        lines = [line.strip() for line in text.splitlines() if line.strip()]
        # The first may begin, and the last may end, inside a word.
        found.append(max(lines[1:-1] or lines or ["The"], key=len))
    return found
