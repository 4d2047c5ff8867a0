"""Feedback of Gorse's API: interactions.

Gorse keeps one row for each type, user and item; here each event stays, so that repeated purchases count. An
event with the same type, user, item and timestamp is stored once.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import NAMESPACE_URL, uuid5

import orjson
from sqlalchemy import select
from sqlalchemy.orm import Session

from recsys import clock
from recsys.database.after_commit import after_commit
from recsys.domains.products.tables import Product
from recsys.domains.recommendations.interactions import ingest, removal
from recsys.domains.recommendations.interactions.recent import remember_touched
from recsys.domains.recommendations.tables import UserInteraction
from recsys.domains.recommendations.types import InteractionType
from recsys.domains.users.registration import add_shop_users
from recsys.domains.users.tables import User
from recsys.errors import Invalid
from recsys.settings import get_settings
from serving.gorse.bodies import FeedbackBody
from serving.gorse.ids import product_of, user_numbers, user_of
from serving.gorse.items import ensure_items

__all__ = [
    "delete_feedback",
    "interaction_type",
    "list_feedback",
    "overwrite",
    "prepare",
    "written_back",
]

_NAMESPACE = uuid5(NAMESPACE_URL, "urn:recsys:gorse-feedback")
_ALIASES: Mapping[str, str] = {
    **{kind.value: kind.value for kind in InteractionType},
    **dict.fromkeys(("read", "click", "open", "watch", "play", "impression_click"), "view"),
    **dict.fromkeys(("star", "favorite", "favourite", "bookmark", "share", "save", "wishlist"), "like"),
    **dict.fromkeys(("cart", "add-to-cart", "addtocart"), "add_to_cart"),
    **dict.fromkeys(("buy", "order", "bought", "pay", "transaction"), "purchase"),
    **dict.fromkeys(("rate", "rating"), "review"),
    **dict.fromkeys(("dislike", "hide", "skip", "not_interested"), "dismissed"),
}


def interaction_type(feedback_type: str) -> str:
    """Return our type of a shop's feedback type: by the settings, else by its name.

    Raises
    ------
    Invalid
        It is in neither.
    """
    known = {**_ALIASES, **get_settings().api.gorse_feedback_types}
    kind = known.get(feedback_type.lower())
    if kind is None:
        raise Invalid(
            f"No interaction corresponds to this FeedbackType; expected is {', '.join(sorted(known))}, or a "
            "type of your own in RECSYS_API__GORSE_FEEDBACK_TYPES.",
            field="FeedbackType",
        )
    return kind


def prepare(session: Session, given: Sequence[FeedbackBody]) -> list[dict[str, Any]]:
    """Return the interactions of feedback, as they are posted; users and items that are new are added."""
    kinds = {each.FeedbackType: interaction_type(each.FeedbackType) for each in given}
    names = sorted({each.UserId for each in given})
    add_shop_users(session, names)
    users = user_numbers(session, names)
    items = ensure_items(session, {each.ItemId for each in given})
    return [_interaction(each, kinds[each.FeedbackType], users, items) for each in given]


def _interaction(
    given: FeedbackBody, kind: str, users: Mapping[str, int], items: Mapping[str, int]
) -> dict[str, Any]:
    moment = None if given.Timestamp is None else given.Timestamp.isoformat()
    body: dict[str, Any] = {
        "user_id": users[given.UserId],
        "product_id": items[given.ItemId],
        "interaction_type": kind,
        "context": {"gorse": {"FeedbackType": given.FeedbackType, "Comment": given.Comment}},
    }
    if given.Value:
        body["interaction_value"] = round(given.Value, 2)
    if moment is not None:
        key = orjson.dumps([given.FeedbackType, given.UserId, given.ItemId, moment]).decode()
        body |= {"created_at": moment, "event_id": str(uuid5(_NAMESPACE, key))}
    return body


def overwrite(session: Session, given: Sequence[FeedbackBody]) -> int:
    """Store feedback in the place of earlier feedback of the same types, users and items; return how many.

    One transaction: earlier feedback is removed only where all of the new is stored.

    Raises
    ------
    Invalid
        A piece cannot be stored, and why; then nothing is changed.
    """
    posted = prepare(session, given)
    # in one order, so that two requests for the same feedback do not wait for each other in a circle
    for key in sorted({(body["user_id"], body["product_id"], body["interaction_type"]) for body in posted}):
        removal.remove(session, *key)
    verdicts, touched = ingest.take(session, posted)
    for verdict in verdicts:
        if verdict.status == "refused":
            raise Invalid(
                f"Feedback {verdict.index + 1} cannot be stored: {verdict.reason}. Nothing changed."
            )
    after_commit(session, lambda: remember_touched(touched))
    return len(verdicts)


def written_back(user: str, skus: Sequence[str], feedback_type: str) -> list[FeedbackBody]:
    """Return feedback that says that a list was displayed to the user now, as Gorse's write-back does."""
    now = clock.now()
    return [FeedbackBody(FeedbackType=feedback_type, UserId=user, ItemId=sku, Timestamp=now) for sku in skus]


def delete_feedback(session: Session, user: str, item: str, feedback_type: str | None) -> int:
    """Remove feedback of a user on an item, of one type or of all; return how many. Raises NotFound."""
    kind = None if feedback_type is None else interaction_type(feedback_type)
    return removal.remove(session, user_of(session, user), product_of(session, item), kind)


def list_feedback(
    session: Session,
    *,
    user: str | None = None,
    item: str | None = None,
    feedback_type: str | None = None,
    after: int = 0,
    limit: int,
) -> list[tuple[int, dict[str, Any]]]:
    """Return feedback by its number, each with it: of a user, on an item, of a type. Raises NotFound."""
    query = select(UserInteraction).where(UserInteraction.user_id.is_not(None))
    if user is not None:
        query = query.where(UserInteraction.user_id == user_of(session, user))
    if item is not None:
        query = query.where(UserInteraction.product_id == product_of(session, item))
    if feedback_type is not None:
        query = query.where(UserInteraction.interaction_type == interaction_type(feedback_type))
    found: list[tuple[int, dict[str, Any]]] = []
    while len(found) < limit:
        some = query.where(UserInteraction.id > after).order_by(UserInteraction.id).limit(limit)
        rows = session.scalars(some).all()
        named = _named(session, rows)
        found += [(row.id, _feedback(row, *named[row.id])) for row in rows if row.id in named]
        if len(rows) < limit:
            break
        after = rows[-1].id
    return found[:limit]


def _named(session: Session, rows: Sequence[UserInteraction]) -> dict[int, tuple[str, str]]:
    """The username and the SKU of interactions, by their number, where both are there."""
    users = select(User.id, User.username).where(User.id.in_({row.user_id for row in rows}))
    products = select(Product.id, Product.sku).where(
        Product.id.in_({row.product_id for row in rows}), Product.sku.is_not(None)
    )
    usernames = {each.id: each.username for each in session.execute(users)}
    skus = {each.id: str(each.sku) for each in session.execute(products)}
    return {
        row.id: (usernames[row.user_id], skus[row.product_id])
        for row in rows
        if row.user_id in usernames and row.product_id in skus
    }


def _feedback(row: UserInteraction, username: str, sku: str | None) -> dict[str, Any]:
    own = (row.context or {}).get("gorse") or {}
    return {
        "FeedbackType": own.get("FeedbackType", row.interaction_type),
        "UserId": username,
        "ItemId": sku,
        "Value": float(row.interaction_value or 0),
        "Timestamp": None if row.created_at is None else row.created_at.isoformat(),
        "Comment": own.get("Comment", ""),
    }
