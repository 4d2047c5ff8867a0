"""Batches of posts: taken apart, checked part by part, and answered with a verdict for each part."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import ClassVar, Literal, Self, TypeVar

from pydantic import BaseModel, Field, PrivateAttr, ValidationError, ValidationInfo, model_validator

from recsys import clock
from recsys.errors import Invalid

__all__ = [
    "CLOCK_SKEW",
    "JUDGED",
    "BatchKind",
    "NonePosted",
    "PostVerdict",
    "PostVerdicts",
    "PostedIn",
    "TooManyPosts",
    "answer",
    "parts_of",
    "reason_of",
]

CLOCK_SKEW = timedelta(seconds=60)
"""How far a sender's clock may be ahead before the verdict names it."""
JUDGED = {"judged": True}
"""Validation context of what this shop has accepted or made itself: its time is not judged again."""
Answer = TypeVar("Answer", bound="PostVerdicts")


class PostedIn(BaseModel):
    """A post with a time of the sender's clock.

    A time ahead of the server's clock is replaced by the time of arrival, and `remark` says so where the
    difference is more than CLOCK_SKEW. The post is not refused: clocks differ, and whichever of them is
    wrong must not cost the shop an interaction.
    """

    time_field: ClassVar[str] = "created_at"
    _ahead: timedelta = PrivateAttr(default=timedelta(0))

    @model_validator(mode="after")
    def _is_not_ahead(self, info: ValidationInfo) -> Self:
        now, sent = clock.now(), getattr(self, self.time_field)
        if sent is not None and sent > now and info.context != JUDGED:
            self._ahead = sent - now
            setattr(self, self.time_field, now)
        return self

    @property
    def remark(self) -> str | None:
        """What the sender should know about its clock; None when the clock is right."""
        if self._ahead <= CLOCK_SKEW:
            return None
        return (
            f"{self.time_field}: {self._ahead.total_seconds():.0f} s ahead of the server's clock; "
            "stored with the time of its arrival"
        )


class PostVerdict(BaseModel):
    """What happened to one part of the request; `index` is its position in the request, from 0."""

    index: int
    status: Literal["stored", "duplicate", "refused", "queued", "ignored"] = Field(
        description="`queued`: accepted, and stored once PostgreSQL, or the response it is about, is there. "
        "`ignored`: sent by a bot."
    )
    event_id: str | None = Field(
        default=None, description="The UUID that identifies the event; null when it was refused."
    )
    reason: str | None = Field(
        default=None, description="Why it was refused or ignored, or what was changed in it."
    )


class PostVerdicts(BaseModel):
    """The verdicts, in the order of the request."""

    stored: int
    duplicates: int
    refused: int
    queued: int = Field(default=0, description="Accepted while PostgreSQL takes no writes; stored later.")
    ignored: int = Field(default=0, description="Sent by bots: counted, and not stored.")
    verdicts: list[PostVerdict]


class TooManyPosts(Invalid):
    """More parts than one request may have."""

    status = 413
    title = "Too many parts in one request"


class NonePosted(Invalid):
    """Every part was refused; the details hold the verdicts."""

    title = "Nothing could be stored"


@dataclass(frozen=True)
class BatchKind:
    """What a batch consists of; `most` parts are allowed in one request."""

    singular: str
    plural: str
    most: int


def parts_of(body: object, kind: BatchKind) -> Sequence[object]:
    """The parts of a request's body, which is one object or a list of them.

    Raises
    ------
    Invalid
        The body is neither, or the list is empty.
    TooManyPosts
        The list has more than `kind.most` parts.
    """
    if not isinstance(body, dict | list):
        raise Invalid(f"Expected one {kind.singular} (a JSON object) or a list of them.")
    parts: Sequence[object] = body if isinstance(body, list) else [body]
    if not parts:
        raise Invalid(f"The list is empty; expected 1 to {kind.most} {kind.plural}.")
    if len(parts) > kind.most:
        raise TooManyPosts(f"{len(parts)} {kind.plural} in one request; send at most {kind.most} at a time.")
    return parts


def answer(verdicts: Iterable[PostVerdict], form: type[Answer]) -> Answer:
    """The response with its counts. Raises NonePosted when every part was refused."""
    listed = list(verdicts)
    counts = {
        status: sum(verdict.status == status for verdict in listed)
        for status in ("stored", "duplicate", "refused", "queued", "ignored")
    }
    counts["duplicates"] = counts.pop("duplicate")
    response = form(verdicts=listed, **counts)
    if response.refused == len(listed):
        reasons = "it was refused" if len(listed) == 1 else f"all {len(listed)} were refused"
        raise NonePosted(
            f"Nothing was stored: {reasons}; see the verdicts.", **response.model_dump(mode="json")
        )
    return response


def reason_of(error: ValidationError, whole: str, *, skip: int = 0) -> str:
    """What is wrong with a part, in one line and without the values that were sent.

    Parameters
    ----------
    whole
        The name of the part, for errors that belong to no field.
    skip
        So many leading elements of a field's path are left out (the tag of a tagged union).
    """
    reasons = []
    for details in error.errors(include_url=False, include_input=False, include_context=False):
        field = ".".join(map(str, details["loc"][skip:])) or whole
        expected = "no such field is known" if details["type"] == "extra_forbidden" else details["msg"]
        reasons.append(f"{field}: {expected.removeprefix('Value error, ')}")
    return "; ".join(reasons)
