"""Token counts of LLM requests: how much a replica must read before the first token, and how much it writes.

Knows nothing of arrival times: rates come from elsewhere.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fabric.core.errors import BadInput
from fabric.simulator.hti.traces.lines import csv_rows, text_of

BLOCK_TOKENS = 512
"""Tokens of one prefix block of the Mooncake trace. Source: its README."""


@dataclass(frozen=True, slots=True)
class TokenSizes:
    """Requests of a trace, to be drawn from with replacement."""

    prefill_tokens: tuple[int, ...]
    """Of each request: prompt tokens that no prefix cache holds."""
    output_tokens: tuple[int, ...]
    """Of each request, in the same order."""


def read_azure(path: Path) -> TokenSizes:
    """The Azure conversation trace: `ContextTokens,GeneratedTokens`; it says nothing of caches, so nothing is cached.

    Raises:
        BadInput: If a line has no counts, or there is none.
    """
    rows = [
        (row.whole("ContextTokens", least=1), row.whole("GeneratedTokens", least=1))
        for row in csv_rows(path, ("ContextTokens", "GeneratedTokens"))
    ]
    return _sizes(path, rows)


def read_mooncake(path: Path) -> TokenSizes:
    """The Mooncake conversation trace, with what an unbounded prefix cache leaves to read.

    A request's leading blocks that any earlier request had are cached; at least one token is always read.

    Raises:
        BadInput: If a line is no JSON object with lengths and blocks, or there is none.
    """
    seen: set[int] = set()
    rows = []
    for number, line in enumerate(text_of(path).splitlines(), start=1):
        if not line.strip():
            continue
        prompt, answer, blocks = _request(line, f"{path}:{number}", number)
        known = next((i for i, block in enumerate(blocks) if block not in seen), len(blocks))
        seen.update(blocks)
        rows.append((max(1, prompt - known * BLOCK_TOKENS), answer))
    return _sizes(path, rows)


def _request(line: str, place: str, number: int) -> tuple[int, int, list[int]]:
    try:
        found: Any = json.loads(line)
        prompt, answer, blocks = found["input_length"], found["output_length"], found["hash_ids"]
        sound = all(isinstance(n, int) for n in (prompt, answer, *blocks)) and prompt >= 1 and answer >= 1
    except (ValueError, TypeError, KeyError):
        sound = False
    if not sound:
        message = f"{place}: must be an object with input_length and output_length of at least 1 and a list hash_ids"
        raise BadInput(message, path=place.rpartition(":")[0], line=number)
    return prompt, answer, blocks


def _sizes(path: Path, rows: list[tuple[int, int]]) -> TokenSizes:
    if not rows:
        raise BadInput(f"{path}: has no requests", path=str(path))
    return TokenSizes(tuple(read for read, _ in rows), tuple(written for _, written in rows))
