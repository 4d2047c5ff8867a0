"""The tables of privacy (our own): consents, tombstones of erased people, models that learned from them."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Index, String
from sqlalchemy.orm import Mapped, mapped_column

from recsys.database.base import Base

__all__ = ["Consents", "ErasedIdentifier", "ModelToRetrain"]


class Consents(Base):
    """What a user or guest allows, where they have answered.

    Attributes
    ----------
    owner
        `user:5` or `session:abc`.
    """

    __tablename__ = "consents"
    __table_args__ = ({"schema": "users_db"},)

    owner: Mapped[str] = mapped_column(String(300), primary_key=True)
    personalisation: Mapped[bool]
    analytics: Mapped[bool]
    changed_at: Mapped[datetime]


class ErasedIdentifier(Base):
    """A keyed hash of an erased user's number, session or username: late events are recognised by it.

    Without the key (`recsys.web.access.signing`) nothing leads from the hash to the person.
    """

    __tablename__ = "erased_identifiers"
    __table_args__ = (Index(None, "erased_at"), {"schema": "users_db"})

    hash: Mapped[str] = mapped_column(String(32), primary_key=True)
    erased_at: Mapped[datetime]


class ModelToRetrain(Base):
    """A model that learned from an erased person, and the date by which another one replaces it."""

    __tablename__ = "models_to_retrain"
    __table_args__ = ({"schema": "recommendations_db"},)

    name: Mapped[str] = mapped_column(String(100), primary_key=True)
    erased_at: Mapped[datetime]
    retrain_by: Mapped[datetime]
