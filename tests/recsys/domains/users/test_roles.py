"""Roles of the staff: given, withdrawn, gone with the account, below that of administrators."""

from __future__ import annotations

import json

import pytest

from recsys.database.session import unit_of_work
from recsys.domains.users import registration, roles
from recsys.domains.users.roles import Role
from recsys.domains.users.service import get_user
from recsys.errors import Conflict, NotFound
from tests.support.shop import Shop


def account(name: str, *, is_admin: bool = False) -> int:
    with unit_of_work() as session:
        return registration.make_account(
            session,
            email=f"{name}@example.org",
            username=name,
            full_name=name.title(),
            password="a-long-passphrase-7",
            is_admin=is_admin,
        ).id


def role_of(user_id: int) -> Role | None:
    with unit_of_work() as session:
        return roles.role_of(session, user_id)


def test_a_role_is_given_changed_and_withdrawn(shop: Shop) -> None:
    ada = account("ada")
    assert role_of(ada) is None
    for role in (Role.VIEWER, Role.OPERATOR, Role.MERCHANDISER):
        with unit_of_work() as session:
            roles.grant(session, ada, role, by="test")
        assert role_of(ada) is role
    with unit_of_work() as session:
        (member,) = roles.members(session)
        assert (member.username, member.role, member.granted_by) == ("ada", Role.MERCHANDISER, "test")
        assert roles.withdraw(session, ada, by="test")
        assert not roles.withdraw(session, ada, by="test")
    assert role_of(ada) is None


def test_an_administrator_has_every_right_and_gets_no_lower_role(shop: Shop) -> None:
    eve = account("eve", is_admin=True)
    assert role_of(eve) is Role.ADMINISTRATOR
    assert [role for role in Role if role <= Role.ADMINISTRATOR] == list(Role)
    for user, role in ((eve, Role.VIEWER), (account("ada"), Role.ADMINISTRATOR)):
        with pytest.raises(Conflict), unit_of_work() as session:
            roles.grant(session, user, role, by="test")


def test_a_closed_account_has_no_role_and_gets_none(shop: Shop) -> None:
    ada = account("ada")
    with unit_of_work() as session:
        roles.grant(session, ada, Role.VIEWER, by="test")
        get_user(session, ada).is_active = False
    assert role_of(ada) is None
    with pytest.raises(Conflict), unit_of_work() as session:
        roles.grant(session, ada, Role.OPERATOR, by="test")
    with pytest.raises(NotFound), unit_of_work() as session:
        roles.grant(session, 4711, Role.VIEWER, by="test")


def test_the_command_gives_and_withdraws_a_role(shop: Shop) -> None:
    ada = account("ada")
    done = shop.run("users", "role", "ada@example.org", "operator", "--json")
    assert json.loads(done.stdout) == {"id": ada, "role": "operator"}
    assert role_of(ada) is Role.OPERATOR
    assert shop.run("users", "role", "ada", "none").returncode == 0
    assert role_of(ada) is None
    for arguments in (("ada", "king"), ("nobody", "viewer"), ("ada", "administrator")):
        wrong = shop.run("users", "role", *arguments)
        assert (wrong.returncode, wrong.stderr.count("\n")) == (2, 1)
