"""Preferences of users (`user_preferences`): explicit ones, and those that the preferences job inferred.

Each documented JSON column holds entries of both kinds by name. A number is explicit: the user set it. An
object with `"source": "inferred"` was written by the job (`features.preference_job`, which never changes an
explicit entry). An explicit preference replaces the inferred one of the same name.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from decimal import Decimal, InvalidOperation
from math import isfinite
from typing import Any

from sqlalchemy import null, select, text
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from recsys import clock
from recsys.domains.products.tables import Brand, Category
from recsys.domains.recommendations.schemas import PreferencesOut, PriceRange, Taste, TasteOut
from recsys.domains.recommendations.tables import UserPreference
from recsys.errors import Invalid
from recsys.events.publish import publish
from recsys.events.vocabulary import PreferencesChanged
from recsys.money import LARGEST, cents

__all__ = ["liked_categories", "of_user", "replace"]

_COLUMNS = {
    "categories": "category_preferences",
    "brands": "brand_preferences",
    "colors": "color_preferences",
    "sizes": "size_preferences",
    "styles": "style_preferences",
}
_INFERRED = "inferred"
_CATEGORIES = text(
    "SELECT category_preferences FROM recommendations_db.user_preferences WHERE user_id = :user"
)
Spelled = Callable[[str], int | str | None]
"""The id or word that a name stands for, the same for all its spellings; None for an unknown name."""


def of_user(session: Session, user_id: int) -> PreferencesOut:
    """The explicit and the inferred preferences of a user."""
    row = session.scalars(select(UserPreference).where(UserPreference.user_id == user_id)).one_or_none()
    return _response(row)


def liked_categories(session: Session, user_id: int) -> list[str]:
    """The categories that a user explicitly likes, in the user's spelling."""
    column = session.execute(_CATEGORIES, {"user": user_id}).scalar()
    return [name for name, liking in _numbers(column, explicit=True).items() if liking > 0]


def replace(session: Session, user_id: int, preferences: Taste) -> PreferencesOut:
    """Replace all explicit preferences of a user; inferred ones of other names stay.

    Raises
    ------
    Invalid
        The shop does not have a category or brand, or there are two spellings of one name.
    """
    row = _locked(session, user_id)
    before = _by_facet(row, explicit=True)
    replacement = TasteOut.model_validate(preferences.model_dump())
    spelled = _spellings(session)
    for facet in _COLUMNS:
        _check(facet, getattr(replacement, facet), getattr(before, facet), spelled[facet])
    if replacement != before:
        for facet, column in _COLUMNS.items():
            explicit = getattr(replacement, facet)
            setattr(
                row,
                column,
                {**_inferred_elsewhere(getattr(row, column), explicit, spelled[facet]), **explicit},
            )
        if replacement.price_range is not None:
            row.price_range = replacement.price_range.model_dump(mode="json", exclude_none=True)
        elif not _is_inferred(row.price_range):
            row.price_range = null()
        row.updated_at = clock.now()
        session.flush()
        session.refresh(row)
        publish(session, PreferencesChanged(user_id=user_id))
    return _response(row)


def _locked(session: Session, user_id: int) -> UserPreference:
    # the insert waits for a running preferences job, so that the row is read as the job leaves it
    session.execute(
        insert(UserPreference)
        .values(user_id=user_id, created_at=clock.now())
        .on_conflict_do_nothing(index_elements=[UserPreference.user_id])
    )
    return session.scalars(
        select(UserPreference)
        .where(UserPreference.user_id == user_id)
        .with_for_update()
        .execution_options(populate_existing=True)
    ).one()


def _check(facet: str, explicit: Mapping[str, float], before: Mapping[str, float], spelled: Spelled) -> None:
    # a name that is stored already stays valid, even if the shop has deleted its category or brand
    unknown = [name for name in explicit if spelled(name) is None and name not in before]
    if unknown:
        raise Invalid(
            f"{facet}: the shop has no {', '.join(map(repr, unknown[:5]))}; expected its names, slugs or ids."
        )
    names: dict[int | str, str] = {}
    for name in explicit:
        stands_for = spelled(name)
        if stands_for is None:
            continue
        other = names.setdefault(stands_for, name)
        if other != name:
            raise Invalid(f"{facet}: {other!r} and {name!r} are the same; expected each once.")


def _inferred_elsewhere(column: object, explicit: Mapping[str, float], spelled: Spelled) -> dict[str, Any]:
    if not isinstance(column, dict):
        return {}
    meanings = {spelled(name) for name in explicit} - {None}
    return {
        name: entry
        for name, entry in column.items()
        if _is_inferred(entry) and name not in explicit and spelled(name) not in meanings
    }


def _response(row: UserPreference | None) -> PreferencesOut:
    explicit = _by_facet(row, explicit=True)
    return PreferencesOut(
        explicit=explicit,
        inferred=_by_facet(row, explicit=False),
        updated_at=None if row is None else row.updated_at,
    )


def _by_facet(row: UserPreference | None, *, explicit: bool) -> TasteOut:
    facets = {
        facet: {} if row is None else _numbers(getattr(row, column), explicit=explicit)
        for facet, column in _COLUMNS.items()
    }
    price = None if row is None or _is_inferred(row.price_range) is explicit else _price(row.price_range)
    return TasteOut(**facets, price_range=price)


def _numbers(column: object, *, explicit: bool) -> dict[str, float]:
    """The explicit or the inferred entries; a list holds explicit names, each with the value 1."""
    if isinstance(column, list):
        entries: Mapping[str, object] = {str(name): 1.0 for name in column}
    else:
        entries = column if isinstance(column, dict) else {}
    numbers = {}
    for name, entry in entries.items():
        number = _number(entry.get("affinity") if isinstance(entry, dict) else entry)
        if _is_inferred(entry) is not explicit and number is not None:
            numbers[name] = number
    return numbers


def _number(value: object) -> float | None:
    try:
        number = float(value) if isinstance(value, int | float | str) else float("nan")
    except (ValueError, OverflowError):
        return None
    return number if isfinite(number) else None


def _price(column: object) -> PriceRange | None:
    if isinstance(column, list) and len(column) == 2:
        ends = [_amount(end) for end in column]
    elif isinstance(column, dict):
        ends = [_amount(column.get(end)) for end in ("min", "max")]
    else:
        return None
    if ends == [None, None]:
        return None
    low, high = ends
    if low is not None and high is not None and low > high:
        low, high = high, low
    return PriceRange(min=low, max=high)


def _amount(value: object) -> Decimal | None:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        amount = Decimal(str(value))
    except (InvalidOperation, ValueError):
        return None
    return cents(amount) if amount.is_finite() and 0 <= amount <= LARGEST else None


def _is_inferred(entry: object) -> bool:
    return isinstance(entry, dict) and entry.get("source") == _INFERRED


def _spellings(session: Session) -> dict[str, Spelled]:
    categories = {
        row.id: row
        for row in session.execute(
            select(Category.id, Category.name, Category.slug, Category.parent_id).order_by(Category.id)
        )
    }
    brands = session.execute(select(Brand.id, Brand.name, Brand.slug).order_by(Brand.id)).all()
    paths = {category: _path(category, categories) for category in categories}
    words = dict.fromkeys(("colors", "sizes", "styles"), _word)
    return {
        "categories": _speller({row.id: (row.slug, row.name, paths[row.id]) for row in categories.values()}),
        "brands": _speller({row.id: (row.slug, row.name) for row in brands}),
        **words,
    }


def _speller(rows: Mapping[int, tuple[str, ...]]) -> Spelled:
    # where spellings collide, the last kind of spelling wins: the job names inferred entries by it
    by_spelling = {
        spelling.casefold(): row
        for place in range(max(map(len, rows.values()), default=0))
        for row, spellings in rows.items()
        for spelling in spellings[place : place + 1]
    }

    def spelled(name: str) -> int | None:
        text = name.strip()
        if text.isdecimal() and int(text[:20]) in rows:
            return int(text[:20])
        return by_spelling.get(" > ".join(part.strip() for part in text.split(">")).casefold())

    return spelled


def _word(name: str) -> str:
    return " ".join(name.split()).casefold()


def _path(category: int, categories: Mapping[int, Any]) -> str:
    """`Food > Fruit`; a tree with a cycle is followed around it once."""
    walked: list[int] = []
    at: int | None = category
    while at is not None and at in categories and at not in walked:
        walked.append(at)
        at = categories[at].parent_id
    return " > ".join(categories[ancestor].name for ancestor in reversed(walked))
