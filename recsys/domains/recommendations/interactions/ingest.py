"""Takes in what users do: a verdict for each event, each event stored once, in one statement per batch."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import NAMESPACE_URL, UUID, uuid4, uuid5

from pydantic import ValidationError
from sqlalchemy import bindparam, text
from sqlalchemy.dialects.postgresql import ARRAY, INTEGER, VARCHAR
from sqlalchemy.orm import Session

from recsys import clock
from recsys.database.after_commit import after_commit
from recsys.database.insert_once import EventRow, insert_once
from recsys.domains.recommendations.interactions import guest_identity
from recsys.domains.recommendations.interactions.recent import Touched, remember_touched
from recsys.domains.recommendations.schemas import INTERACTIONS, InteractionIn
from recsys.domains.recommendations.tables import InteractionEvent, UserInteraction
from recsys.events.publish import publish_all
from recsys.events.vocabulary import InteractionsRecorded
from recsys.write_buffer.batches import JUDGED, PostVerdict, reason_of
from recsys.write_buffer.buffer import QueuedPost

__all__ = ["GONE", "NamedProducts", "event_uuid", "named", "of_caller", "store_queued", "take"]

GONE = (
    "product_id: no such product",
    "user_id: no such user",
    "username: no such user",
    "sku: no such product",
)
"""The reasons of what was right when it was sent, and whose product or user is deleted since."""
_NAMESPACE = uuid5(NAMESPACE_URL, "urn:recsys:interaction-event")

# the lock holds a user until the events are in: one deleted in between would break the foreign key
_USERS = text(
    """
    SELECT id, username FROM users_db.users WHERE id = ANY(:ids) OR username = ANY(:names)
    ORDER BY id FOR KEY SHARE
    """
).bindparams(bindparam("ids", type_=ARRAY(INTEGER)), bindparam("names", type_=ARRAY(VARCHAR)))
# a product's own SKU counts before that of a variant
_PRODUCTS = text(
    """
    SELECT id, sku FROM products_db.products WHERE id = ANY(:ids) OR sku = ANY(:skus)
    UNION ALL
    SELECT v.product_id, v.sku FROM products_db.product_variants AS v
    WHERE v.sku = ANY(:skus) AND v.product_id IS NOT NULL
        AND NOT EXISTS (SELECT FROM products_db.products AS p WHERE p.sku = v.sku)
    """
).bindparams(bindparam("ids", type_=ARRAY(INTEGER)), bindparam("skus", type_=ARRAY(VARCHAR)))


@dataclass(frozen=True)
class NamedProducts:
    """The products that a batch names: the numbers that exist, and the number of each SKU that does."""

    ids: frozenset[int]
    by_sku: Mapping[str, int]

    @classmethod
    def of(cls, session: Session, ids: Collection[int], skus: Collection[str]) -> NamedProducts:
        """Look both up in one query."""
        if not ids and not skus:
            return cls(frozenset(), {})
        rows = session.execute(_PRODUCTS, {"ids": sorted(ids), "skus": sorted(skus)}).all()
        wanted = set(skus)
        return cls(frozenset(row.id for row in rows), {row.sku: row.id for row in rows if row.sku in wanted})


@dataclass(frozen=True)
class _Event:
    place: int
    event_id: UUID
    user_id: int | None
    product_id: int
    interaction: InteractionIn
    moment: datetime


def event_uuid(given: str) -> UUID:
    """The UUID of a sender's event id: itself when it is one, else one made from the text (RFC 9562, v5)."""
    try:
        return UUID(given)
    except ValueError:
        return uuid5(_NAMESPACE, given)


def take(
    session: Session, given: Sequence[object], *, judged: bool = False
) -> tuple[list[PostVerdict], list[Touched]]:
    """Store what can be stored and say for each what became of it; the same few statements for any number.

    Parameters
    ----------
    given
        The interactions.
    judged
        This shop accepted or made them, on whichever machine: their moments are not compared with the clock
        of this one.

    Returns
    -------
    verdicts : list of PostVerdict
        In the order of `given`.
    touched : list of Touched
        What newly stored events touched, those of guests who logged in since under both.
    """
    refused: dict[int, str] = {}
    valid: dict[int, InteractionIn] = {}
    for place, one in enumerate(given):
        try:
            valid[place] = InteractionIn.model_validate(one, context=JUDGED if judged else None)
        except ValidationError as error:
            refused[place] = reason_of(error, INTERACTIONS.singular)
    events = _known(session, valid, refused)
    visits = {
        event.interaction.session_id
        for event in events
        if event.user_id is None and event.interaction.session_id is not None
    }
    if visits:
        guest_identity.begin(session, visits)
    stored = _store(session, events) if events else set()
    by_place = {event.place: event for event in events}
    verdicts = []
    for place in range(len(given)):
        if place in refused:
            verdicts.append(PostVerdict(index=place, status="refused", reason=refused[place]))
        else:
            status = "stored" if place in stored else "duplicate"
            event = by_place[place]
            remark = event.interaction.remark
            verdicts.append(
                PostVerdict(index=place, status=status, event_id=str(event.event_id), reason=remark)
            )
    touched = [
        Touched(
            event.user_id,
            event.product_id,
            event.interaction.interaction_type,
            event.moment,
            event.interaction.session_id,
            event.interaction.interaction_value,
        )
        for event in events
        if event.place in stored
    ]
    if visits:
        touched += guest_identity.settle(session, visits)
    _tell(session, touched)
    return verdicts, touched


def store_queued(session: Session, posts: Sequence[QueuedPost]) -> list[PostVerdict]:
    """Store interactions of the write buffer; a verdict for each."""
    pieces: list[object] = []
    for piece, user in posts:
        if user is None:
            pieces.append(piece)
        else:
            own = InteractionIn.model_validate(named(piece, user), context=JUDGED)
            pieces.append(of_caller(own, user))
    verdicts, touched = take(session, pieces, judged=True)
    if touched:
        after_commit(session, lambda: remember_touched(touched))
    return verdicts


def _tell(session: Session, touched: Sequence[Touched]) -> None:
    """One event for each user, whatever number of things they did."""
    products: dict[int, set[int]] = {}
    for one in touched:
        if one.user_id is not None:
            products.setdefault(one.user_id, set()).add(one.product_id)
    events = [
        (uuid4(), InteractionsRecorded(user_id=user, product_ids=tuple(sorted(ids))))
        for user, ids in sorted(products.items())
    ]
    publish_all(session, events)


def named(one: object, caller_id: int) -> object:
    """What was given, as the caller's where it says nothing of whose it is: who is logged in need not."""
    if isinstance(one, dict) and "user_id" not in one and "username" not in one:
        return {**one, "user_id": caller_id}
    return one


def of_caller(one: InteractionIn, caller_id: int) -> InteractionIn:
    """The interaction as that user's own, who may have left out that it is."""
    # each user's own ids, or one could keep an event of the shop's server out by sending its id first
    event_id = None if one.event_id is None else str(uuid5(_NAMESPACE, f"{caller_id}:{one.event_id}"))
    return one.model_copy(update={"user_id": caller_id, "event_id": event_id})


def _known(session: Session, valid: Mapping[int, InteractionIn], refused: dict[int, str]) -> list[_Event]:
    ids = sorted({one.user_id for one in valid.values() if one.user_id is not None})
    names = sorted({one.username for one in valid.values() if one.username is not None})
    users = session.execute(_USERS, {"ids": ids, "names": names}).all() if ids or names else []
    by_id, by_name = {row.id for row in users}, {row.username: row.id for row in users}
    products = NamedProducts.of(
        session,
        {one.product_id for one in valid.values() if one.product_id is not None},
        {one.sku for one in valid.values() if one.sku is not None},
    )
    now = clock.now()
    events = []
    for place, one in valid.items():
        user = one.user_id if one.username is None else by_name.get(one.username)
        product = one.product_id if one.sku is None else products.by_sku.get(one.sku)
        if product is None and one.sku is not None:
            refused[place] = GONE[3]
        elif product not in products.ids:
            refused[place] = GONE[0]
        elif one.user_id is not None and one.user_id not in by_id:
            refused[place] = GONE[1]
        elif one.username is not None and user is None:
            refused[place] = GONE[2]
        else:
            event_id = uuid4() if one.event_id is None else event_uuid(one.event_id)
            events.append(_Event(place, event_id, user, product, one, one.created_at or now))
    return events


def _store(session: Session, events: Sequence[_Event]) -> set[int]:
    rows = [
        EventRow(
            event.event_id,
            {
                "user_id": event.user_id,
                "product_id": event.product_id,
                "interaction_type": event.interaction.interaction_type.value,
                "interaction_value": event.interaction.interaction_value,
                "context": event.interaction.context,
                "session_id": event.interaction.session_id,
                "created_at": event.moment,
            },
        )
        for event in events
    ]
    return {events[place].place for place in insert_once(session, UserInteraction, InteractionEvent, rows)}
