"""The interface of a search index, and its results that are not answers to a search."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from sqlalchemy.orm import Session

from recsys.errors import Unavailable
from recsys.search.queries import Differences, FoundUsers, ProductQuery, SearchResult, UserQuery

__all__ = ["Progress", "Reindexed", "SearchDown", "SearchIndex"]

Progress = Callable[[int, int], None]
"""Called with the number of finished documents and of all documents."""


class SearchDown(Unavailable):
    """The index does not answer; the database may well."""


@dataclass(frozen=True)
class Reindexed:
    """What a reindex wrote; `errors` names documents that the index refused, and why."""

    products: int
    users: int
    words: int = 0
    errors: tuple[str, ...] = ()


class SearchIndex(Protocol):
    """Products and users, searchable. Sessions are the database's, which documents are read from.

    All methods raise SearchDown when the index does not answer in time.
    """

    name: str

    def index_products(self, session: Session, product_ids: Sequence[int]) -> None:
        """Bring these up to date with the database; those that are deleted there are deleted here."""

    def delete_products(self, session: Session, product_ids: Sequence[int]) -> None:
        """Delete these, even if they are in the database."""

    def search_products(self, session: Session, query: ProductQuery) -> SearchResult:
        """One page; equal queries of an unchanged index give equal answers."""

    def suggest(self, session: Session, words: Sequence[str], limit: int) -> list[tuple[str, int]]:
        """Names of active products with all these words, with a product of each; the more popular first.

        The last word may be a prefix.
        """

    def follow_popularity(self, session: Session, occurred_at: datetime) -> None:
        """Interactions with products occurred at this time: update popularity, once a minute at most."""

    def index_users(self, session: Session, user_ids: Sequence[int]) -> None:
        """Bring these up to date with the database; those that are deleted there are deleted here."""

    def search_users(self, session: Session, query: UserQuery) -> FoundUsers:
        """One page of users."""

    def reindex(self, session: Session, progress: Progress | None = None) -> Reindexed:
        """Build the whole index beside the current one, then replace it in one step."""

    def verify(self, session: Session, *, repair: bool = False) -> dict[str, Differences]:
        """How `products` and `users` differ from the database; `repair` brings what differs up to date."""

    def count_products(self, session: Session) -> int:
        """How many products the index has."""

    def ping(self, session: Session) -> None:
        """Raises SearchDown when it does not answer."""
