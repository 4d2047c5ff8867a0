"""What the collector took in (stream `analytics_events`)."""

from __future__ import annotations

from typing import Annotated, ClassVar

from pydantic import AwareDatetime, Field

from recsys.events.vocabulary.base import Event, MaybeSessionId, MaybeUserId

__all__ = ["PageViewed", "UserEventRecorded"]


class _AnalyticsEvent(Event):
    family: ClassVar[str] = "analytics"

    user_id: MaybeUserId = None
    session_id: MaybeSessionId = None
    occurred: Annotated[AwareDatetime | None, Field(description="When it happened.")] = None

    @property
    def aggregate(self) -> str:
        who = f"user:{self.user_id}" if self.session_id is None else f"session:{self.session_id}"
        return f"analytics:{who}"


class PageViewed(_AnalyticsEvent):
    """Somebody saw a page."""

    name: ClassVar[str] = "analytics.page_viewed"

    page: Annotated[str, Field(description="The page's path or address.")]


class UserEventRecorded(_AnalyticsEvent):
    """The shop's front end reported an event of its own kind."""

    name: ClassVar[str] = "analytics.user_event_recorded"

    kind: Annotated[str, Field(description="The front end's name for it.")]
