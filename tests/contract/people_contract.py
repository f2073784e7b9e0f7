"""What every keeper of people, projects and memberships promises.

Knows nothing of single implementations.
"""

import pytest

from fabric.control.people_ports import People
from fabric.core.errors import Conflict, NotFound


class PeopleContract:
    """Derive from it and give the fixture `people`: an empty store whose clock says 1000."""

    def test_a_person_is_remembered_once(self, people: People) -> None:
        people.add_user("ann", "Ann Lee")
        with pytest.raises(Conflict, match="user ann already"):
            people.add_user("ann")
        people.add_user("abe")
        found = [(user.name, user.full_name, user.created, user.disabled) for user in people.users()]
        assert found == [("abe", "", 1000.0, None), ("ann", "Ann Lee", 1000.0, None)]
        assert people.user("ann") == people.users()[1]

    def test_nobody_knows_who_was_never_added(self, people: People) -> None:
        assert people.users() == ()
        assert people.roles("ann") is None
        for ask in (
            lambda: people.user("ann"),
            lambda: people.disable_user("ann"),
            lambda: people.set_member("ann", "alpha", "member"),
            lambda: people.remove_member("ann", "alpha"),
        ):
            with pytest.raises(NotFound, match="no user ann"):
                ask()

    def test_a_disabled_person_has_no_roles_until_enabled_again(self, people: People) -> None:
        people.add_user("ann")
        people.set_member("ann", "alpha", "member")
        assert people.disable_user("ann").disabled == 1000.0
        assert people.disable_user("ann").disabled == 1000.0
        assert people.roles("ann") is None
        assert people.disable_user("ann", False).disabled is None
        assert people.roles("ann") == {"alpha": "member"}

    def test_a_person_has_one_role_in_each_project(self, people: People) -> None:
        people.add_user("ann")
        people.add_user("bob")
        people.set_member("ann", "alpha", "viewer")
        people.set_member("ann", "", "operator")
        people.set_member("bob", "alpha", "member")
        people.set_member("ann", "alpha", "admin")
        assert people.roles("ann") == {"": "operator", "alpha": "admin"}
        found = [(m.user, m.project, m.role) for m in people.memberships()]
        assert found == [("ann", "", "operator"), ("ann", "alpha", "admin"), ("bob", "alpha", "member")]
        assert [m.user for m in people.memberships("alpha")] == ["ann", "bob"]

    def test_who_left_a_project_is_nothing_there(self, people: People) -> None:
        people.add_user("ann")
        people.set_member("ann", "alpha", "member")
        people.remove_member("ann", "alpha")
        assert people.roles("ann") == {}
        with pytest.raises(NotFound, match="user ann has no role in project alpha"):
            people.remove_member("ann", "alpha")
        with pytest.raises(NotFound, match="the whole site"):
            people.remove_member("ann", "")

    def test_a_project_is_made_once_and_closed_and_opened(self, people: People) -> None:
        people.add_project("beta", "ann")
        made = people.add_project("alpha", "ann")
        assert (made.name, made.created, made.created_by, made.closed) == ("alpha", 1000.0, "ann", None)
        with pytest.raises(Conflict, match="project alpha already"):
            people.add_project("alpha", "bob")
        assert people.close_project("alpha").closed == 1000.0
        assert [(p.name, p.closed) for p in people.projects()] == [("alpha", 1000.0), ("beta", None)]
        assert people.close_project("alpha", False).closed is None
        with pytest.raises(NotFound, match="no project gamma"):
            people.close_project("gamma")
