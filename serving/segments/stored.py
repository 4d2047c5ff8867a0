"""Makes stored segments of a request or of given users, and makes them again for the job."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import asdict
from typing import Any

from sqlalchemy.orm import Session

from recsys.database.session import unit_of_work
from recsys.domains.products.catalogue import name_of
from recsys.domains.recommendations.segments import service as segments
from recsys.errors import Invalid, RecsysError
from recsys.log import get_logger
from recsys.own_ids.answers import usernames_of
from recsys.own_ids.scheme import IdKind
from serving.segments.members import SEGMENT_TITLES, NamedMember, SegmentKind, SegmentMember, kept, named
from serving.segments.service import BY_HISTORY, MAX_MEMBERS, SegmentRequest, make

__all__ = ["GIVEN", "described", "refresh_all", "refreshed", "store_given", "store_request"]

GIVEN = "given"
"""The kind of a segment whose members were given."""
MOST_NAMED = 5
"""Products, and users, that the words for a segment name."""
_log = get_logger(__name__)


def store_request(session: Session, name: str, request: SegmentRequest, *, actor: str) -> int:
    """Store the segment of a request under a name, and find its members; return how many.

    Raises
    ------
    Invalid
        The name is reserved, the request has `as_of`, or as `serving.segments.service.make`.
    NotFound, Unavailable
        As `serving.segments.service.make`.
    Conflict
        There are too many stored segments.
    """
    if request.as_of is not None:
        raise Invalid("as_of: a stored segment is made again each day; leave it out", field="as_of")
    members = {member.user_id for member in make(session, request).members}
    segments.write(session, name, _written(request), actor=actor)
    segments.set_members(session, name, members)
    return len(members)


def store_given(session: Session, name: str, users: Collection[int], *, actor: str) -> int:
    """Store given users under a name; return how many may be in a segment. Raises Invalid, Conflict."""
    if len(users) > MAX_MEMBERS:
        raise Invalid(f"a segment has at most {MAX_MEMBERS:,} members", field="user_ids")
    members = kept(session, users)
    segments.write(session, name, {"kind": GIVEN}, actor=actor)
    segments.set_members(session, name, members)
    return len(members)


def refreshed(session: Session, name: str) -> int:
    """Find the members of a stored segment again; return how many. Raises as `store_request`."""
    definition = segments.get(session, name).definition
    if definition.get("kind") == GIVEN:
        members = kept(session, segments.members(session, name).tolist())
    else:
        members = {member.user_id for member in make(session, _read(name, definition)).members}
    segments.set_members(session, name, members)
    return len(members)


def refresh_all() -> dict[str, int | str]:
    """Find the members of all stored segments again: how many each has, or why it could not be made."""
    with unit_of_work() as session:
        names = [each.name for each in segments.listed(session)]
    found: dict[str, int | str] = {}
    for name in names:
        try:
            with unit_of_work() as session:
                found[name] = refreshed(session, name)
        except RecsysError as error:
            _log.error("a stored segment could not be refreshed", segment=name, error=error.message)
            with unit_of_work() as session:
                segments.failed(session, name, error.message)
            found[name] = error.message
    return found


def described(session: Session, definition: dict[str, Any]) -> str:
    """What a segment is, in words: the names of products, category, brand and users."""
    if definition.get("kind") == GIVEN:
        return "given users"
    users, products = definition["user_ids"], definition["product_ids"]
    things = [each.product or f"product {each.product_id}" for each in _first_named(session, products)]
    if len(products) > MOST_NAMED:
        things.append(f"{len(products) - MOST_NAMED:,} more products")
    for place in (IdKind.CATEGORY, IdKind.BRAND):
        number = definition[f"{place}_id"]
        if number is not None:
            things.append(f"the {place} {name_of(session, place, number) or number}")
    usernames = usernames_of(session, users[:MOST_NAMED])
    things += [usernames.get(user) or f"user {user}" for user in users[:MOST_NAMED]]
    if len(users) > MOST_NAMED:
        things.append(f"{len(users) - MOST_NAMED:,} more users")
    kind = SegmentKind(definition["kind"])
    about = f" of {', '.join(things)}" if things else ""
    new = ", who never looked at it" if definition["new"] else ""
    days = f", within {definition['days']:g} days" if kind in BY_HISTORY else ""
    return f"{SEGMENT_TITLES[kind]}{about}{new}{days}, at most {definition['limit']:,}"


def _first_named(session: Session, products: Sequence[int]) -> list[NamedMember]:
    return named(session, [SegmentMember(0, product) for product in products[:MOST_NAMED]])


def _written(request: SegmentRequest) -> dict[str, Any]:
    plain = {name: value for name, value in asdict(request).items() if name != "as_of"}
    return plain | {
        "kind": request.kind.value,
        "product_ids": list(request.product_ids),
        "user_ids": list(request.user_ids),
    }


def _read(name: str, definition: dict[str, Any]) -> SegmentRequest:
    try:
        values = {
            **definition,
            "kind": SegmentKind(definition["kind"]),
            "product_ids": tuple(definition["product_ids"]),
            "user_ids": tuple(definition["user_ids"]),
        }
        return SegmentRequest(**values)
    except (KeyError, TypeError, ValueError) as error:
        raise Invalid(f"the definition of the segment {name!r} cannot be read; store it again") from error
