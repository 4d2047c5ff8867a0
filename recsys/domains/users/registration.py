"""New accounts: by strangers, who learn nothing about other accounts, and by those who may know."""

from __future__ import annotations

from collections.abc import Collection
from uuid import uuid4

from sqlalchemy import bindparam, func, select, text
from sqlalchemy.dialects.postgresql import ARRAY, VARCHAR
from sqlalchemy.orm import Session

from recsys import clock
from recsys.domains.users import activities
from recsys.domains.users.credentials import account_tokens, throttle
from recsys.domains.users.credentials.account_tokens import Purpose
from recsys.domains.users.credentials.equal_work import kept_if
from recsys.domains.users.service import check_password, flush_names, refuse_taken
from recsys.domains.users.tables import User, UserProfile
from recsys.errors import Conflict
from recsys.events.publish import publish
from recsys.events.vocabulary import RegistrationRepeated, UserRegistered
from recsys.security import hash_password
from recsys.settings import get_settings

__all__ = ["add_shop_users", "make_account", "register"]

_NO_PASSWORD = "!"  # no hash: these accounts cannot log in
_ADD_SHOP_USERS = text(
    """
    INSERT INTO users_db.users (email, username, full_name, password_hash, created_at)
    SELECT encode(sha256(convert_to(name, 'UTF8')), 'hex') || '@example.invalid', name, name,
        :no_password, :now
    FROM unnest(:names) AS name ORDER BY name
    ON CONFLICT DO NOTHING
    """
).bindparams(bindparam("names", type_=ARRAY(VARCHAR)))


def make_account(
    session: Session, *, email: str, username: str, full_name: str, password: str, is_admin: bool = False
) -> User:
    """A new account, for who may know which there are; names come in their normal spelling.

    Raises
    ------
    Conflict
        The e-mail address or the username is taken.
    Invalid
        The password is refused.
    """
    check_password(password, email, username)
    password_hash = hash_password(password)
    refuse_taken(session, email=email, username=username)
    user = _add(session, email, username, full_name, password_hash, is_admin=is_admin)
    publish(session, UserRegistered(user_id=user.id))
    return user


def add_shop_users(session: Session, usernames: Collection[str]) -> None:
    """Add users that only the shop knows: no password, and an address that receives no mail (RFC 2606).

    Users that exist stay as they are.
    """
    if usernames:
        parameters = {"names": list(usernames), "no_password": _NO_PASSWORD, "now": clock.now()}
        session.execute(_ADD_SHOP_USERS, parameters)


def register(
    session: Session, *, email: str, username: str, full_name: str, password: str, address: str | None
) -> None:
    """A new account, unless the e-mail address has one: then its owner is notified by e-mail.

    The caller can't see which: the answer, the statements and the hash are the same. Where
    `users.confirm_email` is set, the account waits for the confirmation of its address.

    Parameters
    ----------
    address
        Of the caller.

    Raises
    ------
    Conflict
        The username, which is a public name, is taken.
    Invalid
        The password is refused.
    Throttled
        The caller's address registered too often.
    """
    check_password(password, email, username)
    # trying which names are taken is as slow as guessing passwords; each registration sends a mail
    attempt = throttle.begin(None, address)
    throttle.count_mail(address)
    password_hash = hash_password(password)
    refuse_taken(session, username=username)
    owner, made = _owner_of(session, email), None
    stored_as = email if owner is None else f"{uuid4().hex}@nobody.invalid"
    try:
        with kept_if(session, owner is None):
            made = _add(session, stored_as, username, full_name, password_hash).id
            if get_settings().users.confirm_email:
                account_tokens.issue(session, made, Purpose.CONFIRM_EMAIL, stored_as)
    except Conflict:  # another request was faster to take one of the names
        owner = _owner_of(session, email)
        if owner is None:
            raise
    if owner is None and made is not None:
        publish(session, UserRegistered(user_id=made))
    elif owner is not None:
        publish(session, RegistrationRepeated(user_id=owner))
    attempt.succeeded_after_commit(session)


def _add(
    session: Session, email: str, username: str, full_name: str, password_hash: str, *, is_admin: bool = False
) -> User:
    now = clock.now()
    user = User(
        email=email,
        username=username,
        full_name=full_name,
        password_hash=password_hash,
        is_admin=is_admin,
        is_active=True,
        is_online=False,
        created_at=now,
    )
    session.add(user)
    flush_names(session)
    session.add(UserProfile(user_id=user.id, preferences={}, settings={}, created_at=now))
    activities.record(session, user.id, "register")
    session.flush()
    return user


def _owner_of(session: Session, email: str) -> int | None:
    return session.scalars(select(User.id).where(func.lower(User.email) == email).limit(1)).first()
