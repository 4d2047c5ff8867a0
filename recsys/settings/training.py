"""Settings of the training."""

from __future__ import annotations

from pydantic import BaseModel, Field

__all__ = ["TrainingSettings"]


class TrainingSettings(BaseModel, extra="forbid"):
    """What models are trained on.

    Attributes
    ----------
    most_interactions
        Models are trained on so many of the newest interactions; 0 for all. Unset: as many as the memory of
        the machine, or of its container, has room for.
    """

    most_interactions: int | None = Field(default=None, ge=0)
