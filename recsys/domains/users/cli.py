"""`recsys users`: administrators and passwords, from the machine itself."""

from __future__ import annotations

import json
import sys
from typing import Annotated

import typer

from recsys.processes.user import command_user

__all__ = ["app"]

app = typer.Typer(no_args_is_help=True, help="Make administrators, give roles and set passwords.")

Json = Annotated[bool, typer.Option("--json", help="Plain JSON on stdout, for scripts.")]


@app.command("create-admin")
def create_admin(
    email: Annotated[str, typer.Argument(help="The e-mail address to log in with.")],
    username: Annotated[str, typer.Option(help="Default: what stands before the @.")] = "",
    full_name: Annotated[str, typer.Option(help="Default: the username.")] = "",
    as_json: Json = False,
) -> None:
    """Make an account that may administer the shop.

    The password is asked for, or read from the first line of stdin when that is no terminal: never an
    argument, which others on the machine could read.

    Example: recsys users create-admin ada@example.org < password.txt
    """
    from recsys.database.session import unit_of_work
    from recsys.domains.users import registration
    from recsys.domains.users.schemas import RegisterIn
    from recsys.errors import Invalid
    from recsys.web.errors import field_problems

    from pydantic import ValidationError  # isort: skip

    name = username or email.partition("@")[0]
    try:
        given = RegisterIn.model_validate(
            {"email": email, "username": name, "full_name": full_name or name, "password": _password()}
        )
    except ValidationError as error:
        # the errors of pydantic quote what was typed; these do not
        wrong = "; ".join(f"{one.field}: {one.expected}" for one in field_problems(error.errors()))
        raise Invalid(f"no account was made: {wrong}") from None
    with unit_of_work() as session:
        user = registration.make_account(
            session,
            email=given.email,
            username=given.username,
            full_name=given.full_name,
            password=given.password.get_secret_value(),
            is_admin=True,
        )
        made = {"id": user.id, "email": user.email, "username": user.username}
    if as_json:
        typer.echo(json.dumps(made))
        return
    typer.echo(f"administrator {made['username']} (user {made['id']}) can log in as {made['email']}")


@app.command("set-password")
def set_password(
    login: Annotated[str, typer.Argument(help="E-mail address or username.")], as_json: Json = False
) -> None:
    """Set the password of an account, also of an imported account without one; its devices are logged out.

    The password is asked for, or read from the first line of stdin when that is no terminal.

    Example: recsys users set-password ada@example.org < password.txt
    """
    from recsys.database.session import unit_of_work
    from recsys.domains.users import cache, service
    from recsys.errors import NotFound

    password = _password()
    with unit_of_work() as session:
        user_id = cache.id_by_email(session, login) if "@" in login else None
        if user_id is None:
            user_id = cache.id_by_username(session, login)
        if user_id is None:
            raise NotFound(f"no account has the e-mail address or username {login!r}")
        service.set_password(session, user_id, password)
    typer.echo(json.dumps({"id": user_id}) if as_json else f"user {user_id} has another password now")


@app.command("role")
def set_role(
    login: Annotated[str, typer.Argument(help="E-mail address or username.")],
    role: Annotated[str, typer.Argument(help="viewer, merchandiser, operator, or none to withdraw it.")],
    as_json: Json = False,
) -> None:
    """Give an account a role in the console, or withdraw it; administrators have every right already.

    Example: recsys users role ada@example.org merchandiser
    """
    from recsys.database.session import unit_of_work
    from recsys.domains.users import cache, roles
    from recsys.domains.users.roles import Role
    from recsys.errors import Invalid, NotFound

    known = [each.label for each in Role if each is not Role.ADMINISTRATOR]
    if role not in (*known, "none"):
        raise Invalid(f"{role!r} is no role that can be given; expected {', '.join(known)} or none")
    with unit_of_work() as session:
        user_id = cache.id_by_email(session, login) if "@" in login else None
        if user_id is None:
            user_id = cache.id_by_username(session, login)
        if user_id is None:
            raise NotFound(f"no account has the e-mail address or username {login!r}")
        if role == "none":
            roles.withdraw(session, user_id, by=command_user())
        else:
            roles.grant(session, user_id, Role[role.upper()], by=command_user())
    if as_json:
        typer.echo(json.dumps({"id": user_id, "role": None if role == "none" else role}))
        return
    typer.echo(f"user {user_id} has no role now" if role == "none" else f"user {user_id} is {role} now")


def _password() -> str:
    if sys.stdin.isatty():
        asked: str = typer.prompt("Password", hide_input=True, confirmation_prompt=True, err=True)
        return asked
    return sys.stdin.readline().rstrip("\r\n")
