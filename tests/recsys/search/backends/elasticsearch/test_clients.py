"""The clients of both engines: which one the settings choose, log-in, TLS, and what is refused."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError
from sqlalchemy.orm import Session

from recsys.search.backends.base import SearchDown
from recsys.search.backends.elasticsearch.clients import connect
from recsys.search.backends.elasticsearch.index import ElasticIndex, elastic
from recsys.search.backends.factory import chosen
from recsys.search.backends.postgres.index import PostgresIndex
from recsys.search.queries import ProductQuery
from recsys.settings import SearchSettings, Settings
from tests.recsys.search.backends.elasticsearch import tls_proxy
from tests.recsys.search.catalogue import fill
from tests.recsys.search.conftest import ENGINES, SearchEngines

ADA = {"user": "ada", "password": "secret"}
BASIC = "Basic YWRhOnNlY3JldA=="


@pytest.fixture(autouse=True)
def indices_of_other_settings_are_closed() -> Iterator[None]:
    yield
    elastic.cache_clear()


def settings_of(engine: SearchSettings, url: str, **values: Any) -> SearchSettings:
    given = {"url": url, "engine": engine.engine, "prefix": engine.prefix, "timeout_seconds": 30}
    return SearchSettings.model_validate(given | values)


def index_of(settings: SearchSettings) -> ElasticIndex:
    index = chosen(Settings(search=settings))
    assert isinstance(index, ElasticIndex)
    assert index.name == settings.engine
    return index


@pytest.mark.parametrize("engine", ENGINES)
def test_an_engine_behind_tls_and_a_log_in_is_indexed_and_searched(
    session: Session, search_engines: SearchEngines, engine: str, tmp_path: Path
) -> None:
    lamp = fill(session).products["Desk lamp"]
    own = search_engines.settings(engine)
    files = tls_proxy.certificate(tmp_path)
    with tls_proxy.running(str(own.url), BASIC, files) as proxy:
        index = index_of(settings_of(own, proxy.url, ca_certs=files[0], **ADA))
        index.reindex(session)
        found = index.search_products(session, ProductQuery(words=("lamp",)))
        assert [hit.product_id for hit in found.hits] == [lamp]
        assert index.verify(session)["products"].total == 0
        assert set(proxy.seen) == {BASIC}
        index._client.close()

        wrong = index_of(settings_of(own, proxy.url, ca_certs=files[0], user="ada", password="guess"))
        with pytest.raises(SearchDown, match="answered 401"):
            wrong.ping(session)
        wrong._client.close()

        before = len(proxy.seen)
        stranger = index_of(settings_of(own, proxy.url, **ADA))
        with pytest.raises(SearchDown, match="does not answer"):
            stranger.ping(session)
        stranger._client.close()
        # a server whose certificate is unknown never sees a password
        assert len(proxy.seen) == before

        unchecked = index_of(settings_of(own, proxy.url, verify_certs=False, **ADA))
        unchecked.ping(session)
        unchecked._client.close()


def test_an_api_key_is_sent_to_elasticsearch(session: Session, search_engines: SearchEngines) -> None:
    own = search_engines.settings("elasticsearch")
    with tls_proxy.running(str(own.url), "ApiKey a2V5", None) as proxy:
        index = index_of(settings_of(own, proxy.url, api_key="a2V5"))
        index.reindex(session)
        index.ping(session)
        index._client.close()
    assert set(proxy.seen) == {"ApiKey a2V5"}


@pytest.mark.parametrize("engine", ["opensearch"])
def test_the_client_of_elasticsearch_names_the_setting_for_opensearch(
    session: Session, search_engines: SearchEngines, engine: str
) -> None:
    own = search_engines.settings(engine).model_copy(update={"engine": "elasticsearch"})
    index = ElasticIndex(connect(own), own)
    with pytest.raises(SearchDown, match="RECSYS_SEARCH__ENGINE=opensearch"):
        index.ping(session)
    index._client.close()


def test_postgresql_searches_where_no_address_is_set() -> None:
    assert isinstance(chosen(Settings(search=SearchSettings())), PostgresIndex)


@pytest.mark.parametrize(
    "wrong",
    [
        {"url": "localhost:9200"},
        {"url": "https://x", "user": "ada"},
        {"url": "https://x", "api_key": "a", **ADA},
        {"url": "https://x", "engine": "opensearch", "api_key": "a"},
        {"url": "https://x", "engine": "solr"},
        # a log-in that everybody on the way could read
        {"url": "http://search.example:9200", **ADA},
        {"url": "http://search.example:9200", "api_key": "a"},
        {"url": "http://ada:secret@search.example:9200"},
        {"url": "HTTP://search.example:9200", **ADA},
        {"url": "http://localhost.example:9200", **ADA},
        {"url": "http://[::1", **ADA},
        {"prefix": "Has Spaces"},
        {"language": "klingon"},
    ],
)
def test_settings_that_make_no_sense_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        SearchSettings(**wrong)


@pytest.mark.parametrize(
    "right",
    [
        {"url": "http://search.example:9200"},
        {"url": "https://search.example:9200", **ADA},
        {"url": "https://ada:secret@search.example:9200"},
        {"url": "http://127.0.0.1:9200", **ADA},
        {"url": "http://[::1]:9200", **ADA},
        {"url": "http://search.example:9200", "plain_http": True, **ADA},
    ],
)
def test_log_ins_that_nobody_can_read_on_the_way_are_accepted(right: dict[str, Any]) -> None:
    SearchSettings(**right)
