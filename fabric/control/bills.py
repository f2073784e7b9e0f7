"""The RAM bills of a workload as people see them: of what it holds, or of where it might run.

Knows nothing of HTTP or stores: values in, values out.
"""

from collections import Counter
from collections.abc import Iterator

from fabric.api.bills import BillLine, BillList, BillView
from fabric.config.site import Site
from fabric.scheduler.charges import bill_of
from fabric.scheduler.ram_lines import terms
from fabric.scheduler.shape import head_part, part_of_group
from fabric.workloads.record import Record

_Kind = tuple[str, str, int]


def bills_of(record: Record, site: Site) -> BillList:
    """What each slice of a workload keeps in memory; of one that holds none, what a worker would on each tier.

    Args:
        record: The workload.
        site: Its tiers, and what a Ray head is charged.
    """
    held = Counter(_held(record))
    kinds = held or dict.fromkeys(_possible(record, site), 0)
    tiers = {tier.name for tier in site.tiers}
    made = (_bill(kind, kinds[kind], record, site) for kind in sorted(kinds) if kind[1] in tiers)
    return BillList(bills=tuple(each for each in made if each is not None))


def _held(record: Record) -> Iterator[_Kind]:
    if record.grant is not None and record.state.holds_grant:
        for part in record.grant.slices:
            yield part.group, part.tier, 0 if part.only_head else part.workers


def _possible(record: Record, site: Site) -> Iterator[_Kind]:
    for group in record.spec.groups:
        for tier in site.tiers:
            if group.tier in (None, tier.name):
                yield group.name, tier.name, 1


def _bill(kind: _Kind, count: int, record: Record, site: Site) -> BillView | None:
    """One bill; None for a head that is charged nothing."""
    name, tier_name, workers = kind
    tier = next(tier for tier in site.tiers if tier.name == tier_name)
    group = next((group for group in record.spec.groups if group.name == name), None)
    # Objects that people made bring a head of their own size.
    part = head_part(site.head.resources) if group is None else part_of_group(group)
    if part is None:
        return None
    made = bill_of(part, terms(tier), max(1, workers))
    lines = tuple(
        BillLine(what=line.what, num_bytes=line.size.count, charged=line.charged, why=line.why) for line in made.lines
    )
    return BillView(
        group=name, tier=tier_name, workers=workers, slices=count, diskless=made.diskless, lines=lines,
        total_bytes=made.total.count,
    )  # fmt: skip
