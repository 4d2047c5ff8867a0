"""What users say they like (`user_preferences`), beside what the preferences job guessed and never mixed up.

Each documented JSON column holds entries of both sorts by name: a number was said by the user, an object
with `"source": "inferred"` was written by the job (`features.preference_job`, which keeps its hands off what
was said). Said goes before guessed: a guess under a name that is spoken of is dropped.
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
_SAID_OF_CATEGORIES = text(
    "SELECT category_preferences FROM recommendations_db.user_preferences WHERE user_id = :user"
)
Spelled = Callable[[str], int | str | None]
"""What a name stands for, the same for all its spellings; None for one that the shop does not know."""


def of_user(session: Session, user_id: int) -> PreferencesOut:
    """What a user said, and what was guessed of them."""
    row = session.scalars(select(UserPreference).where(UserPreference.user_id == user_id)).one_or_none()
    if row is None:
        return PreferencesOut(
            said=_taste(None, said=True), inferred=_taste(None, said=False), updated_at=None
        )
    return _shown(row)


def liked_categories(session: Session, user_id: int) -> list[str]:
    """The categories that a user said they like, as they said them: all that a list needs to know."""
    column = session.execute(_SAID_OF_CATEGORIES, {"user": user_id}).scalar()
    return [name for name, liking in _numbers(column, said=True).items() if liking > 0]


def replace(session: Session, user_id: int, given: Taste) -> PreferencesOut:
    """Put this in the place of all that the user said before; guesses about other things stay.

    Raises Invalid for categories and brands that the shop does not have, and for one thing said twice.
    """
    row = _locked(session, user_id)
    before = _taste(row, said=True)
    wanted = TasteOut.model_validate(given.model_dump())
    spelled = _spellings(session)
    for facet in _COLUMNS:
        _check(facet, getattr(wanted, facet), getattr(before, facet), spelled[facet])
    if wanted != before:
        for facet, column in _COLUMNS.items():
            said = getattr(wanted, facet)
            setattr(row, column, {**_guesses(getattr(row, column), said, spelled[facet]), **said})
        if wanted.price_range is not None:
            row.price_range = wanted.price_range.model_dump(mode="json", exclude_none=True)
        elif not _is_inferred(row.price_range):
            row.price_range = null()
        row.updated_at = clock.now()
        session.flush()
        session.refresh(row)
        publish(session, PreferencesChanged(user_id=user_id))
    return _shown(row)


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


def _check(facet: str, said: Mapping[str, float], before: Mapping[str, float], spelled: Spelled) -> None:
    # what was said once may be said again, though the shop has given it up since
    unknown = [name for name in said if spelled(name) is None and name not in before]
    if unknown:
        raise Invalid(
            f"{facet}: the shop has no {', '.join(map(repr, unknown[:5]))}; expected its names, slugs or ids."
        )
    names: dict[int | str, str] = {}
    for name in said:
        stands_for = spelled(name)
        if stands_for is None:
            continue
        other = names.setdefault(stands_for, name)
        if other != name:
            raise Invalid(f"{facet}: {other!r} and {name!r} are the same; expected each once.")


def _guesses(column: object, said: Mapping[str, float], spelled: Spelled) -> dict[str, Any]:
    if not isinstance(column, dict):
        return {}
    spoken = {spelled(name) for name in said} - {None}
    return {
        name: entry
        for name, entry in column.items()
        if _is_inferred(entry) and name not in said and spelled(name) not in spoken
    }


def _shown(row: UserPreference) -> PreferencesOut:
    return PreferencesOut(
        said=_taste(row, said=True), inferred=_taste(row, said=False), updated_at=row.updated_at
    )


def _taste(row: UserPreference | None, *, said: bool) -> TasteOut:
    facets = {
        facet: {} if row is None else _numbers(getattr(row, column), said=said)
        for facet, column in _COLUMNS.items()
    }
    price = None if row is None or _is_inferred(row.price_range) is said else _price(row.price_range)
    return TasteOut(**facets, price_range=price)


def _numbers(column: object, *, said: bool) -> dict[str, float]:
    """The entries of one sort; a list holds names that were said, each counting 1."""
    if isinstance(column, list):
        entries: Mapping[str, object] = {str(name): 1.0 for name in column}
    else:
        entries = column if isinstance(column, dict) else {}
    found = {}
    for name, entry in entries.items():
        number = _number(entry.get("affinity") if isinstance(entry, dict) else entry)
        if _is_inferred(entry) is not said and number is not None:
            found[name] = number
    return found


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
    paths = {one: _path(one, categories) for one in categories}
    words = dict.fromkeys(("colors", "sizes", "styles"), _word)
    return {
        "categories": _known({row.id: (row.slug, row.name, paths[row.id]) for row in categories.values()}),
        "brands": _known({row.id: (row.slug, row.name) for row in brands}),
        **words,
    }


def _known(rows: Mapping[int, tuple[str, ...]]) -> Spelled:
    # the last spelling, by which the job names its guesses, goes before the others
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
    """`Food > Fruit`; a tree that bites its tail is followed once around."""
    walked: list[int] = []
    at: int | None = category
    while at is not None and at in categories and at not in walked:
        walked.append(at)
        at = categories[at].parent_id
    return " > ".join(categories[one].name for one in reversed(walked))
