"""Bodies of Gorse's API: Pascal case, unknown fields ignored, as Gorse does."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

from recsys.web.validators import Text, storable

__all__ = ["FeedbackBody", "ItemBody", "ItemPatch", "UserBody", "UserPatch", "plain_labels"]

MAX_LABELS = 4096


def _without_blank(given: object) -> object:
    return None if isinstance(given, str) and not given.strip() else given


def _with_zone(moment: datetime | None) -> datetime | None:
    return moment.replace(tzinfo=UTC) if moment is not None and moment.tzinfo is None else moment


def _small(labels: Any) -> Any:
    if len(storable(json.dumps(labels, ensure_ascii=False))) > MAX_LABELS:
        raise ValueError(f"at most {MAX_LABELS} characters as JSON")
    if "\\u0000" in json.dumps(labels):
        raise ValueError("text without NUL characters")
    return labels


OwnId = Annotated[Text, Field(min_length=1, max_length=100)]
Moment = Annotated[datetime | None, BeforeValidator(_without_blank), AfterValidator(_with_zone)]
"""UTC where no zone is given; '' is no time, as in Gorse."""
LabelValue = Annotated[Any, AfterValidator(_small)]
ShortText = Annotated[Text, Field(max_length=255)]


class UserPatch(BaseModel):
    """Changes of a user; fields that are left out stay."""

    model_config = ConfigDict(extra="ignore")

    Labels: LabelValue = None
    Comment: ShortText | None = None


class UserBody(UserPatch):
    """A user; `UserId` becomes the username."""

    UserId: OwnId


class ItemPatch(BaseModel):
    """Changes of an item; fields that are left out or null stay."""

    model_config = ConfigDict(extra="ignore")

    IsHidden: bool | None = None
    Categories: Annotated[list[OwnId], Field(max_length=50)] | None = None
    Timestamp: Moment = None
    Labels: LabelValue = None
    Comment: ShortText | None = None


class ItemBody(ItemPatch):
    """An item; `ItemId` becomes the SKU of a product."""

    ItemId: OwnId


class FeedbackBody(BaseModel):
    """What a user did with an item."""

    model_config = ConfigDict(extra="ignore")

    FeedbackType: Annotated[Text, Field(min_length=1, max_length=50)]
    UserId: OwnId
    ItemId: OwnId
    Value: Annotated[float, Field(ge=-1e7, le=1e7, allow_inf_nan=False)] = 0.0
    Timestamp: Moment = None
    Comment: Annotated[Text, Field(max_length=2000)] = ""


def plain_labels(labels: Any) -> list[str]:
    """Return the texts of labels in their order; Gorse takes lists, objects and objects of lists."""
    waiting, texts = [labels], list[str]()
    while waiting:
        value = waiting.pop(0)
        if isinstance(value, dict):
            waiting = [*value.values(), *waiting]
        elif isinstance(value, list):
            waiting = [*value, *waiting]
        elif isinstance(value, str) and value.strip():
            texts.append(value.strip()[:100])
    return list(dict.fromkeys(texts))[:100]
