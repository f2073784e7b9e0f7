"""Commands about people and what they have: the groups `projects`, `users` and `keys`.

Knows nothing of who may what; control says so.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Annotated

import typer

from fabric.cli import exits, show
from fabric.cli.jobs import Json
from fabric.cli.session import session
from fabric.core.errors import BadInput

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fabric.api.overview import Amounts
    from fabric.api.people import BudgetView, KeyMade, KeyView, ProjectView, UserView
    from fabric.config.settings import Settings

_LENGTHS_S = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0}


def _group(name: str, text: str) -> typer.Typer:
    return typer.Typer(name=name, help=text, epilog=exits.TABLE, no_args_is_help=True, rich_markup_mode=None)


projects = _group("projects", "Who pays: projects, their members, and what they hold.")
"""The group of commands about projects."""
users = _group("users", "People, and what they are on the whole site.")
"""The group of commands about people."""
keys = _group("keys", "Keys with which people and machines ask; a key's text is shown once.")
"""The group of commands about keys."""

Project = Annotated[str, typer.Argument(metavar="PROJECT", help="Name of the project.", show_default=False)]
User = Annotated[str, typer.Argument(metavar="USER", help="Name of the person.", show_default=False)]
Key = Annotated[str, typer.Argument(metavar="KEY", help="Name of the key.", show_default=False)]
Role = Annotated[str, typer.Option(help="admin, operator, member or viewer.")]

PROJECTS = ("PROJECT", "PARENT", "WEIGHT", "RUNNING", "WAITING", "HOLDS", "GUARANTEED")
"""Heads of the list of projects."""
USERS = ("USER", "SINCE", "STATE", "ROLES", "NAME")
"""Heads of the list of people."""
KEYS = ("KEY", "OF", "PROJECT", "ROLE", "USED", "ENDS", "LIMITED TO")
"""Heads of the list of keys."""


@projects.command("list", epilog=exits.TABLE)
def list_projects(ctx: typer.Context, json: Json = False) -> None:
    """List the projects, what they hold and what they are guaranteed."""
    from fabric.api.people import ProjectList

    with session(ctx).client() as client:
        found = ProjectList(projects=client.people.projects())
    nothing = "no project is known yet: the site lists none, and no work names one"
    _show_list(found, PROJECTS, [_project_row(view) for view in found.projects], nothing, json)


@projects.command("show", epilog=exits.TABLE)
def show_project(ctx: typer.Context, project: Project, json: Json = False) -> None:
    """Show one project and its members."""
    with session(ctx).client() as client:
        view = client.people.project(project)
    if json:
        show.as_json(view)
        return
    show.console().print(show.table(PROJECTS, [_project_row(view)]))
    for tier, limit in view.limit.items():
        typer.echo(f"limit      {limit} on {tier}")
    if view.budget is not None:
        typer.echo(f"budget     {_budget(view.budget)}")
    if view.closed_at is not None:
        typer.echo(f"closed     since {show.clock(view.closed_at)}; it takes no more work")
    for member in view.members:
        typer.echo(f"{member.role:<10} {member.user}")


@projects.command("create", epilog=exits.TABLE)
def create_project(ctx: typer.Context, project: Project, json: Json = False) -> None:
    """Make a project beside those of the site file, or open one again that was closed."""
    _put_project(ctx, project, json, closed=False)


@projects.command("close", epilog=exits.TABLE)
def close_project(ctx: typer.Context, project: Project, yes: show.Yes = False, json: Json = False) -> None:
    """Let a project that was made here take no more work; what it has goes on."""
    show.ask_at_terminal(f"Close project {project}? It takes no more work.", yes=yes)
    _put_project(ctx, project, json, closed=True)


def _put_project(ctx: typer.Context, project: str, json: bool, *, closed: bool) -> None:
    with session(ctx).client() as client:
        view = client.people.put_project(project, closed=closed)
    if json:
        show.as_json(view)
    else:
        typer.echo(f"project {view.name} {'is closed and takes no more work' if closed else 'takes work'}")


@projects.command("add", epilog=exits.TABLE)
def add_member(ctx: typer.Context, project: Project, user: User, role: Role = "member", json: Json = False) -> None:
    """Make a person something in a project, whatever it was before."""
    with session(ctx).client() as client:
        member = client.people.set_member(project, user, role)
    if json:
        show.as_json(member)
    else:
        typer.echo(f"{member.user} is {member.role} of project {member.project}")


@projects.command("remove", epilog=exits.TABLE)
def remove_member(ctx: typer.Context, project: Project, user: User, yes: show.Yes = False) -> None:
    """Make a person nothing in a project; its keys for it open nothing from now on."""
    show.ask_at_terminal(f"Remove {user} from project {project}? The keys for it open nothing then.", yes=yes)
    with session(ctx).client() as client:
        client.people.remove_member(project, user)
    typer.echo(f"{user} is nothing in project {project} any more")


@users.command("list", epilog=exits.TABLE)
def list_users(ctx: typer.Context, json: Json = False) -> None:
    """List people and their roles."""
    from fabric.api.people import UserList

    with session(ctx).client() as client:
        found = UserList(users=client.people.users())
    _show_list(
        found,
        USERS,
        [_user_row(user) for user in found.users],
        "nobody is known yet: `fabric users add` adds people",
        json,
    )


@users.command("add", epilog=exits.TABLE)
def add_user(
    ctx: typer.Context,
    user: User,
    full_name: Annotated[str, typer.Option(help="For people to read.")] = "",
    role: Annotated[str | None, typer.Option(help="Role on the whole site; left out, none.")] = None,
    json: Json = False,
) -> None:
    """Add a person, or change what it is on the whole site; one that was disabled is taken again."""
    with session(ctx).client() as client:
        view = client.people.put_user(user, full_name=full_name, role=role)
    if json:
        show.as_json(view)
    else:
        typer.echo(
            f"{view.name} is {role or 'nothing'} on the whole site; `fabric projects add` puts it into a project"
        )


@users.command("disable", epilog=exits.TABLE)
def disable_user(ctx: typer.Context, user: User, yes: show.Yes = False, json: Json = False) -> None:
    """Take nothing of a person's any more: its keys and tokens open nothing from now on."""
    show.ask_at_terminal(f"Disable {user}? No key or token of this person opens anything then.", yes=yes)
    with session(ctx).client() as client:
        view = client.people.put_user(user, disabled=True)
    if json:
        show.as_json(view)
    else:
        typer.echo(f"{view.name} is disabled; its work goes on, `fabric users add {view.name}` takes it again")


@keys.command("list", epilog=exits.TABLE)
def list_keys(
    ctx: typer.Context,
    everything: Annotated[bool, typer.Option("--all", help="Show those that have ended too.")] = False,
    json: Json = False,
) -> None:
    """List keys: your own, or all for administrators."""
    import time

    from fabric.api.people import KeyList

    with session(ctx).client() as client:
        every = client.people.keys()
    found = KeyList(keys=tuple(key for key in every if everything or not _over(key, time.time())))
    nothing = "no key to show; without --all, those that have ended are left out"
    _show_list(found, KEYS, [_key_row(key) for key in found.keys], nothing, json)


@keys.command("create", epilog=exits.TABLE)
def create_key(
    ctx: typer.Context,
    key: Key,
    role: Annotated[str, typer.Option(help="admin, operator, member, viewer or gateway.")] = "member",
    project: Annotated[str | None, typer.Option(help="The only project it is for; left out, yours.")] = None,
    user: Annotated[str | None, typer.Option(help="Whose it is; left out, yours.")] = None,
    machine: Annotated[bool, typer.Option("--machine", help="It is nobody's, but a machine's.")] = False,
    scope: Annotated[
        list[str] | None, typer.Option(help="A permission that it is limited to; may be repeated.")
    ] = None,
    lives: Annotated[str | None, typer.Option(metavar="12h|30d", help="How long it lives; left out, for ever.")] = None,
    json: Json = False,
) -> None:
    """Issue a key and show its text, which is never told again.

    Raises:
        BadInput: If it is to be a person's and a machine's.
    """
    if machine and user is not None:
        raise BadInput("--machine is nobody's key and --user somebody's. Give one of them.")
    lives_s = None if lives is None else seconds_of(lives, "--lives")
    with session(ctx).client() as client:
        made = client.people.make_key(
            key, role=role, project=project, user="" if machine else user, scopes=scope or (), lives_s=lives_s
        )
    _show_made(made, json)


@keys.command("rotate", epilog=exits.TABLE)
def rotate_key(
    ctx: typer.Context,
    key: Key,
    overlap: Annotated[str, typer.Option(metavar="1h", help="How long the old text is still taken.")] = "0s",
    json: Json = False,
) -> None:
    """Give a key a new text and show it, which is never told again."""
    overlap_s = seconds_of(overlap, "--overlap")
    with session(ctx).client() as client:
        made = client.people.rotate_key(key, overlap_s=overlap_s)
    _show_made(made, json)


@keys.command("revoke", epilog=exits.TABLE)
def revoke_key(ctx: typer.Context, key: Key, yes: show.Yes = False, json: Json = False) -> None:
    """End a key now."""
    show.ask_at_terminal(f"Revoke key {key}? It opens nothing then, and cannot be had back.", yes=yes)
    with session(ctx).client() as client:
        view = client.people.revoke_key(key)
    if json:
        show.as_json(view)
    else:
        typer.echo(f"key {view.name} opens nothing any more")


def seconds_of(text: str, flag: str) -> float:
    """A length of time such as `90s`, `12h` or `30d`.

    Args:
        text: What was typed.
        flag: Where, for the message.

    Raises:
        BadInput: If it is none.
    """
    match = re.fullmatch(r"(\d{1,9})([smhd])", text)
    if match is None:
        raise BadInput(f"{flag}: {text!r} is no length of time such as 90s, 30m, 12h or 7d")
    return float(match[1]) * _LENGTHS_S[match[2]]


def _show_list(
    found: Settings, columns: Sequence[str], rows: Sequence[Sequence[object]], nothing: str, json: bool
) -> None:
    """Print a list as JSON or as a table; where it is empty, say so."""
    if json:
        show.as_json(found)
    elif rows:
        show.console().print(show.table(columns, rows))
    else:
        show.note(nothing)


def _show_made(made: KeyMade, json: bool) -> None:
    if json:
        show.as_json(made)
        return
    typer.echo(made.secret)
    show.note(f"key {made.key.name}: keep this text, nobody can show it again. Use it as FABRIC_TOKEN.")


def _project_row(view: ProjectView) -> tuple[object, ...]:
    holds, guaranteed = _by_tier(view.held), _by_tier(view.guaranteed)
    return view.name, view.parent or "-", f"{view.weight:g}", view.num_running, view.num_waiting, holds, guaranteed


def _user_row(user: UserView) -> tuple[object, ...]:
    state = "active" if user.disabled_at is None else "disabled"
    roles = " ".join(f"{role}@{project or 'site'}" for project, role in user.roles.items()) or "-"
    return user.name, show.clock(user.created_at), state, roles, user.full_name or "-"


def _budget(budget: BudgetView) -> str:
    parts = []
    if budget.gpu_hours is not None:
        used = f"{budget.used_gpu_hours:.1f} of {budget.gpu_hours:g} GPU hours used this {budget.every}"
        parts.append(f"{used}, until {show.clock(budget.resets_at)}")
    if budget.running is not None:
        parts.append(f"at most {budget.running} running at a time")
    return "; ".join(parts)


def _by_tier(amounts: dict[str, Amounts]) -> str:
    words = (f"{tier}: {show.amounts(a.cpus, a.gpus, a.memory_bytes)}" for tier, a in amounts.items())
    return "; ".join(words) or "-"


def _over(key: KeyView, now: float) -> bool:
    return key.revoked_at is not None or (key.expires_at is not None and key.expires_at <= now)


def _key_row(key: KeyView) -> tuple[object, ...]:
    used = "never" if key.used_at is None else show.clock(key.used_at)
    ends = "never" if key.expires_at is None else show.clock(key.expires_at)
    if key.revoked_at is not None:
        ends = "revoked"
    return key.name, key.user or "a machine", key.project or "site", key.role, used, ends, " ".join(key.scopes) or "-"
