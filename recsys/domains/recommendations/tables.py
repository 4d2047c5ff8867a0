"""The tables of recommendations_db: what users did and like, which models exist, what they recommend."""

from __future__ import annotations

import uuid
from datetime import datetime

from sqlalchemy import (
    CheckConstraint,
    ForeignKey,
    Identity,
    Index,
    LargeBinary,
    String,
    UniqueConstraint,
    text,
)
from sqlalchemy.orm import Mapped, mapped_column

from recsys.database.base import (
    EMPTY,
    Base,
    DefaultNow,
    Id,
    JsonObject,
    LargeText,
    Money,
    Off,
    Rate,
    where_given,
)
from recsys.domains.products.tables import Category
from recsys.domains.users.tables import User

__all__ = [
    "CategoryPolicy",
    "FeedbackEvent",
    "FeedbackOfRetired",
    "GenerationPeriod",
    "GuestLogin",
    "InteractionEvent",
    "ModelPromotion",
    "ProductRecommendation",
    "RecommendationFeedback",
    "RecommendationGeneration",
    "RecommendationModel",
    "RetiredRecommendation",
    "SharedList",
    "StoredPackedList",
    "UserInteraction",
    "UserPreference",
]

SCHEMA = "recommendations_db"


class UserPreference(Base):
    """Preferences of a user: categories, brands, prices, colours, sizes and styles."""

    __tablename__ = "user_preferences"
    __table_args__ = (UniqueConstraint("user_id"), {"schema": SCHEMA})

    id: Mapped[Id]
    user_id: Mapped[int | None] = mapped_column(ForeignKey(User.id, ondelete="CASCADE"))
    category_preferences: Mapped[JsonObject | None] = mapped_column(server_default=EMPTY)
    brand_preferences: Mapped[JsonObject | None] = mapped_column(server_default=EMPTY)
    price_range: Mapped[JsonObject | None]
    color_preferences: Mapped[JsonObject | None] = mapped_column(server_default=EMPTY)
    size_preferences: Mapped[JsonObject | None] = mapped_column(server_default=EMPTY)
    style_preferences: Mapped[JsonObject | None] = mapped_column(server_default=EMPTY)
    created_at: Mapped[DefaultNow | None]
    updated_at: Mapped[datetime | None]


class ProductRecommendation(Base):
    """One product recommended to one user, with its calibrated score (0 to 1) and its reason."""

    __tablename__ = "product_recommendations"
    __table_args__ = (
        # PostgreSQL cuts its own name for this constraint to 63 characters, in this way
        UniqueConstraint(
            "user_id",
            "product_id",
            "recommendation_type",
            name="product_recommendations_user_id_product_id_recommendation_t_key",
        ),
        # no index on score or expires_at: a new generation changes both in nearly every row
        {"schema": SCHEMA, "postgresql_with": {"fillfactor": 50}},
    )

    id: Mapped[Id]
    user_id: Mapped[int | None] = mapped_column(ForeignKey(User.id, ondelete="CASCADE"))
    product_id: Mapped[int]
    score: Mapped[Rate]
    reason: Mapped[str | None] = mapped_column(String(100))
    recommendation_type: Mapped[str | None] = mapped_column(String(50))
    context: Mapped[JsonObject | None] = mapped_column(server_default=EMPTY)
    expires_at: Mapped[datetime | None]
    created_at: Mapped[DefaultNow | None]


class UserInteraction(Base):
    """One thing that a user, or a guest's session, did with a product; what every model learns from."""

    __tablename__ = "user_interactions"
    __table_args__ = (
        # the last interactions of a user, for live ranking; deleting a user sets it null. Guests' rows are
        # left out: the planner must not take this index for them
        Index(None, "user_id", "created_at", postgresql_where=where_given("user_id")),
        # the users and guests of a product
        Index(None, "product_id"),
        # the newest interaction, and those of the last days, for popularity and for the age of features
        Index(None, "created_at"),
        # a guest's interactions, which get their user at the log-in
        Index(None, "session_id", postgresql_where=text("user_id IS NULL")),
        {"schema": SCHEMA},
    )

    id: Mapped[Id]
    user_id: Mapped[int | None] = mapped_column(ForeignKey(User.id, ondelete="SET NULL"))
    product_id: Mapped[int]
    interaction_type: Mapped[str] = mapped_column(String(50))
    interaction_value: Mapped[Money | None]
    context: Mapped[JsonObject | None] = mapped_column(server_default=EMPTY)
    session_id: Mapped[str | None] = mapped_column(String(255))
    created_at: Mapped[DefaultNow | None]


class RecommendationModel(Base):
    """One trained version of a model, such as `als-v3`; at most one is active."""

    __tablename__ = "recommendation_models"
    __table_args__ = ({"schema": SCHEMA},)

    id: Mapped[Id]
    name: Mapped[str] = mapped_column(String(100), unique=True)
    version: Mapped[str] = mapped_column(String(20))
    type: Mapped[str | None] = mapped_column(String(50))
    algorithm: Mapped[str | None] = mapped_column(String(100))
    parameters: Mapped[JsonObject | None] = mapped_column(server_default=EMPTY)
    accuracy: Mapped[Rate | None]
    precision_score: Mapped[Rate | None]
    recall_score: Mapped[Rate | None]
    is_active: Mapped[Off | None]
    training_data_size: Mapped[int | None]
    last_trained_at: Mapped[datetime | None]
    created_at: Mapped[DefaultNow | None]


class RecommendationFeedback(Base):
    """What a user did with a recommendation: a click, a purchase, a rating or a comment."""

    __tablename__ = "recommendation_feedback"
    __table_args__ = (
        CheckConstraint("rating >= 1 AND rating <= 5", name="rating"),
        # the feedback of a user; deleting a user cascades here
        Index(None, "user_id"),
        # deleting a recommendation sets it null; feedback on a live answer refers to none
        Index(None, "recommendation_id", postgresql_where=where_given("recommendation_id")),
        {"schema": SCHEMA},
    )

    id: Mapped[Id]
    user_id: Mapped[int | None] = mapped_column(ForeignKey(User.id, ondelete="CASCADE"))
    product_id: Mapped[int]
    recommendation_id: Mapped[int | None] = mapped_column(
        ForeignKey(ProductRecommendation.id, ondelete="SET NULL")
    )
    recommended: Mapped[Off | None]
    clicked: Mapped[Off | None]
    purchased: Mapped[Off | None]
    rating: Mapped[int | None]
    feedback_type: Mapped[str | None] = mapped_column(String(50))
    feedback_text: Mapped[LargeText | None]
    created_at: Mapped[DefaultNow | None]


class RetiredRecommendation(Base):
    """The id of a recommendation that left its user's lists, for when it comes back (our own table).

    Kept as long as the generation that had it last. `product_recommendations` holds what is live, nothing
    else.
    """

    __tablename__ = "retired_recommendations"
    __table_args__ = ({"schema": SCHEMA},)

    user_id: Mapped[int] = mapped_column(
        ForeignKey(User.id, ondelete="CASCADE"), primary_key=True, autoincrement=False
    )
    product_id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    id: Mapped[int] = mapped_column(unique=True)
    generation_id: Mapped[int]


class FeedbackOfRetired(Base):
    """Which retired recommendation a piece of feedback is of (our own table).

    The documented column can only name what is in `product_recommendations`: it is null meanwhile, and
    filled again when the recommendation comes back under its id.
    """

    __tablename__ = "feedback_of_retired"
    __table_args__ = (
        # a recommendation that comes back takes its feedback with it
        Index(None, "recommendation_id"),
        {"schema": SCHEMA},
    )

    feedback_id: Mapped[int] = mapped_column(
        ForeignKey(RecommendationFeedback.id, ondelete="CASCADE"), primary_key=True, autoincrement=False
    )
    recommendation_id: Mapped[int]


class InteractionEvent(Base):
    """The sender's own id of an interaction: the same event sent twice counts once (our own table)."""

    __tablename__ = "interaction_events"
    __table_args__ = ({"schema": SCHEMA},)

    event_id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    interaction_id: Mapped[int] = mapped_column(
        ForeignKey(UserInteraction.id, ondelete="CASCADE"), unique=True
    )


class FeedbackEvent(Base):
    """The sender's own id of a piece of feedback: the same sent twice counts once (our own table)."""

    __tablename__ = "feedback_events"
    __table_args__ = ({"schema": SCHEMA},)

    event_id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    feedback_id: Mapped[int] = mapped_column(
        ForeignKey(RecommendationFeedback.id, ondelete="CASCADE"), unique=True
    )


class GuestLogin(Base):
    """Whose a guest's session became, and when; null once that user is deleted (our own table)."""

    __tablename__ = "guest_logins"
    __table_args__ = (
        # the first log-in after something that a guest did
        Index(None, "session_id", "logged_in_at"),
        # deleting a user sets it null
        Index(None, "user_id"),
        # what is old enough to go
        Index(None, "logged_in_at"),
        {"schema": SCHEMA},
    )

    id: Mapped[int] = mapped_column(Identity(), primary_key=True)
    session_id: Mapped[str] = mapped_column(String(255))
    user_id: Mapped[int | None] = mapped_column(ForeignKey(User.id, ondelete="SET NULL"))
    logged_in_at: Mapped[datetime]


class RecommendationGeneration(Base):
    """One complete set of stored recommendations; readers see the live one (a custom table).

    Attributes
    ----------
    read_up_to
        The state of the database that its lists consider (`stored_lists.changes`).
    changed_at
        When the lists of changed users were made again last.
    """

    __tablename__ = "recommendation_generations"
    __table_args__ = (
        CheckConstraint("status IN ('writing', 'live', 'former', 'retired', 'failed', 'arm')", name="status"),
        # at most one live generation, even with several writers; readers find it by this index, too
        Index(
            "recommendation_generations_one_live_idx",
            "status",
            unique=True,
            postgresql_where=text("status = 'live'"),
        ),
        # and one to go back to
        Index(
            "recommendation_generations_one_former_idx",
            "status",
            unique=True,
            postgresql_where=text("status = 'former'"),
        ),
        {"schema": SCHEMA},
    )

    id: Mapped[int] = mapped_column(Identity(), primary_key=True)
    model_name: Mapped[str] = mapped_column(String(100))
    model_version: Mapped[str] = mapped_column(String(20))
    status: Mapped[str] = mapped_column(String(20))
    users: Mapped[int | None]
    rows: Mapped[int | None]
    started_at: Mapped[datetime]
    live_at: Mapped[datetime | None]
    expires_at: Mapped[datetime | None]
    rows_written: Mapped[bool] = mapped_column(server_default=text("false"))
    read_up_to: Mapped[str | None] = mapped_column(String(100))
    changed_at: Mapped[datetime | None]


class GenerationPeriod(Base):
    """Since when a generation was shown, until the next period began (our own table)."""

    __tablename__ = "generation_periods"
    __table_args__ = (
        # which generation was shown at a moment
        Index(None, "since"),
        # deleting a generation cascades here
        Index(None, "generation_id"),
        {"schema": SCHEMA},
    )

    id: Mapped[int] = mapped_column(Identity(), primary_key=True)
    generation_id: Mapped[int] = mapped_column(ForeignKey(RecommendationGeneration.id, ondelete="CASCADE"))
    since: Mapped[datetime]


class StoredPackedList(Base):
    """One user's packed list of one generation, as Redis holds it too (our own table)."""

    __tablename__ = "stored_lists"
    __table_args__ = (
        # deleting a user cascades here
        Index(None, "user_id"),
        {"schema": SCHEMA},
    )

    generation_id: Mapped[int] = mapped_column(
        ForeignKey(RecommendationGeneration.id, ondelete="CASCADE"), primary_key=True, autoincrement=False
    )
    user_id: Mapped[int] = mapped_column(
        ForeignKey(User.id, ondelete="CASCADE"), primary_key=True, autoincrement=False
    )
    list: Mapped[bytes] = mapped_column(LargeBinary)


class SharedList(Base):
    """A list that is the same for everybody, packed, of one generation (our own table).

    Attributes
    ----------
    subject
        What the list is of, such as a product.
    models
        A fingerprint of the models it is made by.
    """

    __tablename__ = "shared_lists"
    __table_args__ = ({"schema": SCHEMA},)

    generation_id: Mapped[int] = mapped_column(
        ForeignKey(RecommendationGeneration.id, ondelete="CASCADE"), primary_key=True, autoincrement=False
    )
    placement: Mapped[str] = mapped_column(String(20), primary_key=True)
    subject: Mapped[str] = mapped_column(String(40), primary_key=True)
    models: Mapped[str] = mapped_column(String(16), primary_key=True)
    list: Mapped[bytes] = mapped_column(LargeBinary)


class ModelPromotion(Base):
    """One change of the active model: from which, to which, by whom, why, on what figures (our own table)."""

    __tablename__ = "model_promotions"
    __table_args__ = ({"schema": SCHEMA},)

    id: Mapped[int] = mapped_column(Identity(), primary_key=True)
    from_name: Mapped[str | None] = mapped_column(String(100))
    to_name: Mapped[str | None] = mapped_column(String(100))
    action: Mapped[str] = mapped_column(String(20))
    actor: Mapped[str | None] = mapped_column(String(100))
    reason: Mapped[LargeText | None]
    figures: Mapped[JsonObject | None]
    created_at: Mapped[DefaultNow]


class CategoryPolicy(Base):
    """Whether products of a category may be recommended again to who bought them (our own table).

    A category without a row inherits from its nearest ancestor, then from `serving.repeat_purchases`.
    """

    __tablename__ = "category_policies"
    __table_args__ = ({"schema": SCHEMA},)

    category_id: Mapped[int] = mapped_column(
        ForeignKey(Category.id, ondelete="CASCADE"), primary_key=True, autoincrement=False
    )
    repeat_purchases: Mapped[bool]
