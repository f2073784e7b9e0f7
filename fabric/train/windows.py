"""Cut held-out works into windows of one context, so that every token is predicted once with enough before it.

Knows nothing of models.
"""

from dataclasses import dataclass, replace

from fabric.train.samples import HeldOut, Work


@dataclass(frozen=True, slots=True, order=True)
class Window:
    """A stretch of a work that the model reads at once, of which only the last tokens count."""

    num_inputs: int
    """Tokens read."""

    num_scored: int
    """Tokens predicted at its end that no earlier window predicts."""

    work: int
    """Index of the work."""

    start: int
    """Index of the first token read."""


def windows(work: int, num_tokens: int, context: int) -> list[Window]:
    """Windows that together predict tokens 1 to `num_tokens - 1` of a work once each.

    All but the first of a work move on by half a context, so what they score has at least the other half before it.
    """
    last = num_tokens - 1
    if last < 1:
        return []
    found = [Window(min(context, last), min(context, last), work, 0)]
    scored = found[0].num_scored
    while scored < last:
        new = min(context // 2, last - scored)
        found.append(Window(context, new, work, scored + new - context))
        scored += new
    return found


def subset_of(held_out: HeldOut, num_tokens: int) -> HeldOut:
    """The beginnings of all works, about `num_tokens` together; their bytes are in proportion."""
    share = max(2, num_tokens // max(1, len(held_out.works)))
    return replace(held_out, works=tuple(_beginning(work, share) for work in held_out.works))


def _beginning(work: Work, num_tokens: int) -> Work:
    if len(work.tokens) <= num_tokens:
        return work
    part = (num_tokens - 1) / (len(work.tokens) - 1)
    return replace(work, tokens=work.tokens[:num_tokens], num_bytes=round(work.num_bytes * part))
