"""The rows of feedback: its own, the sender's event id, and the position in the response it is about."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import insert
from sqlalchemy.orm import Session

from recsys.database.insert_once import EventRow, insert_once
from recsys.domains.recommendations.feedback.attribution import Place
from recsys.domains.recommendations.impressions.tables import FeedbackExposure
from recsys.domains.recommendations.schemas import FeedbackIn
from recsys.domains.recommendations.tables import (
    FeedbackEvent,
    FeedbackOfRetired,
    RecommendationFeedback,
)
from recsys.domains.recommendations.types import FeedbackType

__all__ = ["Ready", "store"]


@dataclass(frozen=True)
class Ready:
    """A piece of feedback with everything that its rows hold.

    Attributes
    ----------
    place
        Its position in the request.
    answer
        Where the product stood in the response that it is about.
    retired_id
        The recommendation that it is about, where that has left its user's lists.
    """

    place: int
    event_id: UUID
    user_id: int | None
    visit: str | None
    product_id: int
    recommendation_id: int | None
    given: FeedbackIn
    moment: datetime
    answer: Place | None
    retired_id: int | None = None

    @property
    def recommended(self) -> bool:
        """Whether the product was recommended, as far as the feedback or its response shows it."""
        return (
            self.recommendation_id is not None
            or self.retired_id is not None
            or self.answer is not None
            or self.given.feedback_type is FeedbackType.SHOWN
        )


def store(session: Session, feedback: Sequence[Ready]) -> set[int]:
    """Store feedback that is not stored yet; the places of what was new."""
    rows = [EventRow(one.event_id, _row(one)) for one in feedback]
    stored = {
        identity: feedback[place]
        for place, identity in insert_once(session, RecommendationFeedback, FeedbackEvent, rows).items()
    }
    retired = [
        {"feedback_id": identity, "recommendation_id": one.retired_id}
        for identity, one in stored.items()
        if one.retired_id is not None
    ]
    if retired:
        session.execute(insert(FeedbackOfRetired), retired)
    exposures = [
        _exposure(identity, one, one.answer) for identity, one in stored.items() if one.answer is not None
    ]
    if exposures:
        session.execute(insert(FeedbackExposure), exposures)
    return {one.place for one in stored.values()}


def _row(one: Ready) -> dict[str, Any]:
    kind = one.given.feedback_type
    return {
        "user_id": one.user_id,
        "product_id": one.product_id,
        "recommendation_id": one.recommendation_id,
        "recommended": one.recommended,
        "clicked": kind is FeedbackType.CLICKED,
        "purchased": kind is FeedbackType.PURCHASED,
        "rating": one.given.rating,
        "feedback_type": kind.value,
        "feedback_text": one.given.text,
        "created_at": one.moment,
    }


def _exposure(identity: int, one: Ready, place: Place) -> dict[str, Any]:
    shown = place.answered
    return {
        "feedback_id": identity,
        "request_id": shown.request_id,
        "shelf": shown.shelf,
        "position": place.position,
        "session_id": one.visit,
        "model": shown.model,
        "version": shown.version,
        "generation": shown.generation,
        "source": shown.source,
        "arm": shown.arm,
    }
