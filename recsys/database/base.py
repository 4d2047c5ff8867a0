"""What every table shares: the declarative base, PostgreSQL's own constraint names, and common columns."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from ipaddress import IPv4Address, IPv4Interface, IPv6Address, IPv6Interface
from typing import Annotated, Any, ClassVar

from sqlalchemy import DateTime, MetaData, Numeric, Text, TextClause, false, func, text, true
from sqlalchemy.dialects.postgresql import INET, JSONB
from sqlalchemy.orm import DeclarativeBase, mapped_column

__all__ = [
    "BEFORE_RESTORE",
    "EMPTY",
    "SCHEMAS",
    "Base",
    "DefaultNow",
    "Id",
    "InetAddress",
    "JsonObject",
    "LargeText",
    "Money",
    "Off",
    "On",
    "Rate",
    "ZeroCount",
    "ZeroMoney",
    "ZeroRate",
    "where_given",
]

SCHEMAS: tuple[str, ...] = (
    "users_db",
    "products_db",
    "orders_db",
    "payments_db",
    "notifications_db",
    "analytics_db",
    "recommendations_db",
)
"""The PostgreSQL schemas, one for each documented cluster; a domain may refer to those before it."""

BEFORE_RESTORE = "_before_restore"
"""What the name of a schema ends with while a restore keeps it aside."""

EMPTY = text("'{}'")
"""Server default of an empty JSON object or an empty array."""

JsonObject = dict[str, Any]
InetAddress = IPv4Address | IPv6Address | IPv4Interface | IPv6Interface

# Columns that many tables share. All but `Id` may be null where a table says `X | None`: the documented
# schema gives them a default and no NOT NULL.
Id = Annotated[int, mapped_column(primary_key=True)]
LargeText = Annotated[str, mapped_column(Text)]
DefaultNow = Annotated[datetime, mapped_column(server_default=func.now())]
On = Annotated[bool, mapped_column(server_default=true())]
Off = Annotated[bool, mapped_column(server_default=false())]
ZeroCount = Annotated[int, mapped_column(server_default=text("0"))]
Money = Annotated[Decimal, mapped_column(Numeric(10, 2))]
ZeroMoney = Annotated[Decimal, mapped_column(Numeric(10, 2), server_default=text("0"))]
Rate = Annotated[Decimal, mapped_column(Numeric(5, 4))]
ZeroRate = Annotated[Decimal, mapped_column(Numeric(5, 4), server_default=text("0"))]


def where_given(column: str) -> TextClause:
    """Condition of an index that leaves out the rows where `column` is null.

    Looking a value up (`column = 7`, also from a foreign key's ON DELETE) still uses the index, while rows
    that say nothing cost neither space nor time.
    """
    return text(f"{column} IS NOT NULL")


class Base(DeclarativeBase):
    """Base of all tables; constraints get the names that PostgreSQL gives to unnamed ones.

    A check constraint is named by its column, as in `CheckConstraint("rating >= 1", name="rating")`.
    """

    metadata: ClassVar[MetaData] = MetaData(
        naming_convention={
            "pk": "%(table_name)s_pkey",
            "uq": "%(table_name)s_%(column_0_N_name)s_key",
            "fk": "%(table_name)s_%(column_0_N_name)s_fkey",
            "ck": "%(table_name)s_%(constraint_name)s_check",
            "ix": "%(table_name)s_%(column_0_N_name)s_idx",
        }
    )
    type_annotation_map: ClassVar[dict[Any, Any]] = {
        datetime: DateTime(timezone=True),
        JsonObject: JSONB,
        InetAddress: INET,
    }
