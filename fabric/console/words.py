"""Amounts and times as people read them, and the small pieces that all pages share.

Knows nothing of where the values come from.
"""

from collections.abc import Sequence
from datetime import UTC, datetime
from urllib.parse import quote

from fabric.console.markup import Child, Markup, join, tag

_UNITS = (("d", 86400, "h", 3600), ("h", 3600, "min", 60), ("min", 60, "s", 1))
_ENDED_WELL = {"succeeded": "good", "failed": "bad", "cancelled": "quiet"}
_STATES = {"queued": "waits", "running": "good", **_ENDED_WELL}


def duration(seconds: float) -> str:
    """A span of time in at most two units."""
    whole = max(0, round(seconds))
    for unit, length, smaller, part in _UNITS:
        if whole >= length:
            rest = whole % length // part
            return f"{whole // length} {unit}" + (f" {rest} {smaller}" if rest else "")
    return f"{whole} s"


def roughly(seconds: float) -> str:
    """A span of time in its largest unit, so that a page need not change every second."""
    return " ".join(duration(seconds).split()[:2]) if seconds >= 60 else "under a minute"  # noqa: PLR2004 - a minute


def when(instant: float | None) -> Child:
    """An instant, in UTC; the page's script turns it into the reader's own time."""
    if instant is None:
        return "–"
    try:
        then = datetime.fromtimestamp(instant, UTC)
    except (OverflowError, ValueError, OSError):
        return "never"
    return tag("time", f"{then:%Y-%m-%d %H:%M:%S} UTC", datetime=then.isoformat(), data_at=f"{instant:.0f}")


def size(num_bytes: float) -> str:
    """Bytes in the largest unit that leaves a number above one."""
    for unit, step in (("TiB", 2**40), ("GiB", 2**30), ("MiB", 2**20), ("KiB", 2**10)):
        if num_bytes >= step:
            return f"{num_bytes / step:.3g} {unit}"
    return f"{num_bytes:.0f} B"


def number(value: float) -> str:
    """A number without needless digits."""
    return f"{value:,.0f}" if abs(value) >= 1000 or value == int(value) else f"{value:.4g}"  # noqa: PLR2004 - thousands


def amounts(cpus: float, gpus: float, memory_bytes: float) -> str:
    """Resources in words."""
    parts = (f"{number(gpus)} GPUs" if gpus else "", f"{number(cpus)} CPUs" if cpus else "")
    return ", ".join([*filter(None, parts), size(memory_bytes)])


def path_of(name: str) -> str:
    """Address of a workload's page."""
    return f"/workload/{quote(name, safe='')}"


def node_path(name: str) -> str:
    """Address of a node's page."""
    return f"/node/{quote(name, safe='')}"


def link_to(name: str, where: str = "") -> Markup:
    """A link to a workload's page; `where` tells several to the same one on a page apart."""
    return tag("a", name, href=path_of(name), id=f"to-{quote(f'{where}/{name}' if where else name)}", class_="name")


def state(name: str, more: str = "") -> Markup:
    """A workload's state as a badge; `more` is a service's condition."""
    return tag("span", name, f" · {more}" if more else None, class_=f"state {_STATES.get(name, 'moves')}")


def heading(text: str, *beside: Child) -> Markup:
    """Title of a part of a page."""
    return tag("h2", text, *beside)


def facts(*pairs: tuple[str, Child]) -> Markup:
    """Names and values in pairs; those without a value are left out."""
    shown = (pair for pair in pairs if pair[1] not in (None, ""))
    return tag("dl", [tag("div", tag("dt", name), tag("dd", value)) for name, value in shown], class_="facts")


def table(columns: tuple[str, ...], rows: Sequence[tuple[Child, ...]], empty: str, caption: str) -> Markup:
    """A table; on a phone each row becomes a card with the columns' names.

    Args:
        columns: Their names.
        rows: Cells of each.
        empty: Said instead of a table without rows.
        caption: What the table is, for who cannot see it.
    """
    if not rows:
        return tag("p", empty, class_="empty")
    head = tag("thead", tag("tr", [tag("th", column, scope="col") for column in columns]))
    cells = [
        [tag("td", tag("div", cell), data_label=column) for column, cell in zip(columns, row, strict=True)]
        for row in rows
    ]
    body = tag("tbody", [tag("tr", row) for row in cells])
    return tag("table", tag("caption", caption), head, body)


def problem(message: str) -> Markup:
    """What is said when something could not be shown."""
    return tag("p", message, class_="problem", role="alert")


def bar(part: float, whole: float, label: str) -> Markup:
    """How much of something is used."""
    share = min(1.0, part / whole) if whole > 0 else 0.0
    full = "full" if share >= 0.995 else ""  # noqa: PLR2004 - rounds to 100 %
    fill = tag("i", style=f"width:{100 * share:.1f}%", class_=full)
    return tag("span", fill, class_="bar", role="img", aria_label=f"{label}: {100 * share:.0f} %", title=label)


def pager(path: str, query: str, *, offset: int, shown: int, total: int, rows: int) -> Markup:
    """Where in a long list the page is, with links to the pages before and after.

    Args:
        path: Of the page.
        query: What else the address says, `&` at its end.
        offset: Items before the first one shown.
        shown: Items shown.
        total: Items in all.
        rows: Items in a full page.
    """
    if total <= shown and not offset:
        return Markup("")
    before = f"{path}?{query}offset={max(0, offset - rows)}" if offset else None
    after = f"{path}?{query}offset={offset + rows}" if offset + shown < total else None
    said = f"{offset + 1:,}–{offset + shown:,} of {total:,}" if shown else f"none of {total:,}"
    return tag(
        "nav",
        tag("a", "← Before", href=before, id="before", rel="prev") if before else None,
        tag("span", said),
        tag("a", "After →", href=after, id="after", rel="next") if after else None,
        class_="pager",
        aria_label="Pages of the list",
    )


def cards(*pairs: tuple[str, Child]) -> Markup:
    """A row of large numbers with what they count."""
    shown = [tag("div", tag("b", value), tag("span", name), class_="card") for name, value in pairs]
    return tag("div", join(shown), class_="cards")
