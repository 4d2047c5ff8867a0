"""Tables of business rules: what the shop says on top of the model, and every change of it."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import ARRAY, CheckConstraint, Double, Identity, Index, Integer, String, Text, text, true
from sqlalchemy.orm import Mapped, mapped_column

from recsys.database.base import Base, JsonObject, Money

__all__ = ["BusinessRule", "BusinessRuleChange"]

SCHEMA = "recommendations_db"


class BusinessRule(Base):
    """One rule: what it does, to which products, where and when (our own table).

    Products, categories and brands are no foreign keys: a rule about something that is gone is about
    nothing, and stays to be read.
    """

    __tablename__ = "business_rules"
    __table_args__ = (
        CheckConstraint("kind IN ('pin', 'boost', 'bury', 'hide', 'cap', 'minimum_new')", name="kind"),
        CheckConstraint("starts_at < ends_at", name="period"),
        CheckConstraint(
            "CASE kind "
            "WHEN 'pin' THEN position >= 1 AND cardinality(product_ids) >= 1 "
            "WHEN 'boost' THEN factor > 1 "
            "WHEN 'bury' THEN factor >= 0 AND factor < 1 "
            "WHEN 'cap' THEN most >= 1 AND cap_by IN ('category', 'brand', 'together') "
            "AND strict IS NOT NULL "
            "WHEN 'minimum_new' THEN share > 0 AND share <= 1 AND (new_to = 'user' "
            "OR new_to = 'shop' AND created_within_days >= 1) "
            "ELSE true END IS TRUE",
            name="parameters",
        ),
        {"schema": SCHEMA},
    )

    id: Mapped[int] = mapped_column(Identity(), primary_key=True)
    name: Mapped[str] = mapped_column(String(200), unique=True)
    kind: Mapped[str] = mapped_column(String(20))
    product_ids: Mapped[list[int] | None] = mapped_column(ARRAY(Integer))
    category_id: Mapped[int | None]
    brand_id: Mapped[int | None]
    tag: Mapped[str | None] = mapped_column(Text)
    min_price: Mapped[Money | None]
    max_price: Mapped[Money | None]
    created_within_days: Mapped[int | None]
    position: Mapped[int | None]
    factor: Mapped[float | None] = mapped_column(Double)
    most: Mapped[int | None]
    cap_by: Mapped[str | None] = mapped_column(String(20))
    strict: Mapped[bool | None]
    share: Mapped[float | None] = mapped_column(Double)
    new_to: Mapped[str | None] = mapped_column(String(20))
    shelves: Mapped[list[str] | None] = mapped_column(ARRAY(Text))
    placements: Mapped[list[str] | None] = mapped_column(ARRAY(Text))
    segment: Mapped[str | None] = mapped_column(String(50))
    starts_at: Mapped[datetime | None]
    ends_at: Mapped[datetime | None]
    priority: Mapped[int] = mapped_column(server_default=text("0"))
    enabled: Mapped[bool] = mapped_column(server_default=true())
    # it holds in arms of an experiment that name this set; NULL: for everybody
    rule_set: Mapped[str | None] = mapped_column(String(40))
    version: Mapped[int] = mapped_column(server_default=text("1"))
    created_by: Mapped[str] = mapped_column(String(100))
    created_at: Mapped[datetime]
    updated_at: Mapped[datetime]


class BusinessRuleChange(Base):
    """One change of a rule, whole before and after; it outlives the rule (our own table)."""

    __tablename__ = "business_rule_changes"
    __table_args__ = (
        CheckConstraint("action IN ('created', 'replaced', 'deleted')", name="action"),
        # the history of a rule, newest first
        Index(None, "rule_id", "id"),
        {"schema": SCHEMA},
    )

    id: Mapped[int] = mapped_column(Identity(), primary_key=True)
    rule_id: Mapped[int]
    action: Mapped[str] = mapped_column(String(20))
    before: Mapped[JsonObject | None]
    after: Mapped[JsonObject | None]
    actor: Mapped[str] = mapped_column(String(100))
    changed_at: Mapped[datetime]
