"""The evaluate stage on real tokens: a small model before and after, and its samples asked for again."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import AutoTokenizer

from fabric.config.load import decode
from fabric.core.errors import BadConfig, Corrupt, NotFound
from fabric.registry.evaluation import JUDGEMENTS, Evaluation
from fabric.serve.engines.settings import EngineSettings
from fabric.serve.offline import OfflineEngines
from fabric.train.evaluate import EvaluateSettings
from fabric.train.judge import Stage, Works, evaluate, lines_from
from fabric.train.manifest import seal, verify
from fabric.train.report import Silent
from fabric.train.samples import HeldOut, Work
from fabric.train.tasks import Grader, ItemsSettings, make_items
from fabric.train.tuned import write_items
from tests.ray import small_chat_model

pytestmark = pytest.mark.ray

TASKS = [{"generator": "chain_sum", "options": {"min_terms": 2, "max_terms": 2}}, {"generator": "letter_counting"}]


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="module")
def items() -> ItemsSettings:
    return decode(ItemsSettings, {"tasks": TASKS, "train_per_task": 20, "held_out_per_task": 4}, "items")


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory, items: ItemsSettings) -> Path:
    """Outputs of the stages before, with one small model in all roles."""
    root = tmp_path_factory.mktemp("root")
    base = small_chat_model.write(root / "cache" / "small")
    for name, config in (("finetune", {"base": "small", "items": items.model_dump(mode="json")}), ("pretrain", {})):
        small_chat_model.write(root / name / "model")
        write_items(root / name, make_items(items))
        run = {"base_version": verify(base)["version"]}
        seal(root / name, {"kind": "model", "name": name, "config": config, "run": run})
    return root


def works(root: Path) -> Works:
    tokenizer = AutoTokenizer.from_pretrained(root / "pretrain" / "model")
    text = "To be, or not to be,\nthat is the question:\nWhether 'tis nobler\nin the mind to suffer\n" * 8
    tokens = np.array([0, *tokenizer(text)["input_ids"]])
    return Works(HeldOut((Work("play", tokens, len(text)), Work("other", tokens[:200], 300))), "abc")


def stage(root: Path, said: list[str], **changes: Any) -> Stage:
    chosen = {"output": "evaluate", "finetuned": "finetune", "pretrained": "pretrain", "data": "data", **changes}
    settings = decode(EvaluateSettings, {"samples": 3, "sample_tokens": 5, "threads": 1, **chosen}, "evaluate")
    engines = OfflineEngines("transformers", EngineSettings(max_context=256))
    return Stage(settings, root, root / "cache", engines, Silent(), said.append)


@pytest.fixture(scope="module")
def judged(root: Path) -> tuple[dict[str, Any], list[str]]:
    said: list[str] = []
    return evaluate(stage(root, said), works(root)), said


def test_the_output_names_its_parents_versions_and_has_a_judgement_of_each(
    root: Path, judged: tuple[dict[str, Any], list[str]]
) -> None:
    manifest = verify(root / "evaluate")
    assert manifest == judged[0]
    assert manifest["parents"] == [
        *({"name": name, "version": verify(root / name)["version"]} for name in ("finetune", "pretrain")),
        {"name": "data", "version": "abc"},
    ]
    found = json.loads((root / "evaluate" / "evaluation.json").read_text())
    tuned, trained = (Evaluation.from_dict(found[JUDGEMENTS][name]) for name in ("finetune", "pretrain"))
    assert len(tuned.correct) == found["comparison"]["num_items"] == 8
    assert found["comparison"]["p_value"] == 1.0, "the same model before and after"
    assert 0 < trained.metrics["bits_per_byte"] < 20
    assert found["engine"] == "transformers"


def test_samples_asked_for_again_one_by_one_are_the_same_tokens(
    root: Path, judged: tuple[dict[str, Any], list[str]]
) -> None:
    samples = json.loads((root / "evaluate" / "samples.json").read_text())
    assert [(s["model"], s["kind"]) for s in samples] == [("finetune", "chat")] * 3 + [("pretrain", "completion")] * 3
    for model in ("finetune", "pretrain"):
        asked = [s for s in samples if s["model"] == model]
        with OfflineEngines("transformers", EngineSettings(max_context=256)).opened(root / model / "model") as generate:
            again = [generate([s["prompt_token_ids"]], s["max_tokens"])[0] for s in asked]
        assert [list(tokens) for tokens in again] == [s["token_ids"] for s in asked]
        assert all(1 <= len(s["token_ids"]) <= 5 for s in asked)


def test_the_same_evaluation_is_not_done_again_and_the_base_model_is_asked_once(
    root: Path, judged: tuple[dict[str, Any], list[str]]
) -> None:
    said: list[str] = []
    assert evaluate(stage(root, said), works(root)) == judged[0]
    assert said == ["evaluated already"]
    evaluate(stage(root, said, output="another", pretrained=None, data=None), None)
    assert said[1] == "before: answers of the base model are known"


def test_a_missing_or_damaged_parent_is_named(root: Path, tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="nowhere holds no finished output.*Run the finetune stage"):
        evaluate(stage(root, [], finetuned="nowhere"), None)
    small_chat_model.write(tmp_path / "finetune" / "model")
    seal(tmp_path / "finetune", {"kind": "model", "name": "finetune"})
    weights = tmp_path / "finetune" / "model" / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"!")
    with pytest.raises(Corrupt, match="model.safetensors.*Run the finetune stage again"):
        evaluate(stage(tmp_path, [], pretrained=None, data=None), None)


def test_prompts_are_whole_lines_from_every_work(root: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(root / "pretrain" / "model")
    found = lines_from(works(root).held_out, tokenizer, 5)
    lines = "To be, or not to be,\nthat is the question:\nWhether 'tis nobler\nin the mind to suffer".splitlines()
    assert len(found) == 5
    assert set(found) <= set(lines)


def test_items_learned_from_and_held_out_share_no_question_and_are_the_same_each_time(items: ItemsSettings) -> None:
    found = make_items(items)
    assert found == make_items(items)
    questions = [item.question for item in (*found.train, *found.held_out)]
    assert len(set(questions)) == len(questions) == 48
    assert make_items(items.model_copy(update={"train_per_task": 7})).held_out == found.held_out


def test_small_spaces_of_questions_are_kept_apart_too_or_refused() -> None:
    few = {"generator": "chain_sum", "options": {"min_terms": 2, "max_terms": 2, "max_digits": 1}}
    chosen = {"tasks": [few], "train_per_task": 60, "held_out_per_task": 40}
    found = make_items(decode(ItemsSettings, chosen, "items"))
    assert not {item.question for item in found.train} & {item.question for item in found.held_out}
    with pytest.raises(BadConfig, match="chain_sum has only .* questions that are neither repeated nor held out"):
        make_items(decode(ItemsSettings, {**chosen, "train_per_task": 2000}, "items"))


@pytest.mark.parametrize(
    ("task", "told"),
    [
        ({"generator": "chain_sums"}, "no generator 'chain_sums'. Did you mean chain_sum"),
        ({"generator": "xyzzy"}, "no generator 'xyzzy'. There are: ab, acre"),
        ({"generator": "chain_sum", "options": {"terms": 2}}, "chain_sum: options .*terms"),
        ({"generator": "chain_sum", "options": {"min_terms": 9, "max_terms": 2}}, "chain_sum: options"),
    ],
)
def test_an_unknown_generator_or_option_is_named_with_near_matches(task: dict[str, Any], told: str) -> None:
    chosen = {"tasks": [task], "train_per_task": 2, "held_out_per_task": 2}
    with pytest.raises(BadConfig, match=told):
        make_items(decode(ItemsSettings, chosen, "items"))


def test_only_an_exact_answer_is_right(items: ItemsSettings) -> None:
    grader, item = Grader(items.tasks), make_items(items).held_out[0]
    assert grader.right(item, f" {item.answer}\n")
    assert not grader.right(item, f"The answer is {item.answer}.")
    assert not grader.right(item, "")
