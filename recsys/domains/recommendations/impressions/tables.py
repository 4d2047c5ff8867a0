"""What was answered to whom, and which feedback is of which answer (tables of our own)."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import REAL, ForeignKey, Index, Integer, SmallInteger, String
from sqlalchemy.dialects.postgresql import ARRAY, JSONB
from sqlalchemy.orm import Mapped, mapped_column

from recsys.database.base import Base, where_given
from recsys.domains.recommendations.tables import SCHEMA, RecommendationFeedback
from recsys.domains.users.tables import User

__all__ = ["Exposure", "FeedbackExposure"]


class Exposure(Base):
    """One answered list: the products in their order, and where they came from (our own table).

    The subscripts of the arrays are the places in the whole list: on a second page they begin at 21, say.
    """

    __tablename__ = "exposures"
    __table_args__ = (
        # what somebody was shown, newest first; deleting a user cascades here
        Index(None, "user_id", "shown_at"),
        # those of a period, and those to be swept
        Index(None, "shown_at"),
        {"schema": SCHEMA},
    )

    request_id: Mapped[str] = mapped_column(String(64), primary_key=True)
    shelf: Mapped[str] = mapped_column(String(50), primary_key=True)
    user_id: Mapped[int | None] = mapped_column(ForeignKey(User.id, ondelete="CASCADE"))
    session_id: Mapped[str | None] = mapped_column(String(255))
    model: Mapped[str | None] = mapped_column(String(100))
    version: Mapped[str | None] = mapped_column(String(20))
    generation: Mapped[int | None]
    source: Mapped[str] = mapped_column(String(20))
    arm: Mapped[str | None] = mapped_column(String(100))
    arm_propensity: Mapped[float | None] = mapped_column(REAL)
    product_ids: Mapped[list[int]] = mapped_column(ARRAY(Integer))
    scores: Mapped[list[float]] = mapped_column(ARRAY(REAL))
    shown_at: Mapped[datetime]
    # of a list that was drawn at random: the chance of each place given those before it, NULL where it is not
    # known; and the products that the places were drawn from, in the order of the model and the rules
    propensities: Mapped[list[float | None] | None] = mapped_column(ARRAY(REAL))
    candidates: Mapped[list[int] | None] = mapped_column(ARRAY(Integer))
    # of an interleaved list: whose product each place has, 0 the control's and 1 the challenger's, NULL
    # nobody's; and what a success there counts for the challenger
    teams: Mapped[list[int | None] | None] = mapped_column(ARRAY(SmallInteger))
    credits: Mapped[list[float] | None] = mapped_column(ARRAY(REAL))
    # of a list in an experiment: how long it took, and whether its deadline passed
    milliseconds: Mapped[float | None] = mapped_column(REAL)
    late: Mapped[bool | None]
    # of a drawn list: what the request narrowed it by, beside what applies to every list
    filters: Mapped[dict[str, Any] | None] = mapped_column(JSONB)


class FeedbackExposure(Base):
    """Of which answer a piece of feedback is; it outlives the exposure's row (our own table)."""

    __tablename__ = "feedback_exposures"
    __table_args__ = (
        # a guest's feedback, which belongs to the user at log-in
        Index(None, "session_id", postgresql_where=where_given("session_id")),
        {"schema": SCHEMA},
    )

    feedback_id: Mapped[int] = mapped_column(
        ForeignKey(RecommendationFeedback.id, ondelete="CASCADE"), primary_key=True, autoincrement=False
    )
    request_id: Mapped[str] = mapped_column(String(64))
    shelf: Mapped[str] = mapped_column(String(50))
    position: Mapped[int]
    session_id: Mapped[str | None] = mapped_column(String(255))
    model: Mapped[str | None] = mapped_column(String(100))
    version: Mapped[str | None] = mapped_column(String(20))
    generation: Mapped[int | None]
    source: Mapped[str] = mapped_column(String(20))
    arm: Mapped[str | None] = mapped_column(String(100))
