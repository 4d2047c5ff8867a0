"""Types of fields and parameters that name something: by the number of its row, or by its own id."""

from __future__ import annotations

from contextvars import ContextVar
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field
from pydantic_core import PydanticCustomError

from recsys.errors import RecsysError
from recsys.own_ids.resolver import RESOLVER, Resolution
from recsys.own_ids.scheme import MAX_LENGTH, SCHEMES, IdKind, OwnId, fault_of, from_object, from_text

__all__ = [
    "NOT_FOUND",
    "BrandRef",
    "BrandText",
    "CategoryRef",
    "CategoryText",
    "PreparedIds",
    "ProductRef",
    "ProductText",
    "UserRef",
    "UserText",
    "VariantRef",
    "VariantText",
    "is_own_id",
    "not_found",
    "prepared_ids",
    "resolve",
]

NOT_FOUND = "own_id_not_found"
"""The type of the validation error of an own id that names nothing."""
_MAX_NUMBER = 2**31 - 1
_NUMBER = Field(ge=1, le=_MAX_NUMBER)


@dataclass(frozen=True)
class PreparedIds:
    """The own ids of one request, looked up together before its fields are validated.

    Attributes
    ----------
    own_ids
        The own ids that the request names.
    found
        What they lead to; None where they could not be looked up.
    error
        Why they could not be looked up; raised by the first field that needs one.
    """

    own_ids: frozenset[OwnId] = frozenset()
    found: Resolution | None = None
    error: RecsysError | None = None


_NONE = PreparedIds()
prepared_ids: ContextVar[PreparedIds] = ContextVar("prepared_ids", default=_NONE)


class Sku(BaseModel):
    """A product or variant by its SKU."""

    model_config = ConfigDict(extra="forbid")
    sku: Annotated[str, Field(min_length=1, max_length=MAX_LENGTH)]


class Username(BaseModel):
    """A user by username."""

    model_config = ConfigDict(extra="forbid")
    username: Annotated[str, Field(min_length=1, max_length=MAX_LENGTH)]


class Slug(BaseModel):
    """A category or brand by its slug."""

    model_config = ConfigDict(extra="forbid")
    slug: Annotated[str, Field(min_length=1, max_length=MAX_LENGTH)]


class Name(BaseModel):
    """A category or brand by its name."""

    model_config = ConfigDict(extra="forbid")
    name: Annotated[str, Field(min_length=1, max_length=MAX_LENGTH)]


_PATTERNS = {kind: rf"^({'|'.join(schemes)}):[^\x00]{{1,{MAX_LENGTH}}}$" for kind, schemes in SCHEMES.items()}


def not_found(kind: IdKind, own_id: OwnId) -> str:
    """Return the sentence that says that nothing has this own id."""
    return f"No {kind} has the {own_id.scheme} {own_id.value!r}."


def resolve(kind: IdKind, own_id: OwnId) -> int | None:
    """Return the number of what has this own id, None where nothing has.

    Own ids of a request are looked up together by `recsys.own_ids.requests`; others here, one by one.

    Raises
    ------
    Unavailable
        PostgreSQL does not answer.
    """
    prepared = prepared_ids.get()
    if own_id not in prepared.own_ids:
        return RESOLVER.look_up([own_id]).get((kind, own_id))
    if prepared.error is not None:
        raise prepared.error
    return None if prepared.found is None else prepared.found.get((kind, own_id))


def _number(kind: IdKind, own_id: OwnId) -> int:
    if own_id.scheme not in SCHEMES[kind]:
        raise ValueError(f"a {kind} by {_written(kind)}; {own_id.scheme} names something else")
    fault = fault_of(own_id)
    if fault is not None:
        raise ValueError(fault)
    number = resolve(kind, own_id)
    if number is None:
        context = {"kind": kind.value, "scheme": own_id.scheme, "value": own_id.value}
        raise PydanticCustomError(NOT_FOUND, "No {kind} has the {scheme} '{value}'.", context)
    return number


def _written(kind: IdKind) -> str:
    return " or ".join(["number", *(f"{scheme}:…" for scheme in SCHEMES[kind])])


def _in_json(kind: IdKind) -> BeforeValidator:
    """Accept a number, `SCHEME:VALUE` or an object of one scheme."""

    def number_of(given: Any) -> Any:
        own_id = from_text(given) if isinstance(given, str) else from_object(given)
        return given if own_id is None else _number(kind, own_id)

    objects: dict[str, type[BaseModel]] = {"sku": Sku, "username": Username, "slug": Slug, "name": Name}
    accepted: Any = Annotated[int, _NUMBER] | _text_schema(kind)
    for scheme in SCHEMES[kind]:
        accepted |= objects[scheme]
    return BeforeValidator(number_of, json_schema_input_type=accepted)


def _in_text(kind: IdKind) -> BeforeValidator:
    """Accept decimal digits or `SCHEME:VALUE`, as paths and queries have them."""

    def number_of(given: Any) -> Any:
        own_id = from_text(given) if isinstance(given, str) else None
        if own_id is not None:
            return _number(kind, own_id)
        if isinstance(given, str) and not (given.isascii() and given.isdigit()):
            # integers of Python have more spellings, such as 1_000
            raise ValueError(f"a {kind} by {_written(kind)}")
        return given

    return BeforeValidator(number_of, json_schema_input_type=Annotated[int, _NUMBER] | _text_schema(kind))


def is_own_id(pattern: object) -> bool:
    """Whether this is the pattern of `SCHEME:VALUE` in a JSON schema."""
    return pattern in _PATTERNS.values()


def _text_schema(kind: IdKind) -> Any:
    return Annotated[str, Field(pattern=_PATTERNS[kind], examples=[f"{SCHEMES[kind][0]}:EL-0118"])]


_STRICT = Field(strict=True, ge=1, le=_MAX_NUMBER)
ProductRef = Annotated[int, _in_json(IdKind.PRODUCT), _STRICT]
VariantRef = Annotated[int, _in_json(IdKind.VARIANT), _STRICT]
UserRef = Annotated[int, _in_json(IdKind.USER), _STRICT]
CategoryRef = Annotated[int, _in_json(IdKind.CATEGORY), _STRICT]
BrandRef = Annotated[int, _in_json(IdKind.BRAND), _STRICT]
ProductText = Annotated[int, _in_text(IdKind.PRODUCT), _NUMBER]
VariantText = Annotated[int, _in_text(IdKind.VARIANT), _NUMBER]
UserText = Annotated[int, _in_text(IdKind.USER), _NUMBER]
CategoryText = Annotated[int, _in_text(IdKind.CATEGORY), _NUMBER]
BrandText = Annotated[int, _in_text(IdKind.BRAND), _NUMBER]
