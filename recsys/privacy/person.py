"""A person as the stores know them: the number of the account, and all names that lead to it."""

from __future__ import annotations

import html
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from sqlalchemy import BindParameter, bindparam, text
from sqlalchemy.dialects.postgresql import ARRAY, BIGINT, INTEGER, VARCHAR
from sqlalchemy.orm import Session

from recsys.errors import NotFound
from recsys.privacy import tombstones
from recsys.privacy.tombstones import ErasedPeople

__all__ = ["ERASED_ACTOR", "PARAMETERS", "Person", "find"]

PARAMETERS: tuple[BindParameter[Any], ...] = (
    bindparam("user", type_=INTEGER),
    bindparam("user_text", type_=VARCHAR),
    bindparam("actor", type_=VARCHAR),
    *(
        bindparam(name, type_=ARRAY(VARCHAR))
        for name in ("sessions", "emails", "phones", "owners", "notices")
    ),
    bindparam("session_hashes", type_=ARRAY(BIGINT)),
    bindparam("orders", type_=ARRAY(INTEGER)),
    bindparam("payments", type_=ARRAY(INTEGER)),
)
"""The parameters that conditions of places may use."""
ERASED_ACTOR = "erased account"
"""What histories name instead of an erased administrator."""
_SHORTEST_TEXT = 3
_FEWEST_DIGITS, _SHORTEST_SESSION = 7, 8
# a look-behind has one length
_AFTER_USERNAME = "|".join(
    f"(?<=username{re.escape(between)})"
    for between in ("=", ": ", ":", " ", "='", '="', '": "', '":"', "': '", ")=(", "::text))=(")
)
_ACCOUNT = text("SELECT email, username, full_name FROM users_db.users WHERE id = :user")
# every table that names a session beside a user; they may lie on several servers
_SESSIONS = tuple(
    text(f"SELECT DISTINCT session_id FROM {table} WHERE user_id = :user AND session_id IS NOT NULL")  # noqa: S608
    for table in (
        "users_db.user_sessions",
        "products_db.product_view_history",
        "orders_db.abandoned_carts",
        "analytics_db.page_views",
        "analytics_db.user_events",
        "analytics_db.user_sessions",
        "recommendations_db.user_interactions",
        "recommendations_db.exposures",
        "recommendations_db.guest_logins",
    )
)
_EMAILS = text(
    """
    SELECT lower(email) FROM users_db.users WHERE id = :user
    UNION SELECT given.email FROM (
        SELECT lower(email) FROM users_db.account_tokens WHERE user_id = :user AND used_at IS NOT NULL
        UNION SELECT lower(email) FROM orders_db.orders WHERE user_id = :user
        UNION SELECT lower(data ->> 'former_email') FROM analytics_db.outbox
            WHERE name = 'user.email_changed' AND data ->> 'user_id' = CAST(:user AS text)
    ) AS given(email)
    WHERE NOT EXISTS (SELECT FROM users_db.users u WHERE lower(u.email) = given.email AND u.id <> :user)
        AND NOT EXISTS (
            SELECT FROM orders_db.orders o
            WHERE lower(o.email) = given.email AND o.user_id IS DISTINCT FROM :user
        )
        AND NOT EXISTS (
            SELECT FROM users_db.account_tokens t
            WHERE lower(t.email) = given.email AND t.user_id <> :user AND t.used_at IS NOT NULL
        )
    """
)
"""Addresses that are the person's alone: anybody can type another's address into an order or a request."""
_ORDERS = text("SELECT id FROM orders_db.orders WHERE user_id = :user")
_PAYMENTS = text(
    "SELECT p.id FROM payments_db.payments p JOIN orders_db.orders o ON o.id = p.order_id "
    "WHERE o.user_id = :user"
)
_PHONES = text(
    """
    SELECT given.phone FROM users_db.user_profiles given WHERE given.user_id = :user
        AND NOT EXISTS (
            SELECT FROM users_db.user_profiles p
            WHERE p.phone = given.phone AND p.user_id IS DISTINCT FROM :user
        )
        AND NOT EXISTS (
            SELECT FROM orders_db.shipping_addresses a LEFT JOIN orders_db.orders o ON o.id = a.order_id
            WHERE a.phone = given.phone AND coalesce(a.user_id, o.user_id) IS DISTINCT FROM :user
        )
    """
)
"""Numbers that no other profile or order has; nobody proves a number, so exports never read by it."""
_ADDRESSES = text(
    """
    SELECT address FROM users_db.user_profiles WHERE user_id = :user AND address IS NOT NULL
    UNION SELECT unnest(ARRAY[address1, address2, first_name || ' ' || last_name])
        FROM orders_db.shipping_addresses
        WHERE user_id = :user OR order_id IN (SELECT id FROM orders_db.orders WHERE user_id = :user)
    """
)
_HASHES = text("SELECT hashtextextended(s, 0) FROM unnest(:sessions) AS given(s)").bindparams(
    bindparam("sessions", type_=ARRAY(VARCHAR))
)


@dataclass(frozen=True)
class Person:
    """What leads to one person in any store.

    Attributes
    ----------
    is_known
        Whether the account was there when this was read; an erased person has a number alone.
    emails
        In lower case; those of no other account.
    usernames
        In lower case.
    phones
        Those of no other account.
    sessions
        Ids of guest sessions and log-ins, as they are stored.
    session_hashes
        Of these, as snapshots hold them.
    orders, payments
        Their numbers.
    words
        Names and addresses as they were typed.
    """

    user_id: int
    is_known: bool
    emails: tuple[str, ...] = ()
    usernames: tuple[str, ...] = ()
    phones: tuple[str, ...] = ()
    sessions: tuple[str, ...] = ()
    session_hashes: tuple[int, ...] = ()
    orders: tuple[int, ...] = ()
    payments: tuple[int, ...] = ()
    words: tuple[str, ...] = ()

    @property
    def identifiers(self) -> set[str]:
        """What tombstones are made of."""
        return {
            tombstones.user_name(self.user_id),
            *map(tombstones.session_name, self.sessions),
            *map(tombstones.username_name, self.usernames),
        }

    @property
    def parameters(self) -> Mapping[str, Any]:
        """Values of PARAMETERS."""
        owners = [f"user:{self.user_id}", *(f"session:{each}" for each in self.sessions)]
        notices = [f":user:{self.user_id}", *(f":mail:{each}" for each in self.emails)]
        return {
            "user": self.user_id,
            "user_text": str(self.user_id),
            "actor": f"user {self.user_id}",
            "sessions": list(self.sessions),
            "session_hashes": list(self.session_hashes),
            "emails": list(self.emails),
            "phones": list(self.phones),
            "owners": owners,
            "notices": notices,
            "orders": list(self.orders),
            "payments": list(self.payments),
        }

    @cached_property
    def pattern(self) -> re.Pattern[bytes]:
        """Where free text (a log, a report) names the person.

        E-mail addresses, and sessions and telephone numbers that no ordinary text has, anywhere; names and
        addresses of several words only as a whole value, never as a key; a username, which may be any word,
        only after the word for it; the number of the account only after a word for a user.
        """
        anywhere = [*self.emails, *filter(_is_phone, self.phones), *filter(_is_random, self.sessions)]
        values = [each for each in self.words if " " in each or "@" in each]
        alternatives = []
        if anywhere:
            alternatives.append(f"(?<![\\w@.-])(?:{_any_of(anywhere)})(?![\\w@-])")
        if values:
            alternatives.append(
                f'(?:(?<=["\'>=,;|\\t(:])|(?<=^))(?:{_any_of(values)})(?=["\'<,;|\\t)]|\\s*$)(?!"\\s*:)'
            )
        if self.usernames:
            alternatives.append(f"(?:{_AFTER_USERNAME})(?:{_any_of(list(self.usernames))})(?![\\w.@-])")
        number = f"(?<![\\d.]){self.user_id}(?![\\d.]*\\d)"
        alternatives.append(
            f"(?:(?<=user)|(?<=user[ =:/\"'])|(?<=user\": )|(?<=user':\\s)|(?<=users/)|(?<=user_id[=:/ ])"
            f'|(?<=user_id":)|(?<=user_id": )|(?<=user_id\': )|(?<=\\(user_id\\)=\\()){number}'
        )
        return re.compile("|".join(alternatives).encode(), re.IGNORECASE | re.MULTILINE)

    def is_named_in(self, value: object) -> bool:
        """Whether a JSON value names the person in a field for users, or has an address or session of theirs.

        A username may be any word ("view"): it counts in the field `username` alone.
        """
        if self.identifiers & tombstones.identifiers_of(value):
            return True
        exact = {*self.emails, *self.sessions, *self.parameters["owners"]}
        waiting = [value]
        while waiting:
            each = waiting.pop()
            if isinstance(each, Mapping):
                waiting.extend(each.values())
            elif isinstance(each, list | tuple):
                waiting.extend(each)
            elif isinstance(each, str) and (each in exact or each.lower() in exact):
                return True
        return False


def find(session: Session, user_id: int) -> Person:
    """Read the person of an account, erased or not. Raises NotFound where there was none."""
    wanted = {"user": user_id}
    account = session.execute(_ACCOUNT, wanted).one_or_none()
    if account is None:
        identifier = tombstones.user_name(user_id)
        if not ErasedPeople.among(session, [identifier]).knows(identifier):
            raise NotFound(f"There is no user {user_id}.")
        return Person(user_id, is_known=False)
    sessions = tuple(sorted({each for query in _SESSIONS for each in session.scalars(query, wanted)}))
    return Person(
        user_id,
        is_known=True,
        emails=_texts(session.scalars(_EMAILS, wanted)),
        usernames=_texts([account.username.lower()]),
        phones=_texts(session.scalars(_PHONES, wanted)),
        sessions=sessions,
        session_hashes=tuple(session.scalars(_HASHES, {"sessions": list(sessions)})),
        orders=tuple(session.scalars(_ORDERS, wanted)),
        payments=tuple(session.scalars(_PAYMENTS, wanted)),
        words=_texts([account.full_name, *session.scalars(_ADDRESSES, wanted)]),
    )


def _texts(values: Any) -> tuple[str, ...]:
    return tuple(sorted({each.strip() for each in values if each and len(each.strip()) >= _SHORTEST_TEXT}))


def _is_phone(text: str) -> bool:
    # "2024" is a number of many things
    return text.startswith("+") and sum(map(str.isdigit, text)) >= _FEWEST_DIGITS


def _is_random(session: str) -> bool:
    # sessions of imported rows may be short numbers or words
    return len(session) >= _SHORTEST_SESSION and bool(
        re.search(r"\d", session) and re.search("[a-zA-Z]", session)
    )


def _any_of(values: list[str]) -> str:
    # as they are typed, in JSON of ASCII letters, and in HTML
    forms = {form for each in values for form in (each, json.dumps(each)[1:-1], html.escape(each))}
    return "|".join(re.escape(each) for each in sorted(forms, key=len, reverse=True))
