"""Searches of users, for administrators."""

from __future__ import annotations

import hashlib

import orjson
from sqlalchemy import select
from sqlalchemy.orm import Session

from recsys.domains.users.tables import User
from recsys.errors import Invalid
from recsys.search.analysis.query_parsing import plain_words
from recsys.search.backends.factory import chosen
from recsys.search.queries import UserFilters, UserQuery, UserSort
from recsys.search.schemas import FoundUser, UsersFound
from recsys.search.service import NOTHING_TO_SEARCH_FOR, key_of
from recsys.search.tables import UserSearch
from recsys.web.pagination import Cursor

__all__ = ["search"]


def search(
    session: Session, text: str, filters: UserFilters, *, sort: UserSort, limit: int, cursor: str | None
) -> UsersFound:
    """One page of users; symbols alone match none. Raises SearchDown, Invalid for another search's cursor."""
    words = plain_words(text)
    if not words and text.strip():
        return UsersFound(total=0, items=[], message=NOTHING_TO_SEARCH_FOR, next_cursor=None)
    mark = hashlib.sha256(orjson.dumps([words, filters, sort])).hexdigest()[:12]
    after = None
    if cursor is not None:
        place = Cursor.decode(cursor)
        if place.text("of") != mark:
            raise Invalid("This cursor belongs to another search; start again without a cursor.")
        after = (key_of(place, "key"), place.integer("id"))
    found = chosen().search_users(session, UserQuery(words, filters, sort, limit + 1, after))
    hits = found.hits[:limit]
    # names and presence are current; counts are those of the index
    rows = session.execute(
        select(User, UserSearch.followers_count, UserSearch.following_count)
        .outerjoin(UserSearch, UserSearch.user_id == User.id)
        .where(User.id.in_([hit.user_id for hit in hits]))
    )
    live = {user.id: (user, followers or 0, following or 0) for user, followers, following in rows}
    items = []
    for hit in hits:
        if hit.user_id not in live:
            continue
        user, followers, following = live[hit.user_id]
        items.append(
            FoundUser(
                id=user.id,
                username=user.username,
                full_name=user.full_name,
                is_active=user.is_active,
                is_online=user.is_online,
                followers_count=followers,
                following_count=following,
                kilometres=hit.kilometres,
                created_at=user.created_at,
            )
        )
    following_page = None
    if len(found.hits) > limit:
        following_page = Cursor.encode({"of": mark, "key": hits[-1].key, "id": hits[-1].user_id})  # type: ignore[dict-item]
    return UsersFound(total=found.total, items=items, next_cursor=following_page)
