"""Between text and token ids: the tokenizer of a model folder, with its chat template and its end-of-text tokens.

Knows nothing of engines or streams.
"""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from fabric.core.errors import BadInput, Corrupt, NotFound


@dataclass(frozen=True, slots=True)
class Turn:
    """One turn of a conversation."""

    role: str
    """`system`, `user` or `assistant`."""
    content: str
    """What was said."""


class Tokeniser(Protocol):
    """What an engine needs of a tokenizer."""

    num_tokens: int
    """Size of the vocabulary that the model knows."""
    ends: frozenset[int]
    """Tokens after which an answer is complete."""

    def encode(self, text: str) -> tuple[int, ...]:
        """Token ids of plain text, with what the model wants in front."""

    def encode_turns(self, turns: Sequence[Turn]) -> tuple[int, ...]:
        """Token ids of a conversation up to where the assistant speaks. Raises BadInput without a chat template."""

    def decode(self, token_ids: Sequence[int]) -> str:
        """Text of tokens, special ones left out; half a character shows as U+FFFD."""


class FolderTokeniser:
    """The tokenizer of a Hugging Face model folder."""

    def __init__(self, folder: Path) -> None:
        """Read it; takes seconds, most of them the import of transformers.

        Raises:
            NotFound: If the folder holds no model.
            Corrupt: If a file of it cannot be read.
        """
        config = model_config(folder)
        from transformers import AutoTokenizer

        try:
            self._tokenizer: Any = AutoTokenizer.from_pretrained(folder, local_files_only=True)
        except (OSError, ValueError, KeyError) as error:
            raise Corrupt(f"{folder}: its tokenizer cannot be read: {error}") from error
        self.num_tokens: int = config["vocab_size"]
        self.ends = frozenset(_ends(folder, self._tokenizer.eos_token_id))

    def encode(self, text: str) -> tuple[int, ...]:
        """Token ids of plain text."""
        return tuple(self._tokenizer.encode(text))

    def encode_turns(self, turns: Sequence[Turn]) -> tuple[int, ...]:
        """Token ids of a conversation, by the model's chat template.

        Raises:
            BadInput: If the model has none, or the template refuses the conversation.
        """
        if not self._tokenizer.chat_template:
            raise BadInput(
                "this model has no chat template, so it does not chat. Use /v1/completions.", param="messages"
            )
        from jinja2 import TemplateError

        messages = [{"role": turn.role, "content": turn.content} for turn in turns]
        try:
            text = self._tokenizer.apply_chat_template(messages, add_generation_prompt=True, tokenize=False)
        except TemplateError as error:
            raise BadInput(f"the model's chat template refuses this conversation: {error}", param="messages") from None
        # The template has put in every special token that the model wants.
        return tuple(self._tokenizer.encode(text, add_special_tokens=False))

    def decode(self, token_ids: Sequence[int]) -> str:
        """Text of tokens, exactly as they spell it."""
        text: str = self._tokenizer.decode(
            list(token_ids), skip_special_tokens=True, clean_up_tokenization_spaces=False
        )
        return text


def model_config(folder: Path) -> dict[str, Any]:
    """The `config.json` of a model folder.

    Raises:
        NotFound: If there is none.
        Corrupt: If it is no JSON or lacks what serving needs.
    """
    try:
        config: dict[str, Any] = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        missing = {"vocab_size", "architectures"} - config.keys()
    except FileNotFoundError:
        raise NotFound(
            f"{folder}: holds no config.json, so it is no model folder. Give one that was registered."
        ) from None
    except (OSError, ValueError, AttributeError) as error:
        raise Corrupt(f"{folder / 'config.json'}: cannot be read: {error}") from None
    if missing:
        raise Corrupt(f"{folder / 'config.json'}: lacks {', '.join(sorted(missing))}")
    return config


def _ends(folder: Path, tokenizers: int | None) -> Iterable[int]:
    """End-of-text tokens of the tokenizer and of generation_config.json, which may name several.

    Raises:
        Corrupt: If that file is no JSON.
    """
    if tokenizers is not None:
        yield tokenizers
    path = folder / "generation_config.json"
    try:
        named = json.loads(path.read_text(encoding="utf-8")).get("eos_token_id") if path.exists() else None
    except (OSError, ValueError, AttributeError) as error:
        raise Corrupt(f"{path}: cannot be read: {error}") from None
    yield from [named] if isinstance(named, int) else named or ()
