"""What is typed into a field of the console as a person or a product: a number, an own id, or a name."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import TypeVar

from pydantic import BaseModel, ValidationError

from recsys.database.session import unit_of_work
from recsys.domains.users import administration
from recsys.errors import Invalid, NotFound
from recsys.own_ids.resolver import RESOLVER
from recsys.own_ids.scheme import IdKind, OwnId
from recsys.web.errors import field_problems
from serving.catalogue.catalogue import Catalogue
from serving.pages.forms import SubmittedForm

__all__ = [
    "brand_named",
    "category_named",
    "checked",
    "each_named",
    "find_products",
    "is_id",
    "moment_named",
    "number_of",
    "own_id_text",
    "product_named",
    "user_named",
    "whole_number",
]

Model = TypeVar("Model", bound=BaseModel)
_MOST_DIGITS = 9
"""Of a number that is an id."""
MAX_NAMED = 200
"""Things in one field."""
_NUMBERS = re.compile(r"[\d\s,]*", re.ASCII)


def is_id(words: str) -> bool:
    """Whether a text is the number of something."""
    return words.isascii() and words.isdigit() and len(words) <= _MOST_DIGITS


def own_id_text(scheme: str, value: str | None, number: int) -> str:
    """What a field is filled with: the own id, else the number; of digits alone, such as sku:12, not 12."""
    if not value:
        return str(number)
    return f"{scheme}:{value}" if is_id(value) or ":" in value else value


def user_named(words: str) -> int | None:
    """Return the number of a person; None for an empty text. Raises NotFound where no account matches."""
    words = words.strip()
    if not words:
        return None
    if words.startswith("username:"):
        own_id = OwnId("username", words.removeprefix("username:"))
        number = RESOLVER.look_up([own_id]).get((IdKind.USER, own_id))
        if number is not None:
            return number
    with unit_of_work() as session:
        rows = administration.find_accounts(session, words, limit=1)
        if not rows:
            raise NotFound(f"No person has the number, own id, e-mail address or name “{words}”.")
        return rows[0].id


def product_named(catalogue: Catalogue, words: str) -> int | None:
    """Return the number of a product; None for an empty text. Raises NotFound where no product matches."""
    words = words.strip()
    if not words:
        return None
    matches = find_products(catalogue, words, limit=1)
    if not matches:
        raise NotFound(f"No product has the number, SKU or name “{words}”.")
    return matches[0]


def each_named(words: str, field: str, named: Callable[[str], int | None]) -> tuple[int, ...]:
    """Return the number of each of several things, with commas or lines between them, without repetitions.

    Numbers may have blanks between them.

    Parameters
    ----------
    words
        Numbers or names of the things.
    field
        The field that an error names.
    named
        The number of one of them, None for an empty text; what it raises is raised here, too.

    Raises
    ------
    Invalid
        There are more than `MAX_NAMED`.
    """
    separator = r"[\s,]+" if _NUMBERS.fullmatch(words) else r"[,\n]"
    parts = [part.strip() for part in re.split(separator, words) if part.strip()]
    if len(parts) > MAX_NAMED:
        raise Invalid(f"{field}: {MAX_NAMED} at most; {len(parts)} were given", field=field)
    numbers = [number for part in parts if (number := named(part)) is not None]
    return tuple(dict.fromkeys(numbers))


def find_products(catalogue: Catalogue, words: str, limit: int) -> list[int]:
    """Return products by number, SKU, or names that contain every word; products on sale come first."""
    words = words.strip()
    exact = []
    if is_id(words) and catalogue.row(int(words)) >= 0:
        exact.append(int(words))
    own_ids = [OwnId("sku", text) for text in (words.removeprefix("sku:"), words)]
    numbers = RESOLVER.look_up(own_ids)
    exact += [numbers[key] for own_id in own_ids if (key := (IdKind.PRODUCT, own_id)) in numbers]
    exact = list(dict.fromkeys(exact))
    if len(exact) >= limit:
        return exact[:limit]
    parts = words.casefold().split()
    rows = [
        row
        for row, name in enumerate(catalogue.names)
        if parts and all(part in name.casefold() for part in parts)
    ]
    rows.sort(key=lambda row: not catalogue.shown[row])
    return list(dict.fromkeys([*exact, *(int(catalogue.ids[row]) for row in rows[:limit])]))[:limit]


def category_named(words: str) -> int | None:
    """Return the number of a category by number, slug or name; None for an empty text. Raises NotFound."""
    return _place_named(IdKind.CATEGORY, words)


def brand_named(words: str) -> int | None:
    """Return the number of a brand by number, slug or name; None for an empty text. Raises NotFound."""
    return _place_named(IdKind.BRAND, words)


def moment_named(words: str) -> datetime | None:
    """Read a moment of a form, in UTC unless it has a zone; None for an empty text. Raises Invalid."""
    if not words.strip():
        return None
    try:
        moment = datetime.fromisoformat(words.strip())
    except ValueError as error:
        raise Invalid("The moment cannot be read; expected one such as 2026-11-29T10:00 (UTC).") from error
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def checked(schema: type[Model], values: Mapping[str, object]) -> Model:
    """Return the values as a model. Raises Invalid, naming the fields."""
    try:
        return schema.model_validate(values)
    except ValidationError as error:
        faults = field_problems(error.errors())
        raise Invalid("; ".join(f"{fault.field}: {fault.expected}" for fault in faults)) from error


def _place_named(kind: IdKind, words: str) -> int | None:
    words = words.strip()
    if not words:
        return None
    if is_id(words):
        return int(words)
    own_ids = [OwnId("slug", words.removeprefix("slug:")), OwnId("name", words)]
    numbers = RESOLVER.look_up(own_ids)
    number = next((numbers[kind, own_id] for own_id in own_ids if (kind, own_id) in numbers), None)
    if number is None:
        raise NotFound(f"No {kind} has the number, slug or name “{words}”.")
    return number


def whole_number(form: SubmittedForm, name: str) -> int | None:
    """Return the number in a field; None for an empty one. Raises Invalid for other words."""
    text = form.text(name)
    if not text:
        return None
    try:
        return int(text)
    except ValueError as error:
        raise Invalid(f"{name.replace('_', ' ')}: a whole number is expected.") from error


def number_of(form: SubmittedForm, name: str) -> float | None:
    """Return the number in a field, with its decimals; None for an empty one. Raises Invalid."""
    text = form.text(name)
    if not text:
        return None
    try:
        return float(text)
    except ValueError as error:
        raise Invalid(f"{name.replace('_', ' ')}: a number is expected.") from error
