"""Streams of tokens become streams of text."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fabric.serve.engines.echo import ByteTokeniser
from fabric.serve.engines.transcript import Transcript

BYTES = ByteTokeniser()


def told(text: bytes, *stops: str, prompt: bytes = b"", at_once: int = 1) -> tuple[list[str], int]:
    """Pieces of text in the order in which they come, and the number of tokens of the answer."""
    transcript = Transcript(BYTES, prompt, stops)
    pieces, num_tokens = [], 0
    for begin in range(0, len(text), at_once):
        part = text[begin : begin + at_once]
        piece, kept = transcript.add(part, last=begin + at_once >= len(text))
        pieces.append(piece)
        num_tokens += kept
        if transcript.stopped:
            break
    return pieces, num_tokens


@given(st.binary(max_size=40), st.binary(max_size=6), st.integers(1, 5))
def test_pieces_make_up_the_text_of_all_tokens(text: bytes, prompt: bytes, at_once: int) -> None:
    context = prompt[-5:]
    whole = BYTES.decode(context + text)[len(BYTES.decode(context)) :]
    pieces, num_tokens = told(text, prompt=prompt, at_once=at_once)
    assert ("".join(pieces), num_tokens) == (whole, len(text))


@given(st.text(max_size=20))
def test_no_piece_holds_half_a_character(text: str) -> None:
    pieces, _ = told(text.encode(), prompt=b"x")
    assert "".join(pieces) == text
    assert all("\N{REPLACEMENT CHARACTER}" not in piece for piece in pieces)


def test_a_character_comes_with_its_last_byte() -> None:
    assert told("aé🙂b".encode())[0] == ["a", "", "é", "", "", "", "🙂", "b"]


@given(st.text("abc", max_size=20), st.lists(st.text("abc", min_size=1, max_size=4), min_size=1, max_size=3))
def test_text_ends_before_the_first_stop_text(text: str, stops: list[str]) -> None:
    pieces, num_tokens = told(text.encode(), *stops)
    # The stop text that is complete first ends the answer; of those complete together, the one that begins first.
    ends = [end for end in range(len(text) + 1) if any(text[:end].endswith(stop) for stop in stops)]
    if not ends:
        assert ("".join(pieces), num_tokens) == (text, len(text))
        return
    begin = min(ends[0] - len(stop) for stop in stops if text[: ends[0]].endswith(stop))
    assert ("".join(pieces), num_tokens) == (text[:begin], ends[0])


@pytest.mark.parametrize(
    ("text", "stop", "pieces"),
    [
        ("aXYZ", "XYZ", ["a", "", "", ""]),
        ("aXYb", "XYZ", ["a", "", "", "XYb"]),
        ("aXX", "XYZ", ["a", "", "XX"]),
        ("aX", "XYZ", ["a", "X"]),
    ],
)
def test_what_may_become_a_stop_text_is_held_back_until_it_is_known(text: str, stop: str, pieces: list[str]) -> None:
    assert told(text.encode(), stop)[0] == pieces


def test_tokens_that_never_spell_a_character_do_not_hold_back_text_for_ever() -> None:
    pieces, _ = told(b"\xff" * 200)
    assert len("".join(pieces[:100])) >= 90
