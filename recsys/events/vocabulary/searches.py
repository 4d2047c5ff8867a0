"""What is searched for and found (stream `search_events`)."""

from __future__ import annotations

from typing import Annotated, ClassVar

from pydantic import Field

from recsys.events.vocabulary.base import Event, MaybeSessionId, MaybeUserId, ProductId

__all__ = ["SearchPerformed", "SearchResultClicked"]

Query = Annotated[str, Field(description="What was typed.")]


class _SearchEvent(Event):
    family: ClassVar[str] = "search"

    query: Query
    user_id: MaybeUserId = None
    session_id: MaybeSessionId = None

    @property
    def aggregate(self) -> str:
        who = f"session:{self.session_id}" if self.user_id is None else f"user:{self.user_id}"
        return f"search:{who}"


class SearchPerformed(_SearchEvent):
    """Somebody searched."""

    name: ClassVar[str] = "search.performed"

    results: Annotated[int, Field(description="How many products were found.")]
    search_id: Annotated[str | None, Field(description="The search's id, which its clicks carry too.")] = None
    product_ids: Annotated[tuple[int, ...], Field(description="The first page, in its order.")] = ()


class SearchResultClicked(_SearchEvent):
    """Somebody opened a product that a search had found."""

    name: ClassVar[str] = "search.result_clicked"

    search_id: Annotated[str | None, Field(description="The search that found it.")] = None
    product_id: ProductId
    position: Annotated[int | None, Field(description="Its place in the list, from 1.")] = None
