"""The rules of the collector: whose items are stored, each once, and which events they publish."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime
from itertools import groupby
from typing import Literal
from uuid import NAMESPACE_URL, UUID, uuid4, uuid5

from pydantic import AwareDatetime, BaseModel, ValidationError
from sqlalchemy import text
from sqlalchemy.orm import Session

from recsys import clock
from recsys.domains.analytics import sessionization
from recsys.domains.analytics.calendar import today
from recsys.domains.analytics.event_store import StoredEvent, Visitor, store_events, store_pages
from recsys.domains.analytics.schemas import ITEMS, ItemIn, PageViewIn, UserEventIn, read_item
from recsys.domains.analytics.user_agents import bot_named
from recsys.errors import Invalid
from recsys.events import inbox
from recsys.events.publish import publish_all
from recsys.events.vocabulary import Event, PageViewed, UserEventRecorded
from recsys.privacy.consent import owners_of, without_analytics
from recsys.write_buffer.batches import JUDGED, PostVerdict, PostVerdicts, answer, parts_of, reason_of
from recsys.write_buffer.buffer import QueuedPost, Sender, store_or_queue
from recsys.write_buffer.group_commit import GroupCommit
from recsys.write_buffer.refused_events import count_refused

__all__ = ["collect", "store_queued", "store_queued_bot_hits"]

_NAMESPACE = uuid5(NAMESPACE_URL, "urn:recsys:collected-event")
_COUNT_BOT = text(
    """
    INSERT INTO analytics_db.bot_hits AS kept (date, bot, hits) VALUES (:date, :bot, :hits)
    ON CONFLICT (date, bot) DO UPDATE SET hits = kept.hits + excluded.hits
    """
)


_REFUSED = frozenset({-1})
"""In the place of what was stored: the visitor refuses analytics, and nothing was."""


@dataclass(frozen=True)
class _Item:
    """One valid item: its position in the request, its event id, and its time."""

    place: int
    event_id: UUID
    moment: datetime
    item: PageViewIn | UserEventIn


class _QueuedItem(BaseModel):
    """One item as it waits in the write buffer."""

    visitor: Visitor
    event_id: UUID
    moment: AwareDatetime
    item: ItemIn


class _BotHits(BaseModel):
    """Items that a bot sent in one request."""

    event_id: UUID
    date: date
    bot: str
    hits: int


def collect(body: object, visitor: Visitor, sender: Sender) -> PostVerdicts:
    """Store a batch of page views and events of one visitor, with a verdict for each.

    Items of a bot are counted under its name and not stored. While PostgreSQL takes no writes, both are
    queued.

    Raises
    ------
    Invalid, TooManyPosts
        The body is no batch, or neither a session nor a log-in names the visitor.
    NonePosted
        Every item was refused.
    Unavailable
        No server takes them.
    """
    parts = parts_of(body, ITEMS)
    bot = bot_named(visitor.agent)
    if bot is not None:
        hits = _BotHits(event_id=uuid4(), date=today(), bot=bot, hits=len(parts))
        store_or_queue(
            "bot_hits",
            sender,
            _BOTS,
            hits,
            lambda: [hits.model_dump(mode="json")],
        )
        ignored = [
            PostVerdict(index=place, status="ignored", reason=f"{bot} is a bot")
            for place in range(len(parts))
        ]
        return answer(ignored, PostVerdicts)
    if visitor.session_id is None:
        raise Invalid("The visitor is unknown; send the session of the visit as X-Session-Id.")
    valid, refused = _read(visitor.session_id, parts)
    stored: set[int] | None = set()
    if valid:
        stored = store_or_queue(
            "collected",
            sender,
            _COLLECTED,
            (visitor, valid),
            lambda: [
                _QueuedItem(
                    visitor=visitor, event_id=each.event_id, moment=each.moment, item=each.item
                ).model_dump(mode="json")
                for each in valid
            ],
        )
    verdicts = [
        PostVerdict(
            index=item.place,
            status=_status(item, stored),
            event_id=str(item.event_id),
            reason=item.item.remark,
        )
        for item in valid
    ]
    verdicts += [
        PostVerdict(index=place, status="refused", reason=reason) for place, reason in refused.items()
    ]
    count_refused("analytics", verdicts)
    return answer(sorted(verdicts, key=lambda verdict: verdict.index), PostVerdicts)


def store_queued(session: Session, posts: Sequence[QueuedPost]) -> list[PostVerdict]:
    """Store items of the write buffer; a verdict for each."""
    items = [_from_queue(place, post) for place, post in enumerate(posts)]
    verdicts = []
    for visitor, own in groupby(sorted(items, key=lambda each: str(each[0])), key=lambda each: each[0]):
        several = [item for _, item in own]
        stored = _store(session, visitor, several)
        verdicts += [
            PostVerdict(index=item.place, status=_status(item, stored), event_id=str(item.event_id))
            for item in several
        ]
    return sorted(verdicts, key=lambda verdict: verdict.index)


def store_queued_bot_hits(session: Session, posts: Sequence[QueuedPost]) -> list[PostVerdict]:
    """Count bots of the write buffer; a verdict for each."""
    hits = [_BotHits.model_validate(post.piece) for post in posts]
    fresh = _count_bots(session, hits)
    return [
        PostVerdict(index=place, status="stored" if each.event_id in fresh else "duplicate")
        for place, each in enumerate(hits)
    ]


def _count_bots(session: Session, hits: Sequence[_BotHits]) -> set[UUID]:
    fresh = inbox.receive(session, "bot_hits", {each.event_id for each in hits})
    for each in sorted(hits, key=lambda each: (each.date, each.bot)):
        if each.event_id in fresh:
            session.execute(_COUNT_BOT, each.model_dump(exclude={"event_id"}))
    return fresh


def _store_bots(session: Session, requests: Sequence[_BotHits]) -> list[set[UUID]]:
    return [_count_bots(session, requests)] * len(requests)


def _store_all(session: Session, requests: Sequence[tuple[Visitor, Sequence[_Item]]]) -> list[set[int]]:
    # in one order, so that two transactions with the same visitors do not wait for each other in a circle
    stored = {
        place: _store(session, *requests[place])
        for place in sorted(range(len(requests)), key=lambda place: str(requests[place][0].session_id))
    }
    return [stored[place] for place in range(len(requests))]


_BOTS = GroupCommit(_store_bots)
_COLLECTED = GroupCommit(_store_all)


def _read(session_id: str, parts: Sequence[object]) -> tuple[list[_Item], dict[int, str]]:
    valid: list[_Item] = []
    refused: dict[int, str] = {}
    now = clock.now()
    for place, part in enumerate(parts):
        try:
            item = read_item(part)
        except ValidationError as error:
            # the first element of a path is the type of the item
            refused[place] = reason_of(error, ITEMS.singular, skip=1)
            continue
        # each visitor has event ids of its own
        event_id = uuid5(_NAMESPACE, f"{session_id} {item.event_id}")
        valid.append(_Item(place, event_id, item.timestamp or now, item))
    return valid, refused


def _store(session: Session, visitor: Visitor, items: Sequence[_Item]) -> set[int]:
    """Store items by a fixed number of statements; two requests of one visitor wait for each other."""
    assert visitor.session_id is not None
    if without_analytics(session, owners_of(visitor.user_id, visitor.session_id)):
        return set(_REFUSED)
    sessionization.hold(session, [visitor.session_id])
    pages = [
        (each.place, each.event_id, each.moment, each.item)
        for each in items
        if isinstance(each.item, PageViewIn)
    ]
    stored = store_pages(session, visitor, pages) | store_events(session, visitor, list(_events(items)))
    fresh = [each for each in items if each.place in stored]
    if fresh:
        publish_all(session, [(each.event_id, _published(visitor, each)) for each in fresh])
        sessionization.roll_up(session, {visitor.session_id: min(each.moment for each in fresh)})
    return stored


def _events(items: Sequence[_Item]) -> Iterator[StoredEvent]:
    for each in items:
        item = each.item
        if isinstance(item, UserEventIn):
            yield StoredEvent(
                each.place,
                each.event_id,
                each.moment,
                item.event_type,
                item.event_category,
                item.event_action,
                item.event_label,
                item.event_value,
                item.properties,
                item.page_url,
            )


def _published(visitor: Visitor, each: _Item) -> Event:
    if isinstance(each.item, PageViewIn):
        return PageViewed(
            user_id=visitor.user_id,
            session_id=visitor.session_id,
            occurred=each.moment,
            page=each.item.page_url,
        )
    return UserEventRecorded(
        user_id=visitor.user_id,
        session_id=visitor.session_id,
        occurred=each.moment,
        kind=each.item.event_type,
    )


def _status(item: _Item, stored: set[int] | None) -> Literal["stored", "duplicate", "queued", "ignored"]:
    if stored is None:
        return "queued"
    if stored == _REFUSED:
        return "ignored"
    return "stored" if item.place in stored else "duplicate"


def _from_queue(place: int, post: QueuedPost) -> tuple[Visitor, _Item]:
    queued = _QueuedItem.model_validate(post.piece, context=JUDGED)
    visitor = queued.visitor
    if post.user_id is not None:
        visitor = replace(visitor, user_id=post.user_id)
    return visitor, _Item(place, queued.event_id, queued.moment, queued.item)
