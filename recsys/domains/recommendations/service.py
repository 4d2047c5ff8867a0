"""The rules of the recommendations domain: what may come in, and who hears of it at once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, TypeVar
from uuid import uuid4

from prometheus_client import Counter
from pydantic import ValidationError
from sqlalchemy.orm import Session

from recsys import clock
from recsys.database.after_commit import after_commit
from recsys.database.session import unit_of_work
from recsys.domains.recommendations.deadlines import Deadline, within
from recsys.domains.recommendations.feedback import ingest as feedback
from recsys.domains.recommendations.interactions import ingest as interactions
from recsys.domains.recommendations.interactions.recent import Touched, remember_touched
from recsys.domains.recommendations.schemas import (
    MAX_FEEDBACK,
    MAX_INTERACTIONS,
    FeedbackIn,
    InteractionIn,
    InteractionsOut,
    Verdict,
    VerdictsOut,
)
from recsys.domains.recommendations.types import InteractionType
from recsys.domains.recommendations.write_buffer import buffer as write_buffer
from recsys.domains.recommendations.write_buffer.buffer import Absence, Kind, Post
from recsys.errors import Invalid, Unavailable
from recsys.log import get_logger
from recsys.web.metrics import REGISTRY

__all__ = [
    "NoneTaken",
    "Sender",
    "TooMany",
    "postgresql_away",
    "record_feedback",
    "record_interactions",
    "remember_touched",
]

postgresql_away = Absence()
"""Whether PostgreSQL was away a moment ago."""
_UNKNOWN = 2**31 - 1
"""Stands for a user whose id is told only when their posts are stored."""
_QUEUED = Counter(
    "recsys_posts_queued",
    "Interactions and feedback that were queued because PostgreSQL did not take them in time.",
    ["kind"],
    registry=REGISTRY,
)
_log = get_logger(__name__)
P = TypeVar("P", InteractionIn, FeedbackIn)
Take = Callable[[Session, Sequence[object]], tuple[list[Verdict], list[Touched]]]


class TooMany(Invalid):
    """More than one request may hold."""

    status = 413
    title = "Too many interactions"


class TooMuchFeedback(TooMany):
    """More feedback than one request may hold."""

    title = "Too much feedback"


class NoneTaken(Invalid):
    """Every interaction was refused; the details hold the verdicts."""

    title = "No interaction could be stored"


class NoFeedbackTaken(NoneTaken):
    """Every piece of feedback was refused; the details hold the verdicts."""

    title = "No feedback could be stored"


@dataclass(frozen=True)
class Sender:
    """Who posts: a user, who speaks for nobody else, or whoever may speak for anybody.

    login : the stored id of a log-in of which neither store could tell whose it is, both being away.
    deadline : until when the request waits for PostgreSQL; None: as long as one that arrives now.
    """

    user_id: int | None = None
    login: str | None = None
    deadline: Deadline | None = None

    @property
    def anybody(self) -> bool:
        """Whether the sender may speak for anybody."""
        return self.user_id is None and self.login is None


def record_interactions(given: object, sender: Sender) -> InteractionsOut:
    """Store one interaction or a list of up to 1,000; each gets its own verdict.

    What was touched is told to Redis after the commit, so that the next answer knows it. While PostgreSQL is
    away they are queued. Raises TooMany, Invalid for something that is no interaction at all, NoneTaken when
    every one is refused, Unavailable when nothing takes them.
    """
    if not isinstance(given, dict | list):
        raise Invalid("Expected one interaction (a JSON object) or a list of them.")
    several: Sequence[object] = given if isinstance(given, list) else [given]
    if not several:
        raise Invalid(f"The list is empty; expected 1 to {MAX_INTERACTIONS} interactions.")
    if len(several) > MAX_INTERACTIONS:
        raise TooMany(
            f"{len(several)} interactions in one request; send at most {MAX_INTERACTIONS} at a time."
        )

    caller = _UNKNOWN if sender.login is not None else sender.user_id
    if caller is not None:
        several = [interactions.named(one, caller) for one in several]

    def take(session: Session, ready: Sequence[object]) -> tuple[list[Verdict], list[Touched]]:
        return interactions.take(session, ready, sender.user_id)

    def posted(one: InteractionIn) -> InteractionIn:
        if one.user_id == _UNKNOWN:
            return one.model_copy(update={"user_id": None})
        return one if sender.user_id is None else interactions.of_caller(one, sender.user_id)

    answer = _record("interactions", several, InteractionIn, sender, take, posted)
    return InteractionsOut(**_told(answer, NoneTaken))


def record_feedback(given: object, sender: Sender, visit: str | None = None) -> VerdictsOut:
    """Store one piece of feedback or a list of up to 500; each gets its own verdict.

    visit : the guest's session that the request names. While PostgreSQL is away it is queued, as is what is
    said of an answer that is not stored yet. Raises TooMany, Invalid, NoneTaken, Unavailable.
    """
    if not isinstance(given, dict | list):
        raise Invalid("Expected one piece of feedback (a JSON object) or a list of them.")
    several: Sequence[object] = given if isinstance(given, list) else [given]
    if not several:
        raise Invalid(f"The list is empty; expected 1 to {MAX_FEEDBACK} pieces of feedback.")
    if len(several) > MAX_FEEDBACK:
        raise TooMuchFeedback(
            f"{len(several)} pieces of feedback in one request; send at most {MAX_FEEDBACK} at a time."
        )

    def take(session: Session, ready: Sequence[object]) -> tuple[list[Verdict], list[Touched]]:
        return feedback.take(session, ready, sender.user_id, visit)

    def posted(one: FeedbackIn) -> FeedbackIn:
        return one.model_copy(
            update={"user_id": one.user_id or sender.user_id, "session_id": one.session_id or visit}
        )

    answer = _record("feedback", several, FeedbackIn, sender, take, posted)
    return VerdictsOut(**_told(answer, NoFeedbackTaken))


def _record(
    kind: Kind,
    given: Sequence[object],
    model: type[P],
    sender: Sender,
    take: Take,
    posted: Callable[[P], P],
) -> list[Verdict]:
    """Store what was given, or let it wait; a verdict each."""
    ready = [_ready(one, model) for one in given]
    _say_what_is_ahead(kind, ready)

    def store(seconds: float) -> list[Verdict]:
        with unit_of_work(seconds=seconds) as session:
            verdicts, touched = take(session, ready)
            waiting = [place for place, one in enumerate(verdicts) if one.status == "queued"]
            touched += _queue(kind, ready, waiting, model, sender, posted)
            if any(one.status != "refused" for one in verdicts):
                after_commit(session, lambda: remember_touched(touched))
            return verdicts

    if sender.login is None and not postgresql_away.lasts():
        try:
            return within(sender.deadline or Deadline.of_post(), store)
        except Unavailable as error:
            postgresql_away.noticed()
            _log.error("what was posted is queued", kind=kind, parts=len(ready), reason=error.message)
    _QUEUED.labels(kind).inc(len(ready))
    verdicts = [_verdict(place, one, model, sender) for place, one in enumerate(ready)]
    waiting = [verdict.index for verdict in verdicts if verdict.status == "queued"]
    remember_touched(_queue(kind, ready, waiting, model, sender, posted))
    return verdicts


def _ready(given: object, model: type[P]) -> object:
    """With an event id and a moment of its own, so that it means the same whenever it is stored."""
    try:
        one = model.model_validate(given)
    except ValidationError:
        return given
    return one.model_copy(
        update={"event_id": one.event_id or str(uuid4()), "created_at": one.created_at or clock.now()}
    )


def _say_what_is_ahead(kind: Kind, ready: Sequence[object]) -> None:
    ahead = [one.remark for one in ready if isinstance(one, InteractionIn | FeedbackIn) and one.remark]
    if ahead:
        _log.warning("a sender's clock runs ahead of ours, or ours is behind", kind=kind, parts=len(ahead))


def _verdict(place: int, one: object, model: type[P], sender: Sender) -> Verdict:
    """What can be said without PostgreSQL."""
    try:
        parsed = model.model_validate(one)
    except ValidationError as error:
        what = "feedback" if model is FeedbackIn else "interaction"
        return Verdict(index=place, status="refused", reason=interactions.reason_of(error, what))
    reason = None
    if sender.user_id is not None and (
        parsed.user_id not in (None, sender.user_id) or getattr(parsed, "username", None) is not None
    ):
        reason = "user_id: not the user who is logged in"
    elif isinstance(parsed, FeedbackIn):
        known = not sender.anybody or parsed.user_id is not None or parsed.request_id is not None
        reason = None if known else feedback.WHOSE
    if reason is not None:
        return Verdict(index=place, status="refused", reason=reason)
    waits = "stored as soon as it can be"
    return Verdict(
        index=place, status="queued", reason=f"{waits}; {parsed.remark}" if parsed.remark else waits
    )


def _queue(
    kind: Kind,
    ready: Sequence[object],
    places: Sequence[int],
    model: type[P],
    sender: Sender,
    posted: Callable[[P], P],
) -> list[Touched]:
    """Let these wait; what they touch, as far as it can be told already."""
    now, waiting, touched = clock.now(), [], []
    for place in places:
        one = posted(model.model_validate(ready[place]))
        piece = one.model_dump(mode="json", exclude_none=True)
        waiting.append(Post(kind, piece, now.timestamp(), sender.login))
        deed = _deed(one)
        if deed is not None and one.product_id is not None:
            what, value = deed
            touched.append(
                Touched(one.user_id, one.product_id, what, one.created_at or now, one.session_id, value)
            )
    if waiting:
        write_buffer.queue(waiting)
    return touched


def _deed(one: InteractionIn | FeedbackIn) -> tuple[InteractionType, Decimal | None] | None:
    if isinstance(one, InteractionIn):
        return one.interaction_type, one.interaction_value
    if one.feedback_type not in feedback.DISMISSALS:
        return None
    return InteractionType.DISMISSED, feedback.DISMISSALS[one.feedback_type]


def _told(verdicts: list[Verdict], none_taken: type[NoneTaken]) -> dict[str, Any]:
    """The answer. Raises when nothing was taken."""
    counts = {
        word: sum(one.status == word for one in verdicts)
        for word in ("stored", "duplicate", "refused", "queued")
    }
    answer = {
        "stored": counts["stored"],
        "duplicates": counts["duplicate"],
        "refused": counts["refused"],
        "queued": counts["queued"],
        "verdicts": [one.model_dump() for one in verdicts],
    }
    if counts["refused"] == len(verdicts):
        reasons = "it was refused" if len(verdicts) == 1 else f"all {len(verdicts)} were refused"
        raise none_taken(f"Nothing was stored: {reasons}; see the verdicts.", **answer)
    return answer
