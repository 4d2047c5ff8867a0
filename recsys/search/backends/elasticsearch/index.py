"""The index in Elasticsearch or OpenSearch: versioned indices behind aliases."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from functools import lru_cache
from typing import Any

from sqlalchemy import RowMapping, func, select
from sqlalchemy.orm import Session

from recsys import clock
from recsys.search import documents
from recsys.search.analysis.analyser import Analyser, analyser
from recsys.search.analysis.expression import Expression, all_of, any_of
from recsys.search.analysis.highlighting import highlights
from recsys.search.analysis.query_terms import parsed
from recsys.search.backends.base import Progress, Reindexed, SearchDown
from recsys.search.backends.elasticsearch import mappings
from recsys.search.backends.elasticsearch import queries as elasticsearch_queries
from recsys.search.backends.elasticsearch.clients import EngineClient, connect
from recsys.search.backends.elasticsearch.documents import DocumentKind, IndexComparison
from recsys.search.backends.postgres import lexicon, spelling
from recsys.search.queries import (
    Bucket,
    Differences,
    FoundUsers,
    GeoArea,
    Hit,
    ProductQuery,
    SearchResult,
    UserHit,
    UserQuery,
)
from recsys.settings import SearchSettings

__all__ = ["ElasticIndex", "elastic"]

_EARTH_KM = 6371.0088
_PRODUCTS = DocumentKind(
    "products",
    "product_id",
    {"properties": mappings.PRODUCTS["properties"] | mappings.TOKENS},
    mappings.product_document,
    documents.products,
    documents.every_product,
)
_USERS = DocumentKind(
    "users", "user_id", mappings.USERS, mappings.user_document, documents.users, documents.every_user
)


@lru_cache(maxsize=4)
def elastic(settings: SearchSettings) -> ElasticIndex:
    """The index at the settings' address; its client is shared by all threads. Raises Unavailable."""
    return ElasticIndex(connect(settings), settings)


class ElasticIndex:
    """Documents of the documented mappings; the version of each is the time at which it was read."""

    def __init__(self, client: EngineClient, settings: SearchSettings) -> None:
        self.name = client.name
        self._client = client.api
        self._errors = client.errors
        self._settings = settings

    def index_products(self, session: Session, product_ids: Sequence[int]) -> None:
        """See SearchIndex."""
        lexicon.keep(session, self._settings.language, self._index(session, _PRODUCTS, product_ids))

    def delete_products(self, session: Session, product_ids: Sequence[int]) -> None:
        """See SearchIndex."""
        with self._errors():
            for target in self._targets(_PRODUCTS):
                self._write(_PRODUCTS, target, [], product_ids, _moment(session))

    def search_products(self, session: Session, query: ProductQuery) -> SearchResult:
        """See SearchIndex. Misspelt words are looked up in the database's list of words, as everywhere."""
        used = analyser(self._settings.language)
        terms = parsed(used, query)
        if not terms:
            return self._found(query, None, used)
        found = None
        if not query.any_word:
            found = self._found(query, all_of([term.asked for term in terms]), used)
            if found.total:
                return found
        known = spelling.meanings(session, used, terms, self._known, fuzzy=query.fuzzy)
        joined = (any_of if query.any_word else all_of)([one.asked for one in known])
        if found is None or joined != all_of([term.asked for term in terms]):
            found = self._found(query, joined, used)
        return replace(found, did_you_mean=spelling.meant(known))

    def suggest(self, session: Session, words: Sequence[str], limit: int) -> list[tuple[str, int]]:
        """See SearchIndex."""
        terms = analyser(self._settings.language).terms(words)
        if not terms:
            return []
        asked = all_of([*(term.asked for term in terms[:-1]), terms[-1].begun or terms[-1].asked])
        answer = self._search(_PRODUCTS, elasticsearch_queries.suggestions(asked, 5 * limit))
        names: dict[str, int] = {}
        for row in answer["hits"]["hits"]:
            names.setdefault(row["_source"]["name"], int(row["_id"]))
        return list(names.items())[:limit]

    def follow_popularity(self, session: Session, occurred_at: datetime) -> None:
        """See SearchIndex. The documented fields know of reviews only, which have events of their own."""

    def index_users(self, session: Session, user_ids: Sequence[int]) -> None:
        """See SearchIndex."""
        self._index(session, _USERS, user_ids)

    def search_users(self, session: Session, query: UserQuery) -> FoundUsers:
        """See SearchIndex."""
        answer = self._search(_USERS, elasticsearch_queries.users(query, fuzzy=False))
        if query.words and answer["hits"]["total"]["value"] == 0:
            answer = self._search(_USERS, elasticsearch_queries.users(query, fuzzy=True))
        near = query.filters.near
        hits = [
            UserHit(
                int(row["_id"]),
                row["sort"][0],
                None if near is None else _kilometres(near, row["_source"]["location"]),
            )
            for row in answer["hits"]["hits"]
        ]
        return FoundUsers(answer["hits"]["total"]["value"], hits)

    def reindex(self, session: Session, progress: Progress | None = None) -> Reindexed:
        """See SearchIndex."""
        counts, errors = {}, []
        for kind in (_PRODUCTS, _USERS):
            with self._errors():
                counts[kind.name], refused = self._rebuild(session, kind, progress)
                errors += refused
        words = lexicon.rebuild(session, self._settings.language)
        return Reindexed(counts["products"], counts["users"], words, errors=tuple(errors))

    def verify(self, session: Session, *, repair: bool = False) -> dict[str, Differences]:
        """See SearchIndex."""
        with self._errors():
            return {
                "products": self._compare(session, _PRODUCTS, repair),
                "users": self._compare(session, _USERS, repair),
            }

    def count_products(self, session: Session) -> int:
        """See SearchIndex."""
        with self._errors():
            return int(self._client.count(index=self._alias(_PRODUCTS))["count"])

    def ping(self, session: Session) -> None:
        """See SearchIndex."""
        with self._errors():
            self._client.indices.get_alias(name=self._alias(_PRODUCTS))

    def _found(self, query: ProductQuery, asked: Expression | None, used: Analyser) -> SearchResult:
        body = elasticsearch_queries.products(
            query, asked, popularity_weight=self._settings.popularity_weight
        )
        answer = self._search(_PRODUCTS, body)
        hits = []
        for row in answer["hits"]["hits"]:
            marked: dict[str, str] = {}
            if query.highlight and asked is not None:
                source = row["_source"]
                texts = filter(None, (source.get("short_description"), source.get("description")))
                marked = highlights(used, asked, source.get("name"), " ".join(texts))
            hits.append(Hit(int(row["_id"]), row["sort"][0], marked))
        given = answer.get("aggregations", {})
        facets: dict[str, Sequence[Bucket]] = {
            facet: elasticsearch_queries.buckets(facet, given[facet]) for facet in query.facets
        }
        return SearchResult(answer["hits"]["total"]["value"], hits, facets)

    def _known(self, asked: Sequence[Expression]) -> list[bool]:
        answer = self._search(_PRODUCTS, elasticsearch_queries.known(asked))
        return [answer["aggregations"][str(place)]["doc_count"] > 0 for place in range(len(asked))]

    def _alias(self, kind: DocumentKind) -> str:
        return f"{self._settings.prefix}_{kind.name}"

    def _search(self, kind: DocumentKind, body: dict[str, Any]) -> Mapping[str, Any]:
        with self._errors():
            response: Mapping[str, Any] = self._client.search(index=self._alias(kind), body=body)
            return response

    def _targets(self, kind: DocumentKind) -> list[str]:
        """The index in use, and its replacement while that is built."""
        alias = self._alias(kind)
        found = []
        for name in (alias, f"{alias}_next"):
            if self._client.indices.exists_alias(name=name):
                found += list(self._client.indices.get_alias(name=name))
        if not found:
            raise SearchDown(f"There is no index {alias}; create it with `recsys search reindex`.")
        return found

    def _index(self, session: Session, kind: DocumentKind, ids: Sequence[int]) -> list[RowMapping]:
        with self._errors():
            targets = self._targets(kind)
            moment = _moment(session)
            rows = kind.read(session, ids)
            gone = sorted(set(ids) - {row[kind.key] for row in rows})
            for target in targets:
                errors = self._write(kind, target, rows, gone, moment)
                if errors:
                    raise SearchDown(f"{self.name} refused {len(errors)} documents: {errors[0]}")
        return rows

    def _write(
        self,
        kind: DocumentKind,
        target: str,
        rows: Sequence[RowMapping],
        gone: Sequence[int],
        moment: int,
        *,
        refresh: bool = True,
    ) -> list[str]:
        language = self._settings.language
        return kind.write(self._client, target, rows, gone, moment, language=language, refresh=refresh)

    def _rebuild(
        self, session: Session, kind: DocumentKind, progress: Progress | None
    ) -> tuple[int, list[str]]:
        client, alias = self._client, self._alias(kind)
        index = f"{alias}-v{clock.now():%Y%m%d%H%M%S%f}"
        client.indices.create(index=index, body={"mappings": kind.mappings})
        before = list(client.indices.get(index=f"{alias}-v*"))
        # from here on events are written to both; what is read below is older than what they bring
        client.indices.update_aliases(body={"actions": [{"add": {"index": index, "alias": f"{alias}_next"}}]})
        errors: list[str] = []
        done = 0
        for rows in kind.every(session):
            errors += self._write(kind, index, rows, [], 0, refresh=False)
            done += len(rows)
            if progress is not None:
                progress(done, done)
        client.indices.refresh(index=index)
        actions = [
            {"add": {"index": index, "alias": alias}},
            {"remove": {"index": index, "alias": f"{alias}_next"}},
            *({"remove": {"index": old, "alias": alias}} for old in self._replaced(alias, index)),
        ]
        client.indices.update_aliases(body={"actions": actions})
        # the previous index stays: a handler may still write to it, and would create it again
        for old in sorted(set(before) - {index})[:-1]:
            client.indices.delete(index=old)
        return done - len(errors), errors

    def _replaced(self, alias: str, index: str) -> list[str]:
        if not self._client.indices.exists_alias(name=alias):
            return []
        return [name for name in self._client.indices.get_alias(name=alias) if name != index]

    def _compare(self, session: Session, kind: DocumentKind, repair: bool) -> Differences:
        comparison = IndexComparison(kind, self._client, self._alias(kind), self._settings.language)
        for rows in kind.every(session):
            comparison.take(rows)
        comparison.take_rest(session)
        if repair:
            ids = comparison.differing
            for start in range(0, len(ids), 500):
                self._index(session, kind, ids[start : start + 500])
        return comparison.differences()


def _moment(session: Session) -> int:
    moment: datetime = session.scalar(select(func.statement_timestamp())) or clock.now()
    return int(moment.timestamp() * 1_000_000)


def _kilometres(place: GeoArea, given: Mapping[str, float]) -> float:
    """The great circle by the haversine formula, on the sphere that Elasticsearch measures on."""
    one, other = math.radians(place.latitude), math.radians(given["lat"])
    across = math.radians(given["lon"] - place.longitude)
    half = math.sin((other - one) / 2) ** 2 + math.cos(one) * math.cos(other) * math.sin(across / 2) ** 2
    return 2 * _EARTH_KM * math.asin(min(1.0, math.sqrt(half)))
