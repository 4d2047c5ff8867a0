"""The rules of the collector: who is counted, what is stored once, who hears of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import datetime
from uuid import NAMESPACE_URL, UUID, uuid5

from pydantic import ValidationError
from sqlalchemy import text
from sqlalchemy.orm import Session

from recsys import clock
from recsys.domains.analytics import sessionization
from recsys.domains.analytics.calendar import today
from recsys.domains.analytics.event_store import Happening, Visitor, store_events, store_pages
from recsys.domains.analytics.schemas import (
    MAX_ITEMS,
    CollectOut,
    PageViewIn,
    UserEventIn,
    Verdict,
    read_item,
)
from recsys.domains.analytics.user_agents import bot_named
from recsys.errors import Invalid
from recsys.events.publish import publish_all
from recsys.events.vocabulary import Event, PageViewed, UserEventRecorded

__all__ = ["NoneTaken", "TooMany", "collect"]

_NAMESPACE = uuid5(NAMESPACE_URL, "urn:recsys:collected-event")
_COUNT_BOT = text(
    """
    INSERT INTO analytics_db.bot_hits AS kept (date, bot, hits) VALUES (:date, :bot, :hits)
    ON CONFLICT (date, bot) DO UPDATE SET hits = kept.hits + excluded.hits
    """
)
_Item = tuple[int, UUID, datetime, PageViewIn | UserEventIn]


class TooMany(Invalid):
    """More items than one request may hold."""

    status = 413
    title = "Too many items"


class NoneTaken(Invalid):
    """Every item was refused; the details hold the verdicts."""

    title = "No item could be stored"


def collect(session: Session, visitor: Visitor, given: object) -> CollectOut:
    """Store a batch of page views and events of one visitor, with a verdict for each.

    What a bot sends is counted under its name and nothing else. Raises Invalid when it is no batch or nobody
    is known to have sent it, TooMany, NoneTaken when every item is refused.
    """
    items = _batch(given)
    bot = bot_named(visitor.agent)
    if bot is not None:
        session.execute(_COUNT_BOT, {"date": today(), "bot": bot, "hits": len(items)})
        reason = f"{bot} is a bot"
        return _answer([Verdict(index=place, status="ignored", reason=reason) for place in range(len(items))])
    if visitor.session_id is None:
        raise Invalid("Nobody is known to have sent this; send the session of the visit as X-Session-Id.")
    valid, refused = _read(visitor.session_id, items)
    remarks = {place: item.remark for place, _, _, item in valid}
    stored = _store(session, visitor, valid) if valid else set()
    verdicts = [
        Verdict(index=place, status="refused", reason=refused[place])
        if place in refused
        else Verdict(
            index=place, status="stored" if place in stored else "duplicate", reason=remarks.get(place)
        )
        for place in range(len(items))
    ]
    answer = _answer(verdicts)
    if answer.refused == len(items):
        reasons = "it was refused" if len(items) == 1 else f"all {len(items)} were refused"
        raise NoneTaken(f"Nothing was stored: {reasons}; see the verdicts.", **answer.model_dump(mode="json"))
    return answer


def _batch(given: object) -> Sequence[object]:
    if not isinstance(given, dict | list):
        raise Invalid("Expected one item (a JSON object) or a list of them.")
    items: Sequence[object] = given if isinstance(given, list) else [given]
    if not items:
        raise Invalid(f"The list is empty; expected 1 to {MAX_ITEMS} items.")
    if len(items) > MAX_ITEMS:
        raise TooMany(f"{len(items)} items in one request; send at most {MAX_ITEMS} at a time.")
    return items


def _read(session_id: str, items: Sequence[object]) -> tuple[list[_Item], dict[int, str]]:
    valid: list[_Item] = []
    refused: dict[int, str] = {}
    now = clock.now()
    for place, one in enumerate(items):
        try:
            item = read_item(one)
        except ValidationError as error:
            refused[place] = _reason(error)
            continue
        # an id of one visitor says nothing about another's
        event_id = uuid5(_NAMESPACE, f"{session_id} {item.event_id}")
        valid.append((place, event_id, item.timestamp or now, item))
    return valid, refused


def _store(session: Session, visitor: Visitor, items: Sequence[_Item]) -> set[int]:
    """Five statements whatever the number; two requests of one visitor wait for each other."""
    assert visitor.session_id is not None
    sessionization.hold(session, [visitor.session_id])
    pages = [
        (place, event_id, moment, item)
        for place, event_id, moment, item in items
        if isinstance(item, PageViewIn)
    ]
    events = [
        Happening(
            place,
            event_id,
            moment,
            item.event_type,
            item.event_category,
            item.event_action,
            item.event_label,
            item.event_value,
            item.properties,
            item.page_url,
        )
        for place, event_id, moment, item in items
        if isinstance(item, UserEventIn)
    ]
    stored = store_pages(session, visitor, pages) | store_events(session, visitor, events)
    new = [one for one in items if one[0] in stored]
    if new:
        publish_all(session, [(event_id, _told(visitor, moment, item)) for _, event_id, moment, item in new])
        sessionization.roll_up(session, {visitor.session_id: min(moment for _, _, moment, _ in new)})
    return stored


def _told(visitor: Visitor, moment: datetime, item: PageViewIn | UserEventIn) -> Event:
    if isinstance(item, PageViewIn):
        return PageViewed(
            user_id=visitor.user_id, session_id=visitor.session_id, occurred=moment, page=item.page_url
        )
    return UserEventRecorded(
        user_id=visitor.user_id, session_id=visitor.session_id, occurred=moment, kind=item.event_type
    )


def _answer(verdicts: list[Verdict]) -> CollectOut:
    counts = Counter(one.status for one in verdicts)
    return CollectOut(
        stored=counts["stored"],
        duplicates=counts["duplicate"],
        refused=counts["refused"],
        ignored=counts["ignored"],
        verdicts=verdicts,
    )


def _reason(error: ValidationError) -> str:
    parts = []
    for one in error.errors(include_url=False, include_input=False, include_context=False):
        # the first part of a place is the type that was chosen, which the sender knows
        place = ".".join(map(str, one["loc"][1:])) or "item"
        expected = "no such field is known" if one["type"] == "extra_forbidden" else one["msg"]
        parts.append(f"{place}: {expected.removeprefix('Value error, ')}")
    return "; ".join(parts)
