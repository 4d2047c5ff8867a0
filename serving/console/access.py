"""Who uses the console: log-in, roles, and the dependency with which a screen asks for one.

In development, on loopback, from this machine, no log-in is needed: every page is open with the role of an
administrator. Elsewhere an account with a role logs in; its session is one of the API's.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Request

from recsys.database.session import unit_of_work
from recsys.domains.users import roles
from recsys.domains.users.roles import Role
from recsys.domains.users.service import get_user
from recsys.domains.users.sessions import authenticate
from recsys.errors import Forbidden, Unauthorized
from recsys.web.access.authorization import is_loopback, key_opens, keys_are_optional
from recsys.web.dependencies import TOKEN_COOKIE

__all__ = [
    "ROLES",
    "Administrator",
    "ConsoleUser",
    "Merchandiser",
    "Operator",
    "Role",
    "Viewer",
    "console_user",
    "require",
]

_LONGEST_TOKEN = 200
ROLES = tuple(Role)


@dataclass(frozen=True)
class ConsoleUser:
    """Who uses the console.

    Attributes
    ----------
    user_id
        None where no log-in is needed, and for an API key.
    actor
        Whom histories name, such as "user 7".
    session_id
        The session of the log-in; None without one.
    """

    user_id: int | None
    name: str
    role: Role
    actor: str
    session_id: str | None = None

    def may(self, role: Role) -> bool:
        """Whether what this role may do is allowed."""
        return self.role >= role


def require(role: Role) -> Callable[[Request], ConsoleUser]:
    """A dependency: the user, who has at least this role. Raises Unauthorized, Forbidden."""

    def required_user(request: Request) -> ConsoleUser:
        user = console_user(request)
        if user is None:
            raise Unauthorized("Log in to the console first.")
        request.state.console_user = user
        if not user.may(role):
            raise Forbidden(f"This needs the role {role.label}; you are {user.role.label}.")
        return user

    required_user.role = role  # type: ignore[attr-defined]  # read by the test of every route
    return required_user


def console_user(request: Request) -> ConsoleUser | None:
    """The user of a request, in a transaction of its own; None without a session or a role."""
    token = request.cookies.get(TOKEN_COOKIE)
    if token is not None and len(token) <= _LONGEST_TOKEN:
        user = _of_session(token)
        if user is not None:
            return user
    if key_opens(request.scope, "admin"):
        return ConsoleUser(None, "API key", Role.ADMINISTRATOR, "key")
    if _is_open(request):
        return ConsoleUser(None, "developer", Role.ADMINISTRATOR, "console in development")
    return None


def _is_open(request: Request) -> bool:
    """Whether no log-in is needed: development, loopback, and a name of this machine in the address.

    A page of another site can have its own name lead to 127.0.0.1 (DNS rebinding); its name shows it.
    """
    return keys_are_optional(request.scope) and is_loopback(request.url.hostname or "")


def _of_session(token: str) -> ConsoleUser | None:
    with unit_of_work() as session:
        caller = authenticate(session, token)
        role = None if caller is None else roles.role_of(session, caller.user_id)
        if caller is None or role is None:
            return None
        name = get_user(session, caller.user_id).full_name
        return ConsoleUser(caller.user_id, name, role, f"user {caller.user_id}", caller.session_id)


Viewer = Annotated[ConsoleUser, Depends(require(Role.VIEWER))]
"""The user of a screen that changes nothing."""
Merchandiser = Annotated[ConsoleUser, Depends(require(Role.MERCHANDISER))]
"""The user of what changes rules and synonyms."""
Operator = Annotated[ConsoleUser, Depends(require(Role.OPERATOR))]
"""The user of what starts jobs, promotes models and runs experiments."""
Administrator = Annotated[ConsoleUser, Depends(require(Role.ADMINISTRATOR))]
"""The user of what manages keys and accounts."""
