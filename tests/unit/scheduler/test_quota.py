"""Projects use their share, borrow what others leave idle, and never pass a limit."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fabric.config.projects import Project, Share, check_projects
from fabric.core.resources import Resources
from fabric.scheduler.amounts import Amounts
from fabric.scheduler.quota import Allowed, Held, Refused, Tree, give_back, may_start, take, tree
from fabric.scheduler.reclaim import Borrower, borrowers, recoverable, within_guarantee
from tests.builders import piece

CAPACITY = {"gpu": Resources.of(64, 8, "64 GiB"), "commodity": Resources.of(32, 0, "64 GiB")}
NOBODY = Held()


def gpus(count: float, cpus: float = 0) -> Amounts:
    return Amounts({"gpu": Resources.of(cpus, count)})


def cpus(count: float) -> Amounts:
    return Amounts({"commodity": Resources.of(count)})


def project(name: str, guaranteed: float | None = None, parent: str | None = None, **more: Any) -> Project:
    """A project with a guarantee, a limit and a borrowing limit in GPUs."""
    shares = {key: {"gpu": Share(gpus=value)} for key, value in more.items() if value is not None}
    own = {} if guaranteed is None else {"gpu": Share(gpus=guaranteed)}
    return Project(name=name, parent=parent, guaranteed=own, **shares)  # type: ignore[arg-type]


def holding(site: Tree, **held: Amounts) -> Held:
    now = NOBODY
    for name, amounts in held.items():
        now = take(site, now, name, amounts)
    return now


def flat(**more: Any) -> Tree:
    """Of 8 GPUs nlp is guaranteed 4, vision 3 and guest none."""
    return tree([project("nlp", 4.0, **more), project("vision", 3.0), project("guest")])


def test_work_inside_the_guarantee_borrows_nothing() -> None:
    assert may_start(flat(), NOBODY, "nlp", gpus(4)) == Allowed(gpus(0))


def test_work_beyond_it_borrows_the_rest() -> None:
    site = flat()
    assert may_start(site, holding(site, nlp=gpus(3)), "nlp", gpus(4)) == Allowed(gpus(3))


def test_what_nobody_is_guaranteed_is_not_borrowed() -> None:
    site = flat()
    assert may_start(site, NOBODY, "nlp", gpus(1, cpus=60) + cpus(32)) == Allowed(gpus(0))


def test_a_hard_limit_refuses_with_amounts_and_holders() -> None:
    site = tree([project("ai", limit=5), project("nlp", 2.0, "ai"), project("vision", 1.0, "ai")])
    answer = may_start(site, holding(site, nlp=gpus(1), vision=gpus(3), ai=gpus(0.5)), "nlp", gpus(2, cpus=8))
    assert isinstance(answer, Refused)
    assert (answer.at, answer.kind, answer.over) == ("ai", "limit", gpus(1.5))
    assert answer.reason == (
        "project nlp asks for 2 GPUs + 8 CPUs on gpu, 1.5 GPUs on gpu more than the limit of project ai allows "
        "(5 GPUs on gpu); held by vision 3 GPUs on gpu, nlp 1 GPUs on gpu, ai 0.5 GPUs on gpu"
    )


def test_a_borrowing_limit_refuses_what_goes_further() -> None:
    site = flat(borrow=1)
    assert isinstance(may_start(site, NOBODY, "nlp", gpus(5)), Allowed)
    answer = may_start(site, NOBODY, "nlp", gpus(6))
    assert isinstance(answer, Refused)
    assert (answer.kind, answer.over, answer.most) == ("borrowing limit", gpus(1), "5 GPUs on gpu")
    assert answer.reason.endswith("held by nobody")


def test_a_project_that_never_borrows_may_still_use_what_belongs_to_nobody() -> None:
    site = tree([Project(name="nlp", guaranteed={"gpu": Share(gpus=4.0)}, borrow={})])
    assert may_start(site, NOBODY, "nlp", gpus(4, cpus=64) + cpus(8)) == Allowed(gpus(0))
    assert isinstance(may_start(site, NOBODY, "nlp", gpus(4.001)), Refused)


def test_a_project_that_holds_too_much_may_still_get_what_is_not_limited() -> None:
    site = flat(limit=4)
    over = holding(site, nlp=gpus(6))
    assert isinstance(may_start(site, over, "nlp", cpus(1)), Allowed)
    answer = may_start(site, over, "nlp", gpus(1))
    assert isinstance(answer, Refused)
    assert answer.over == gpus(1), "no more than is asked for"


def test_without_projects_everybody_may_hold_anything_and_with_some_only_they_may() -> None:
    assert may_start(tree([]), NOBODY, "default", gpus(99)) == Allowed(gpus(0))
    answer = may_start(flat(), NOBODY, "default", gpus(1))
    assert isinstance(answer, Refused)
    assert answer.reason == "project default is not one of the site's projects (nlp, vision, guest)"


def test_what_is_given_back_is_no_longer_held_at_any_level() -> None:
    site = tree([project("ai"), project("nlp", 2.0, "ai")])
    held = holding(site, nlp=gpus(2))
    assert held.of("ai") == gpus(2)
    assert give_back(site, held, "nlp", gpus(2)).of("ai") == gpus(0)
    with pytest.raises(ValueError, match="cannot be negative"):
        give_back(site, held, "nlp", gpus(3))


def test_amounts_of_a_grant_are_added_by_tier() -> None:
    one = Resources.of(1, 1, "1 GiB")
    found = Amounts.of_slices([piece("g0", resources=one), piece("g1", resources=one), piece("c0")])
    assert found == Amounts({"gpu": one + one, "commodity": Resources.of(1, 0, "1 GiB")})
    assert str(found) == "1 CPUs + 1 GiB on commodity, 2 GPUs + 2 CPUs + 2 GiB on gpu"


def test_a_guarantee_is_had_back_from_whoever_borrows_it() -> None:
    site = flat()
    held = holding(site, guest=gpus(3), vision=gpus(5))
    assert borrowers(site, held, "nlp", gpus(4)) == (Borrower("guest", gpus(3)), Borrower("vision", gpus(2)))
    assert within_guarantee(site, held, "nlp", gpus(4))


def test_nobody_takes_from_a_project_inside_its_guarantee_or_to_borrow_itself() -> None:
    site = flat()
    held = holding(site, guest=gpus(5), vision=gpus(3))
    assert recoverable(site, held, "nlp", gpus(4), victim="vision") == gpus(0)
    assert recoverable(site, held, "nlp", gpus(5), victim="guest") == gpus(0)
    assert recoverable(site, held, "guest", gpus(1), victim="vision") == gpus(0)
    assert not within_guarantee(site, held, "nlp", gpus(5))


def test_cpus_are_no_reason_to_take_gpus() -> None:
    site = flat()
    assert recoverable(site, holding(site, guest=gpus(5)), "nlp", cpus(4), victim="guest") == gpus(0)


def test_a_branch_inside_its_guarantee_is_not_taken_from_by_other_branches() -> None:
    site = tree(
        [project("ai", 5.0), project("nlp", 2.0, "ai"), project("vision", 3.0, "ai"), project("chem", 3.0)],
    )
    held = holding(site, vision=gpus(5))
    assert recoverable(site, held, "chem", gpus(3), victim="vision") == gpus(0), "ai is not above its 5"
    assert recoverable(site, held, "nlp", gpus(2), victim="vision") == gpus(2), "but nlp's 2 are in there"


def test_a_branch_claims_its_guarantee_from_other_branches_whoever_in_it_asks() -> None:
    site = tree([project("ai", 5.0), project("nlp", 2.0, "ai"), project("vision", 3.0, "ai"), project("guest")])
    alone = holding(site, nlp=gpus(2), guest=gpus(6))
    assert recoverable(site, alone, "nlp", gpus(3), victim="guest") == gpus(6), "vision leaves 3 of ai's 5"
    full = holding(site, vision=gpus(4), guest=gpus(4))
    assert recoverable(site, full, "nlp", gpus(2), victim="guest") == gpus(0), "ai would hold 6"
    assert recoverable(site, full, "nlp", gpus(2), victim="vision") == gpus(1), "so vision gives first"


def test_the_own_work_of_a_project_has_what_those_below_it_leave_of_its_guarantee() -> None:
    site = tree([project("ai", 4.0), project("nlp", 3.0, "ai")])
    held = holding(site, ai=gpus(3))
    assert recoverable(site, held, "nlp", gpus(3), victim="ai") == gpus(2)
    assert recoverable(site, holding(site, nlp=gpus(4)), "ai", gpus(1), victim="nlp") == gpus(1)


def test_a_project_that_left_the_site_file_owes_all_it_holds() -> None:
    site = flat()
    assert borrowers(site, holding(site, gone=gpus(2)), "nlp", gpus(1)) == (Borrower("gone", gpus(2)),)


# A site of 8 GPUs: two branches with two projects each, and one alone.
NAMES = ("a", "a1", "a2", "b", "b1", "b2", "c")
PARENTS = {"a1": "a", "a2": "a", "b1": "b", "b2": "b"}
SMALL = st.sampled_from([0.0, 0.5, 1.0, 1.5])


@st.composite
def trees(draw: st.DrawFn) -> tuple[list[Project], Tree]:
    granted = {name: draw(SMALL) for name in ("a1", "a2", "b1", "b2", "c")}
    for parent in ("a", "b"):
        below = sum(granted[name] for name, above in PARENTS.items() if above == parent)
        granted[parent] = below + draw(st.sampled_from([0.0, 0.25]))
    more = {name: draw(st.none() | st.integers(0, 4)) for name in NAMES}
    projects = [
        project(
            name,
            granted[name],
            PARENTS.get(name),
            limit=None if more[name] is None else granted[name] + float(more[name] or 0),
            borrow=draw(st.none() | SMALL),
        )
        for name in NAMES
    ]
    check_projects(projects, CAPACITY)
    return projects, tree(projects)


ASKS = st.lists(st.tuples(st.sampled_from(NAMES), st.integers(1, 4), st.booleans()), max_size=30)


@given(trees(), ASKS)
def test_no_sequence_of_starts_and_ends_passes_a_limit(world: tuple[list[Project], Tree], asks: list[Any]) -> None:
    projects, site = world
    held = NOBODY
    running: list[tuple[str, Amounts]] = []
    for name, count, ends in asks:
        if ends and running:
            held = give_back(site, held, *running.pop(0))
        if isinstance(may_start(site, held, name, gpus(count)), Allowed):
            held = take(site, held, name, gpus(count))
            running.append((name, gpus(count)))
        for one in projects:
            have = sum(a.on("gpu").gpus.whole() for n, a in running if n == one.name or PARENTS.get(n) == one.name)
            if "gpu" in one.limit:
                assert have <= (one.limit["gpu"].gpus or 0)
            if one.borrow is not None:
                assert have <= (one.guaranteed["gpu"].gpus or 0) + (one.borrow["gpu"].gpus or 0)


@given(trees(), st.lists(st.tuples(st.sampled_from(NAMES), st.integers(1, 3)), max_size=12), st.sampled_from(NAMES))
def test_a_guarantee_can_always_be_had_back_and_nobody_else_s_is_touched(
    world: tuple[list[Project], Tree], starts: list[Any], claimant: str
) -> None:
    _, site = world
    held, free = NOBODY, gpus(8)
    for name, count in starts:
        if gpus(count).fits(free):
            held, free = take(site, held, name, gpus(count)), free - gpus(count)
    leaf = site.entries[site.path(claimant)[0]]
    ask = leaf.guaranteed.shortfall(held.of(leaf.name))
    for _ in range(100):
        owing = borrowers(site, held, claimant, ask)
        if ask.fits(free) or not owing:
            break
        taken = owing[0].amounts.at_most(ask.shortfall(free))
        held, free = give_back(site, held, owing[0].project, taken), free + taken
        theirs = site.path(owing[0].project)
        above = [name for name in theirs if name not in site.path(claimant)]
        assert all(site.entries[name].guaranteed.fits(held.of(name)) for name in above)
    assert ask.fits(free), "all guarantees together fit the site"
