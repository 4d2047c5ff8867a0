"""The default index: full text, trigrams and distances of PostgreSQL."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime

from sqlalchemy import func, select, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from recsys.search.backends.base import Progress, Reindexed, SearchDown
from recsys.search.backends.postgres import indexer, lexicon, product_queries, user_queries
from recsys.search.queries import Differences, FoundUsers, ProductQuery, SearchResult, UserQuery
from recsys.search.ranking import popularity
from recsys.search.tables import ProductSearch, UserSearch
from recsys.settings import SearchSettings

__all__ = ["PostgresIndex"]

_LOCK = 0x73656172  # two reindexes at once would do the same work twice
_CANCELLED = "57014"
_BATCH = 1000


class PostgresIndex:
    """Tables of our own, written in the transactions of the events' handlers."""

    name = "postgresql"

    def __init__(self, settings: SearchSettings) -> None:
        self._settings = settings

    def index_products(self, session: Session, product_ids: Sequence[int]) -> None:
        """See SearchIndex."""
        indexer.keep_products(session, self._settings, product_ids)

    def delete_products(self, session: Session, product_ids: Sequence[int]) -> None:
        """See SearchIndex."""
        session.execute(
            ProductSearch.__table__.delete().where(ProductSearch.product_id.in_(product_ids))  # type: ignore[attr-defined]
        )

    def search_products(self, session: Session, query: ProductQuery) -> SearchResult:
        """See SearchIndex."""
        with self._bounded(session):
            return product_queries.find(session, query, self._settings)

    def suggest(self, session: Session, words: Sequence[str], limit: int) -> list[tuple[str, int]]:
        """See SearchIndex."""
        with self._bounded(session):
            return product_queries.suggest(session, words, limit, self._settings)

    def follow_popularity(self, session: Session, occurred_at: datetime) -> None:
        """See SearchIndex."""
        if popularity.follow_now_and_then(session, occurred_at):
            indexer.settle(session)

    def index_users(self, session: Session, user_ids: Sequence[int]) -> None:
        """See SearchIndex."""
        indexer.keep_users(session, user_ids)

    def search_users(self, session: Session, query: UserQuery) -> FoundUsers:
        """See SearchIndex."""
        with self._bounded(session):
            return user_queries.find(session, query)

    def reindex(self, session: Session, progress: Progress | None = None) -> Reindexed:
        """See SearchIndex. Products and users are counted if they differed, words in any case."""
        session.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _LOCK})
        steps = 3
        products = indexer.build(session, self._settings)
        if progress is not None:
            progress(1, steps)
        words = lexicon.rebuild(session, self._settings.language)
        if progress is not None:
            progress(2, steps)
        users = indexer.keep_users(session, None)
        if progress is not None:
            progress(steps, steps)
        return Reindexed(products=products, users=users, words=words)

    def verify(self, session: Session, *, repair: bool = False) -> dict[str, Differences]:
        """See SearchIndex."""
        products, product_ids = indexer.compare_products(session, self._settings)
        users, user_ids = indexer.compare_users(session)
        if repair:
            for start in range(0, len(product_ids), _BATCH):
                self.index_products(session, product_ids[start : start + _BATCH])
            for start in range(0, len(user_ids), _BATCH):
                self.index_users(session, user_ids[start : start + _BATCH])
        return {"products": products, "users": users}

    def count_products(self, session: Session) -> int:
        """See SearchIndex."""
        with self._bounded(session):
            return session.scalar(select(func.count()).select_from(ProductSearch)) or 0

    def ping(self, session: Session) -> None:
        """See SearchIndex."""
        with self._bounded(session):
            session.execute(select(ProductSearch.product_id).limit(1))
            session.execute(select(UserSearch.user_id).limit(1))

    @contextmanager
    def _bounded(self, session: Session) -> Iterator[None]:
        """Cancel a search that takes too long; the transaction can continue."""
        # one message each: the session's own savepoints would double the round trips
        connection = session.connection()
        milliseconds = int(self._settings.timeout_seconds * 1000)
        connection.exec_driver_sql(
            # compiling a query takes longer than the query
            f"SAVEPOINT search; SET LOCAL statement_timeout = {milliseconds:d}; SET LOCAL jit = off"
        )
        try:
            yield
            connection.exec_driver_sql("RELEASE SAVEPOINT search; SET LOCAL statement_timeout = 0")
        except DBAPIError as error:
            # this restores the setting, too
            connection.exec_driver_sql("ROLLBACK TO SAVEPOINT search; RELEASE SAVEPOINT search")
            if getattr(error.orig, "sqlstate", None) != _CANCELLED:
                raise
            raise SearchDown(
                f"The search took longer than {self._settings.timeout_seconds:g} s; use fewer words."
            ) from error
