"""Events that a request publishes, or queues while PostgreSQL takes no writes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any
from uuid import UUID

from pydantic import AwareDatetime, BaseModel
from sqlalchemy.orm import Session

from recsys import clock
from recsys.errors import RecsysError
from recsys.events.publish import publish
from recsys.events.vocabulary import Event, event_types
from recsys.write_buffer.batches import PostVerdict
from recsys.write_buffer.buffer import QueuedPost, Sender, store_or_queue
from recsys.write_buffer.group_commit import GroupCommit

__all__ = ["publish_or_queue", "store_events"]


class _QueuedEvent(BaseModel):
    """An event on its way into the outbox; `fields` lack the user where only PostgreSQL can tell it."""

    event_id: UUID
    name: str
    occurred_at: AwareDatetime
    fields: dict[str, Any]

    def publish(self, session: Session, user_id: int | None) -> None:
        owner = {} if user_id is None else {"user_id": user_id}
        event = event_types()[self.name].model_validate(self.fields | owner)
        publish(session, event, event_id=self.event_id, occurred_at=self.occurred_at)


_Checked = tuple[_QueuedEvent, Callable[[Session], object]]


def publish_or_queue(
    sender: Sender,
    kind: type[Event],
    fields: dict[str, Any],
    event_id: UUID,
    check: Callable[[Session], object],
) -> bool:
    """Publish an event of the sender; False when it was queued instead.

    Parameters
    ----------
    fields
        Those of the event, without `user_id`.
    check
        Called before; raises where the event must not be published.

    Raises
    ------
    Unavailable
        Neither PostgreSQL, nor Redis, nor the disk takes it.
    """
    queued = _QueuedEvent(event_id=event_id, name=kind.name, occurred_at=clock.now(), fields=fields)
    if sender.user_id is not None:
        queued.fields = fields | {"user_id": sender.user_id}
    pieces = [queued.model_dump(mode="json")]
    return store_or_queue("events", sender, _PUBLISHED, (queued, check), lambda: pieces) is True


def _publish_all(session: Session, requests: Sequence[_Checked]) -> list[bool | Exception]:
    outcomes: list[bool | Exception] = []
    for queued, check in requests:
        try:
            check(session)
        except RecsysError as error:
            outcomes.append(error)
        else:
            queued.publish(session, None)
            outcomes.append(True)
    return outcomes


_PUBLISHED = GroupCommit(_publish_all)


def store_events(session: Session, posts: Sequence[QueuedPost]) -> list[PostVerdict]:
    """Publish queued events, each once: their ids make repeats known to the outbox and to each consumer."""
    for post in posts:
        _QueuedEvent.model_validate(post.piece).publish(session, post.user_id)
    return [PostVerdict(index=place, status="stored") for place in range(len(posts))]
