"""Accounts: their passwords and names, logging in and out, closing them; `registration` makes them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import func, or_, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from recsys import clock
from recsys.domains.users import activities, cache, sessions
from recsys.domains.users.credentials import account_tokens, devices, throttle
from recsys.domains.users.credentials.account_tokens import Purpose
from recsys.domains.users.sessions import Caller, Device, lock_user
from recsys.domains.users.tables import User
from recsys.errors import Conflict, Forbidden, Invalid, NotFound, Unauthorized
from recsys.events.publish import publish
from recsys.events.vocabulary import (
    AccountTokenRequested,
    EmailChanged,
    PasswordChanged,
    ProfileUpdated,
    UserDeactivated,
    UserLoggedIn,
)
from recsys.security import hash_password, verify_nobody, verify_password
from recsys.settings import get_settings

__all__ = [
    "GuestHook",
    "Login",
    "at_login",
    "change_email",
    "change_password",
    "check_password",
    "claim_guest",
    "deactivate",
    "flush_names",
    "get_user",
    "log_in",
    "log_out",
    "prove",
    "refuse_taken",
    "refuse_taken_username",
    "replace_password",
    "set_email",
    "set_password",
]

GuestHook = Callable[[Session, str, int], object]
"""Gives what belongs to a guest session to a user: (session, guest_session_id, user_id)."""
_at_login: list[GuestHook] = []
_WRONG = "The account and the password don't match, or the account can't be logged in to."


@dataclass(frozen=True)
class Login:
    """A successful log-in; the token is shown once."""

    token: str
    expires_at: datetime
    user_id: int
    username: str


def at_login(hook: GuestHook) -> None:
    """Have `hook` called in the transaction of each log-in that brings a guest session along.

    Domains above this one own what a guest leaves behind (views, interactions). The application names their
    hooks here, as `subscriptions` does with handlers, so that no import goes upwards.
    """
    if hook not in _at_login:
        _at_login.append(hook)


def get_user(session: Session, user_id: int) -> User:
    """An account, open or closed. Raises NotFound."""
    user = session.get(User, user_id)
    if user is None:
        raise NotFound(f"There is no user {user_id}.")
    return user


def log_in(
    session: Session,
    login: str,
    password: str,
    device: Device,
    *,
    guest_session_id: str | None = None,
    device_cookie: str | None = None,
) -> Login:
    """A session for the account of an e-mail address or username.

    The same answer after the same work whether there is no such account, it is closed, it was imported and
    has no password, or the password is wrong. What a guest session holds is the user's when this commits.

    Parameters
    ----------
    device
        Where the session is used.
    guest_session_id
        The guest session of the request.
    device_cookie
        What tells that the owner logged in on this device before.

    Raises
    ------
    Unauthorized
        There is no such account, it is closed or has no password, or the password is wrong.
    Throttled
        Too many attempts failed.
    Forbidden
        The address of the account is not confirmed yet.
    """
    user = _find(session, login.strip())
    # an e-mail address and a username of one account are one account
    account = login.strip().lower() if user is None else f"user:{user.id}"
    known_device = None if user is None else devices.device_of(device_cookie, user.id)
    attempt = throttle.begin(account, device.address, device=known_device)
    if user is None or user.is_active is False:
        verify_nobody(password)
        raise Unauthorized(_WRONG)
    seen = user.password_hash
    verified = verify_password(seen, password)
    if not verified.ok:
        raise Unauthorized(_WRONG)
    # hashing takes long, so the row is locked only now; a password changed meanwhile counts
    user = lock_user(session, user.id)
    if user.password_hash != seen or user.is_active is False:
        raise Unauthorized(_WRONG)
    if account_tokens.awaits_confirmation(session, user.id) and get_settings().users.confirm_email:
        raise Forbidden("Confirm your e-mail address first, with the code that was sent to it.")
    if verified.rehash:
        user.password_hash = hash_password(password)
    token, row = sessions.start(session, user, device)
    activities.record(session, user.id, "login", device_type=device.type)
    # the next one is found quicker; not before the password was right, or the time would tell of the account
    (cache.id_by_email if "@" in login else cache.id_by_username)(session, login.strip())
    if guest_session_id is not None:
        claim_guest(session, guest_session_id, user.id)
    publish(
        session,
        UserLoggedIn(user_id=user.id, session_id=row.session_id, guest_session_id=guest_session_id),
    )
    attempt.succeeded_after_commit(session)
    return Login(token, row.expires_at, user.id, user.username)


def claim_guest(session: Session, guest_session_id: str, user_id: int) -> None:
    """Give what a guest session holds to a user, as a log-in does."""
    for hook in _at_login:
        hook(session, guest_session_id, user_id)


def log_out(session: Session, caller: Caller) -> None:
    """End the session of the request."""
    for row in sessions.listed(session, caller.user_id):
        if row.session_id == caller.session_id:
            sessions.end(session, caller.user_id, row.id)
            activities.record(session, caller.user_id, "logout")


def change_password(session: Session, caller: Caller, current: str, new: str, address: str | None) -> None:
    """Another password; every other session ends. Raises Unauthorized, Invalid, Throttled."""
    user = _proven(session, caller, current, address)
    if new == current:
        raise Invalid("The new password is the current one; choose another.")
    replace_password(session, user, new)
    sessions.end_all(session, user.id, but=caller.session_id)


def set_password(session: Session, user_id: int, new: str) -> None:
    """Another password without the one of now, for administrators of the machine; every session ends."""
    user = lock_user(session, user_id)
    replace_password(session, user, new)
    sessions.end_all(session, user.id)


def change_email(session: Session, caller: Caller, email: str, password: str, address: str | None) -> None:
    """Another e-mail address: at once, or where `users.confirm_email` is set, when it was confirmed.

    Parameters
    ----------
    password
        The caller's, which proves who it is.
    address
        Of the caller's network.

    Raises
    ------
    Unauthorized
        The password is wrong.
    Throttled
        Too many attempts failed.
    Conflict
        The address is of another account; where addresses are confirmed, that is only seen by who confirms
        it.
    """
    user = _proven(session, caller, password, address)
    if email == user.email:
        return
    if get_settings().users.confirm_email:
        throttle.count_mail(address)
        account_tokens.issue(session, user.id, Purpose.CHANGE_EMAIL, email)
        publish(session, AccountTokenRequested(user_id=user.id, purpose=Purpose.CHANGE_EMAIL))
        return
    set_email(session, user, email)


def set_email(session: Session, user: User, email: str) -> None:
    """Another address of a locked user, whose former one is notified. Raises Conflict."""
    refuse_taken(session, email=email, but=user.id)
    cache.forget(user)
    former, user.email = user.email, email
    user.updated_at = clock.now()
    flush_names(session)
    cache.forget(user)
    account_tokens.discard(session, user.id, Purpose.RESET_PASSWORD, Purpose.CHANGE_EMAIL)
    activities.record(session, user.id, "email_changed")
    publish(session, ProfileUpdated(user_id=user.id, changed=("email",)))
    publish(session, EmailChanged(user_id=user.id, former_email=former))


def deactivate(session: Session, caller: Caller, password: str, address: str | None) -> None:
    """Close the account: all sessions end, nobody finds the profile. Raises Unauthorized, Throttled."""
    user = _proven(session, caller, password, address)
    user.is_active = False
    user.updated_at = clock.now()
    cache.forget(user)
    sessions.end_all(session, user.id)
    activities.record(session, user.id, "deactivate")
    publish(session, UserDeactivated(user_id=user.id))


def refuse_taken_username(session: Session, username: str, *, but: int) -> None:
    """Raises Conflict when somebody else has the name, in whatever case."""
    refuse_taken(session, username=username, but=but)


def flush_names(session: Session) -> None:
    """Write changed names now. Raises Conflict when another transaction was faster to take one."""
    try:
        session.flush()
    except IntegrityError as error:
        raise Conflict("This e-mail address or username is taken; choose another.") from error


def prove(session: Session, caller: Caller, password: str, address: str | None) -> None:
    """Raise Unauthorized for a wrong password of the caller, Throttled after too many."""
    _proven(session, caller, password, address)


def _proven(session: Session, caller: Caller, password: str, address: str | None) -> User:
    """The locked user, once the password is theirs."""
    # counted for this session alone: failed log-ins of others do not keep out who is logged in
    attempt = throttle.begin(f"user:{caller.user_id}", address, device=f"session:{caller.session_id}")
    user = lock_user(session, caller.user_id)
    if user.is_active is False or not verify_password(user.password_hash, password).ok:
        raise Unauthorized("The password is wrong.")
    attempt.succeeded_after_commit(session)
    return user


def replace_password(session: Session, user: User, new: str) -> None:
    """Another password of a locked user. Raises Invalid for a password that `check_password` refuses."""
    check_password(new, user.email, user.username)
    user.password_hash = hash_password(new)
    user.updated_at = clock.now()
    account_tokens.discard(session, user.id, Purpose.RESET_PASSWORD)
    activities.record(session, user.id, "password_changed")
    publish(session, PasswordChanged(user_id=user.id))


def check_password(password: str, email: str, username: str) -> None:
    """Raises Invalid for a password that is too short, too long, or the account's name."""
    if not 8 <= len(password) <= 200:
        raise Invalid("The password needs 8 to 200 characters.")
    if password.lower() in (email.lower(), username.lower(), email.lower().partition("@")[0]):
        raise Invalid("The password is the name of the account; choose another.")


def _find(session: Session, login: str) -> User | None:
    """One question to Redis and one to PostgreSQL, whether there is such an account or not."""
    if "\x00" in login:
        return None
    name, known = login.lower(), cache.known_id(login)
    query = select(User).limit(1).execution_options(populate_existing=True)
    if known is not None:
        return session.scalars(query.where(User.id == known)).first()
    # an exact match first: two imported users may differ by case alone
    wanted, order = func.lower(User.username) == name, [User.username != login, User.id]
    if "@" in login:
        of_email = func.lower(User.email) == name
        wanted, order = or_(of_email, wanted), [~of_email, User.email != login, *order]
    return session.scalars(query.where(wanted).order_by(*order)).first()


def refuse_taken(
    session: Session, *, email: str | None = None, username: str | None = None, but: int | None = None
) -> None:
    """Raises Conflict when somebody (but the user `but`) has this address or name, in whatever case."""
    # imported names may hold capitals: compared without case, which the index on lower(…) answers
    for column, name, words in (
        (User.email, email, "e-mail address"),
        (User.username, username, "username"),
    ):
        if name is None:
            continue
        for other in session.scalars(select(User.id).where(func.lower(column) == name).limit(2)):
            if other != but:
                raise Conflict(f"This {words} is taken; choose another.")
