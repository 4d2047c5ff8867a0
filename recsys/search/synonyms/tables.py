"""Tables of synonyms: phrases that stand for one another in searches, and every change of them."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import CheckConstraint, Identity, Index, String, Text, text
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.orm import Mapped, mapped_column

from recsys.database.base import Base

__all__ = ["SearchSynonym", "SearchSynonymChange"]


class SearchSynonym(Base):
    """Two phrases or more, each of which finds what the others find (our own table)."""

    __tablename__ = "search_synonyms"
    __table_args__ = (
        CheckConstraint("cardinality(phrases) >= 2", name="phrases"),
        {"schema": "products_db"},
    )

    id: Mapped[int] = mapped_column(Identity(), primary_key=True)
    phrases: Mapped[list[str]] = mapped_column(ARRAY(Text))
    version: Mapped[int] = mapped_column(server_default=text("1"))
    created_by: Mapped[str] = mapped_column(String(100))
    created_at: Mapped[datetime]
    updated_at: Mapped[datetime]


class SearchSynonymChange(Base):
    """One change of a group of phrases, whole before and after; it outlives the group (our own table)."""

    __tablename__ = "search_synonym_changes"
    __table_args__ = (
        CheckConstraint("action IN ('created', 'replaced', 'deleted')", name="action"),
        # the history of a group, newest first
        Index(None, "synonym_id", "id"),
        {"schema": "products_db"},
    )

    id: Mapped[int] = mapped_column(Identity(), primary_key=True)
    synonym_id: Mapped[int]
    action: Mapped[str] = mapped_column(String(20))
    before: Mapped[list[str] | None] = mapped_column(ARRAY(Text))
    after: Mapped[list[str] | None] = mapped_column(ARRAY(Text))
    actor: Mapped[str] = mapped_column(String(100))
    changed_at: Mapped[datetime]
