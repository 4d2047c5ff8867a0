"""What only Elasticsearch has: documented mappings, versions, aliases, refused documents, log-ins."""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import update
from sqlalchemy.orm import Session

from recsys.domains.products.tables import Product
from recsys.search.backends.base import SearchDown
from recsys.search.backends.elasticsearch import index as module
from recsys.search.backends.elasticsearch import mappings
from recsys.search.backends.elasticsearch.index import ElasticIndex, elastic
from recsys.search.queries import ProductQuery
from recsys.settings import SearchSettings
from tests.recsys.search.catalogue import fill
from tests.recsys.search.conftest import ENGINES, SearchEngines

DOCUMENTED = Path(__file__).resolve().parents[5] / "docs" / "spec" / "search_indices.md"


@pytest.fixture(params=ENGINES)
def index(request: pytest.FixtureRequest, search_engines: SearchEngines) -> ElasticIndex:
    return search_engines.index(request.param)


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
        rows = client.search(index=alias, body={"size": 100})["hits"]["hits"]
        assert rows
        assert all(set(row["_source"]) == fields for row in rows)
        # a field that nobody mapped would have been added by the server
        (held,) = client.indices.get_mapping(index=alias).values()
        assert set(held["mappings"]["properties"]) == fields


def test_indices_have_versions_behind_one_alias_and_the_last_two_stay(
    session: Session, index: ElasticIndex
) -> None:
    fill(session)
    for _ in range(4):
        index.reindex(session)
    alias = f"{index._settings.prefix}_products"
    (current,) = index._client.indices.get_alias(name=alias)
    held = sorted(index._client.indices.get(index=f"{alias}-v*"))
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
    differences = index.verify(session, repair=True)["products"]
    assert (differences.checked, differences.superfluous, differences.missing, differences.stale) == (
        9,
        2,
        0,
        0,
    )
    assert differences.examples == (lamp + 1000, lamp + 2000)
    assert index.verify(session)["products"].total == 0
    assert index.search_products(session, ProductQuery()).total == 7


# the look-alike takes anything
@pytest.mark.parametrize("index", ["opensearch"], indirect=True)
def test_documents_that_are_refused_are_named_and_the_others_are_in(
    session: Session, index: ElasticIndex, monkeypatch: pytest.MonkeyPatch
) -> None:
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
