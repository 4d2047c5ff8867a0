"""The documents that PostgreSQL searches, the words they are made of, and counts of what was searched for."""

from __future__ import annotations

import datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import DDL, BigInteger, Double, ForeignKey, Index, Numeric, String, Text, event, func, text
from sqlalchemy.dialects.postgresql import ARRAY, REAL, TSVECTOR
from sqlalchemy.orm import Mapped, mapped_column

from recsys.database.base import Base, LargeText
from recsys.domains.products.tables import Product
from recsys.domains.users.tables import User

__all__ = ["ProductSearch", "SearchClick", "SearchCount", "SearchWord", "UserSearch"]


class ProductSearch(Base):
    """What can be searched of one product.

    Attributes
    ----------
    inventory_quantity
        Null for what can always be sold.
    popularity
        Logarithm of weighted interactions, faded as of the last reindex or the last of its own.
    as_of
        When the statement that read the product began; an older reading never replaces a newer one.
    """

    __tablename__ = "product_search"
    __table_args__ = (
        # full text
        Index(None, "words", postgresql_using="gin"),
        # names as they are typed
        Index(None, "name_words", postgresql_using="gin"),
        # filters, mostly without a word
        Index(None, "tags", postgresql_using="gin"),
        Index(None, "category_id"),
        Index(None, "brand_id"),
        {"schema": "products_db"},
    )

    product_id: Mapped[int] = mapped_column(
        ForeignKey(Product.id, ondelete="CASCADE"), primary_key=True, autoincrement=False
    )
    name: Mapped[str] = mapped_column(String(255))
    price: Mapped[Decimal] = mapped_column(Numeric(10, 2))
    category_id: Mapped[int | None]
    category_name: Mapped[str | None] = mapped_column(String(100))
    brand_id: Mapped[int | None]
    brand_name: Mapped[str | None] = mapped_column(String(100))
    tags: Mapped[list[str]] = mapped_column(ARRAY(Text))
    status: Mapped[str | None] = mapped_column(String(20))
    is_featured: Mapped[bool]
    rating_average: Mapped[Decimal | None] = mapped_column(Numeric(3, 2))
    review_count: Mapped[int]
    inventory_quantity: Mapped[int | None] = mapped_column(BigInteger)
    popularity: Mapped[float] = mapped_column(REAL, server_default=text("0"))
    created_at: Mapped[datetime.datetime]
    words: Mapped[Any] = mapped_column(TSVECTOR)
    name_words: Mapped[Any] = mapped_column(TSVECTOR)
    as_of: Mapped[datetime.datetime]


class SearchWord(Base):
    """A word of names, tags, brands and categories: what a misspelt one may have meant."""

    __tablename__ = "search_words"
    __table_args__ = (
        # whether a typed word is known in any of its forms
        Index(None, "stem"),
        # which words look like it
        Index(
            "search_words_similar_idx",
            "word",
            postgresql_using="gin",
            postgresql_ops={"word": "gin_trgm_ops"},
        ),
        {"schema": "products_db"},
    )

    word: Mapped[str] = mapped_column(Text(collation="C"), primary_key=True)
    stem: Mapped[LargeText]
    documents: Mapped[int]


class UserSearch(Base):
    """What administrators can search of one user."""

    __tablename__ = "user_search"
    __table_args__ = (
        # words of the names and the bio
        Index(None, "words", postgresql_using="gin"),
        # parts of names, and misspelt ones
        Index(
            "user_search_names_idx",
            "names",
            postgresql_using="gin",
            postgresql_ops={"names": "gin_trgm_ops"},
        ),
        {"schema": "users_db"},
    )

    user_id: Mapped[int] = mapped_column(
        ForeignKey(User.id, ondelete="CASCADE"), primary_key=True, autoincrement=False
    )
    username: Mapped[str] = mapped_column(String(100))
    full_name: Mapped[str] = mapped_column(String(255))
    bio: Mapped[LargeText | None]
    latitude: Mapped[float | None] = mapped_column(Double)
    longitude: Mapped[float | None] = mapped_column(Double)
    is_active: Mapped[bool]
    is_online: Mapped[bool]
    followers_count: Mapped[int]
    following_count: Mapped[int]
    created_at: Mapped[datetime.datetime]
    words: Mapped[Any] = mapped_column(TSVECTOR)
    names: Mapped[LargeText]
    as_of: Mapped[datetime.datetime]


# who is near a place
Index(
    "user_search_place_idx",
    func.ll_to_earth(UserSearch.latitude, UserSearch.longitude),
    postgresql_using="gist",
)


class SearchCount(Base):
    """How often something was searched for on a day, and how often nothing was found."""

    __tablename__ = "search_counts"
    __table_args__ = ({"schema": "analytics_db"},)

    day: Mapped[datetime.date] = mapped_column(primary_key=True)
    query: Mapped[str] = mapped_column(String(200), primary_key=True)
    searches: Mapped[int]
    empty: Mapped[int]


class SearchClick(Base):
    """How often results at a place of the list were opened on a day."""

    __tablename__ = "search_clicks"
    __table_args__ = ({"schema": "analytics_db"},)

    day: Mapped[datetime.date] = mapped_column(primary_key=True)
    position: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    clicks: Mapped[int]


# migrations create the extensions; tables created from these mappings need them first
_EXTENSIONS = "CREATE EXTENSION IF NOT EXISTS {} WITH SCHEMA public"
for _table in (SearchWord, UserSearch):
    for _name in ("pg_trgm", "cube", "earthdistance"):
        event.listen(_table.__table__, "before_create", DDL(_EXTENSIONS.format(_name)))  # type: ignore[no-untyped-call]
