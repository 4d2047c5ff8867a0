"""Settings of privacy: when models are trained again after an erasure, and how long rows are kept."""

from __future__ import annotations

from pydantic import BaseModel, Field

__all__ = ["PrivacySettings"]


class PrivacySettings(BaseModel):
    """What people may ask of the shop about themselves.

    retrain_days : models that learned from an erased person are to be trained again within so many days;
        `recsys doctor` says which are late.
    tombstone_days : late events of an erased person are recognised and dropped for so long.
    """

    retrain_days: float = Field(default=30.0, gt=0)
    tombstone_days: float = Field(default=400.0, ge=31)
