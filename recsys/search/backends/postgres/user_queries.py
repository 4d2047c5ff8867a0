"""Searches of users in PostgreSQL: by words of their names and bios, by place, by counts."""

from __future__ import annotations

from typing import Any

from sqlalchemy import BigInteger, ColumnElement, Double, Float, and_, cast, func, literal, null, or_, select
from sqlalchemy.dialects.postgresql import TSQUERY
from sqlalchemy.orm import Session

from recsys.search.queries import FoundUsers, GeoArea, UserFilters, UserHit, UserQuery
from recsys.search.tables import UserSearch as U

__all__ = ["find"]

_SIMILAR = 0.4
"""So much of a typed word has to be somewhere in the names (pg_trgm's word similarity)."""


def find(session: Session, query: UserQuery) -> FoundUsers:
    """One page of users, in one statement."""
    conditions = _conditions(query.filters)
    rank: ColumnElement[Any] = literal(0)
    if query.words:
        # the words are letters and digits only, so nothing in them can end the quotes
        typed = cast(" & ".join(f"'{word}':*" for word in query.words), TSQUERY)
        joined = " ".join(query.words)
        likeness = func.word_similarity(joined, U.names)
        conditions.append(or_(U.words.op("@@")(typed), likeness >= _SIMILAR))
        rank = cast(func.floor((func.ts_rank(U.words, typed) + likeness) * 1_000_000), BigInteger)
    kilometres = _kilometres(query.filters.near)
    key = _key(query, rank, kilometres)
    hits = select(U.user_id, key.label("key"), kilometres.label("kilometres")).where(*conditions).cte("hits")
    rows = select(hits.c.user_id, hits.c.key, hits.c.kilometres)
    ascending = query.sort == "distance"
    if query.after is not None:
        last, last_id = literal(int(query.after[0]), BigInteger), query.after[1]
        beyond = hits.c.key > last if ascending else hits.c.key < last
        later = hits.c.user_id > last_id if ascending else hits.c.user_id < last_id
        rows = rows.where(or_(beyond, and_(hits.c.key == last, later)))
    order = (
        (hits.c.key.asc(), hits.c.user_id.asc()) if ascending else (hits.c.key.desc(), hits.c.user_id.desc())
    )
    page = rows.order_by(*order).limit(query.limit).subquery("page")
    total, found = session.execute(
        select(
            select(func.count()).select_from(hits).scalar_subquery(),
            select(
                func.jsonb_agg(func.jsonb_build_array(page.c.user_id, page.c.key, page.c.kilometres))
            ).scalar_subquery(),
        )
    ).one()
    return FoundUsers(total, [UserHit(one, place, far) for one, place, far in found or []])


def _conditions(wanted: UserFilters) -> list[ColumnElement[bool]]:
    found: list[ColumnElement[bool]] = []
    if wanted.near is not None:
        found.append(U.latitude.is_not(None))
        if wanted.near.kilometres is not None:
            metres = wanted.near.kilometres * 1000
            # the box comes from the index and is a little larger than the circle
            box = func.earth_box(_earth(wanted.near), metres)
            here = func.ll_to_earth(U.latitude, U.longitude)
            found += [
                box.op("@>", is_comparison=True)(here),
                func.earth_distance(_earth(wanted.near), here, type_=Float) <= metres,
            ]
    if wanted.active is not None:
        found.append(U.is_active.is_(wanted.active))
    if wanted.online is not None:
        found.append(U.is_online.is_(wanted.online))
    if wanted.min_followers is not None:
        found.append(U.followers_count >= wanted.min_followers)
    if wanted.min_following is not None:
        found.append(U.following_count >= wanted.min_following)
    return found


def _key(query: UserQuery, rank: ColumnElement[Any], kilometres: ColumnElement[Any]) -> ColumnElement[Any]:
    if query.sort == "newest":
        return cast(func.extract("epoch", U.created_at) * 1_000_000, BigInteger)
    if query.sort == "followers":
        return cast(U.followers_count, BigInteger)
    if query.sort == "distance":
        return cast(func.floor(kilometres * 1_000_000), BigInteger)
    return cast(rank, BigInteger)


def _kilometres(near: GeoArea | None) -> ColumnElement[Any]:
    if near is None:
        return cast(null(), Float)
    return func.earth_distance(_earth(near), func.ll_to_earth(U.latitude, U.longitude), type_=Float) / 1000


def _earth(place: GeoArea) -> ColumnElement[Any]:
    return func.ll_to_earth(cast(place.latitude, Double), cast(place.longitude, Double))
