"""The search index that the settings choose."""

from __future__ import annotations

from recsys.search.backends.base import SearchIndex
from recsys.settings import Settings, get_settings

__all__ = ["chosen"]


def chosen(settings: Settings | None = None) -> SearchIndex:
    """Elasticsearch or OpenSearch if `RECSYS_SEARCH__URL` is set, else PostgreSQL."""
    used = settings or get_settings()
    if used.search.url is None:
        from recsys.search.backends.postgres.index import PostgresIndex

        return PostgresIndex(used.search)
    from recsys.search.backends.elasticsearch.index import elastic

    return elastic(used.search)
