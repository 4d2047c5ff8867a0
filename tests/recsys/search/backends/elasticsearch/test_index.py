"""What only Elasticsearch has: documented mappings, versions, aliases, refused documents, log-ins."""

from __future__ import annotations

import dataclasses
import json
import re
import threading
from collections.abc import Iterator, Mapping
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr, ValidationError
from sqlalchemy import update
from sqlalchemy.orm import Session

from recsys.domains.products.tables import Product
from recsys.search.backends.base import SearchDown
from recsys.search.backends.elasticsearch import index as module
from recsys.search.backends.elasticsearch import mappings
from recsys.search.backends.elasticsearch.index import ElasticIndex, elastic
from recsys.search.backends.factory import chosen
from recsys.search.backends.postgres.index import PostgresIndex
from recsys.search.queries import ProductQuery
from recsys.settings import SearchSettings, Settings
from tests.recsys.search import compatible
from tests.recsys.search.catalogue import fill
from tests.recsys.search.conftest import Clients

DOCUMENTED = Path(__file__).resolve().parents[5] / "docs" / "spec" / "search_indices.md"


@pytest.fixture(params=compatible.SERVERS)
def index(request: pytest.FixtureRequest, elastic_clients: Clients) -> ElasticIndex:
    return ElasticIndex(elastic_clients.of(request.param), SearchSettings(prefix=f"e{id(request)}"))


def test_the_mappings_are_the_documented_ones() -> None:
    products, users = (
        json.loads(block)["mappings"]
        for block in re.findall(r"```json\n(.*?)```", DOCUMENTED.read_text(encoding="utf-8"), re.DOTALL)
    )
    assert products == mappings.PRODUCTS
    assert users == mappings.USERS


def test_documents_have_the_documented_fields_and_their_tokens(session: Session, index: ElasticIndex) -> None:
    fill(session)
    index.reindex(session)
    client = index._client
    for kind, documented, own in (
        ("products", mappings.PRODUCTS, set(mappings.TOKENS)),
        ("users", mappings.USERS, set()),
    ):
        fields = set(documented["properties"]) | own
        alias = f"{index._settings.prefix}_{kind}"
        rows = client.search(index=alias, size=100)["hits"]["hits"]
        assert rows
        assert all(set(row["_source"]) == fields for row in rows)
        # a field that nobody mapped would have been added by the server
        (held,) = client.indices.get_mapping(index=alias).body.values()
        assert set(held["mappings"]["properties"]) == fields


def test_indices_have_versions_behind_one_alias_and_the_last_two_stay(
    session: Session, index: ElasticIndex
) -> None:
    fill(session)
    for _ in range(4):
        index.reindex(session)
    alias = f"{index._settings.prefix}_products"
    (current,) = index._client.indices.get_alias(name=alias).body
    held = sorted(index._client.indices.get(index=f"{alias}-v*").body)
    assert len(held) == 2
    assert held[-1] == current
    assert not index._client.indices.exists_alias(name=f"{alias}_next")


def test_an_old_reading_never_replaces_a_newer_one(session: Session, index: ElasticIndex) -> None:
    lamp = fill(session).products["Desk lamp"]
    index.reindex(session)
    (old,) = module._PRODUCTS.read(session, [lamp])
    session.execute(update(Product).where(Product.id == lamp).values(name="Lantern"))
    index.index_products(session, [lamp])
    (target,) = index._targets(module._PRODUCTS)
    assert module._PRODUCTS.write(index._client, target, [old], [], 0, language="english", refresh=True) == []
    found = index.search_products(session, ProductQuery(words=("lantern",)))
    assert [hit.product_id for hit in found.hits] == [lamp]


def test_documents_that_nobody_sells_are_found_and_repaired(session: Session, index: ElasticIndex) -> None:
    lamp = fill(session).products["Desk lamp"]
    index.reindex(session)
    (row,) = module._PRODUCTS.read(session, [lamp])
    (target,) = index._targets(module._PRODUCTS)
    strangers = [{**row, "product_id": number} for number in (lamp + 1000, lamp + 2000)]
    assert (
        module._PRODUCTS.write(index._client, target, strangers, [], 0, language="english", refresh=True)
        == []
    )
    told = index.verify(session, repair=True)["products"]
    assert (told.checked, told.superfluous, told.missing, told.stale) == (9, 2, 0, 0)
    assert told.examples == (lamp + 1000, lamp + 2000)
    assert index.verify(session)["products"].total == 0
    assert index.search_products(session, ProductQuery()).total == 7


def test_documents_that_are_refused_are_named_and_the_others_are_in(
    session: Session, elastic_clients: Clients, monkeypatch: pytest.MonkeyPatch
) -> None:
    # noida-db takes anything: only the stricter one can refuse
    index = ElasticIndex(elastic_clients.of("osmem-server"), SearchSettings(prefix="refused"))
    lamp = fill(session).products["Desk lamp"]

    def spoilt(row: Mapping[Any, Any], language: str) -> dict[str, Any]:
        document = mappings.product_document(row, language)
        return document | {"price": "a lot"} if document["id"] == lamp else document

    monkeypatch.setattr(module, "_PRODUCTS", dataclasses.replace(module._PRODUCTS, document=spoilt))
    done = index.reindex(session)
    assert done.products == 6
    assert len(done.errors) == 1
    assert done.errors[0].startswith(f"products {lamp}: ")
    with pytest.raises(SearchDown, match=f"refused 1 documents: products {lamp}"):
        index.index_products(session, [lamp])


def test_no_index_and_no_server_are_search_down(session: Session, index: ElasticIndex) -> None:
    with pytest.raises(SearchDown, match="404"):
        index.search_products(session, ProductQuery())
    with pytest.raises(SearchDown, match="recsys search reindex"):
        index.index_products(session, [1])
    nowhere = elastic(SearchSettings(url="http://127.0.0.1:9", timeout_seconds=1))
    for call in (nowhere.ping, nowhere.verify, nowhere.reindex):
        with pytest.raises(SearchDown, match="does not answer"):
            call(session)


@pytest.fixture
def listener() -> Iterator[tuple[str, list[str | None]]]:
    """A server that notes how requests log in."""
    seen: list[str | None] = []

    class Noting(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            seen.append(self.headers["Authorization"])
            body = b"{}"
            self.send_response(200)
            self.send_header("X-Elastic-Product", "Elasticsearch")
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *args: object) -> None:
            """Nothing to stderr."""

    server = HTTPServer(("127.0.0.1", 0), Noting)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}", seen
    server.shutdown()
    thread.join()
    server.server_close()


def test_the_url_chooses_and_the_log_in_is_sent(
    session: Session, listener: tuple[str, list[str | None]]
) -> None:
    url, seen = listener
    assert isinstance(chosen(Settings(search=SearchSettings())), PostgresIndex)
    for settings in (
        SearchSettings(url=url, api_key=SecretStr("a2V5")),
        SearchSettings(url=url, user="ada", password=SecretStr("secret")),
    ):
        index = chosen(Settings(search=settings))
        assert isinstance(index, ElasticIndex)
        index.ping(session)
        index._client.close()
    assert seen == ["ApiKey a2V5", "Basic YWRhOnNlY3JldA=="]
    elastic.cache_clear()


def test_certificates_are_checked_unless_told_otherwise(tmp_path: Path) -> None:
    strict = elastic(SearchSettings(url="https://localhost:9200"))
    lax = elastic(SearchSettings(url="https://localhost:9200", verify_certs=False))
    checked = [next(iter(one._client.transport.node_pool.all())).config.verify_certs for one in (strict, lax)]
    assert checked == [True, False]
    for one in (strict, lax):
        one._client.close()
    elastic.cache_clear()


@pytest.mark.parametrize(
    "wrong",
    [
        {"url": "localhost:9200"},
        {"url": "http://x", "user": "ada"},
        {"url": "http://x", "api_key": "a", "user": "ada", "password": "b"},
        {"prefix": "Has Spaces"},
        {"language": "klingon"},
    ],
)
def test_settings_that_make_no_sense_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        SearchSettings(**wrong)
