"""How many products of the demo's catalogue are found by their own name, SKU, and each word of the name.

Run it by `make bench`, or `python -m tests.performance.search.bench_search_names [--here] [--every 1]
[--sample N]`.

- By name: the product is on the first page, or more products than a page holds have that very name and they
  are at least half of the first page (the demo has up to a thousand products of one name).
- By SKU: it comes first.
- By word: the product is among all that the word finds.

Each search is one of the index as the shop asks it, without misspellings. PostgreSQL is asked for every
product. The look-alike of Elasticsearch takes seconds for a search of the whole catalogue, so it and a real
OpenSearch node get a sample, spread evenly over the catalogue; with RECSYS_SEARCH__URL and --here, the engine
at that address is asked for every product, too, and must be filled.

--here : the shop of this environment (RECSYS_VAR …), filled and reindexed; else a new one of the demo's data.
--every : only each so-many-th product, for a quick look.
--sample : so many products in each of the other engines; 0 for none.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from rich.console import Console
from sqlalchemy import text
from sqlalchemy.orm import Session

from recsys.database.session import unit_of_work
from recsys.search.analysis.analyser import name_token, normal, words_of
from recsys.search.backends.base import SearchIndex
from recsys.search.backends.elasticsearch import mappings
from recsys.search.backends.elasticsearch.clients import connect
from recsys.search.backends.elasticsearch.index import ElasticIndex, elastic
from recsys.search.backends.postgres.index import PostgresIndex
from recsys.search.queries import ProductQuery, SearchFilters, SearchResult
from recsys.settings import SearchSettings, get_settings
from tests.performance.search.bench_search import shop
from tests.recsys.search import compatible
from tests.recsys.search.backends.elasticsearch import opensearch_node
from tests.support.servers import ROOT

PAGE = 20
WINDOW = 10_000
"""Hits of one page at most in OpenSearch and Elasticsearch."""
PATIENCE_SECONDS = 60.0
_CATALOGUE = text("SELECT id, name, coalesce(sku, '') FROM products_db.products ORDER BY id")


@dataclass(frozen=True)
class Owned:
    """A product by what it should be found by."""

    id: int
    name: str
    sku: str


def catalogue(session: Session) -> list[Owned]:
    """Every product."""
    return [Owned(*row) for row in session.execute(_CATALOGUE)]


def find(session: Session, index: SearchIndex, typed: str, limit: int = PAGE) -> SearchResult:
    """What the index finds for it, whatever its status."""
    query = ProductQuery(words=words_of(typed), filters=SearchFilters(status=None), limit=limit, fuzzy=False)
    return index.search_products(session, query)


def every_match(session: Session, index: SearchIndex, word: str) -> set[int]:
    """The ids of all products that the word finds, page by page."""
    query = ProductQuery(words_of(word), filters=SearchFilters(status=None), limit=WINDOW, fuzzy=False)
    found: set[int] = set()
    while hits := index.search_products(session, query).hits:
        found |= {hit.product_id for hit in hits}
        if len(hits) < WINDOW:
            break
        query = replace(query, after=(hits[-1].key, hits[-1].product_id))
    return found


def by_name(
    session: Session, index: SearchIndex, products: Sequence[Owned], namesakes: Mapping[str, set[int]]
) -> list[Owned]:
    """Those that are not found by their whole names. `namesakes`: the ids of all products of a name, in
    whatever spelling (24 oz, 24.0 oz)."""
    same: dict[str, list[Owned]] = defaultdict(list)
    for one in products:
        same[normal(one.name)].append(one)
    missed = []
    for name, owners in same.items():
        if not name:
            missed += owners
            continue
        page = {hit.product_id for hit in find(session, index, name).hits}
        own = namesakes[name_token(words_of(name))]
        if len(own) > PAGE and len(page & own) >= PAGE / 2:
            continue
        missed += [one for one in owners if one.id not in page]
    return missed


def by_sku(session: Session, index: SearchIndex, products: Sequence[Owned]) -> list[Owned]:
    """Those that do not come first for their SKUs."""
    missed = []
    for one in products:
        hits = find(session, index, one.sku, 1).hits if one.sku else []
        if [hit.product_id for hit in hits] != [one.id]:
            missed.append(one)
    return missed


def by_word(session: Session, index: SearchIndex, products: Sequence[Owned]) -> list[tuple[str, Owned]]:
    """Words and those that are not found by them; what is no word (`-`, `&`) is not searched for."""
    having: dict[str, list[Owned]] = defaultdict(list)
    for one in products:
        for word in set(one.name.split()):
            if words_of(word):
                having[word].append(one)
    missed = []
    for word, owners in having.items():
        found = every_match(session, index, word)
        missed += [(word, one) for one in owners if one.id not in found]
    return missed


def measured(
    console: Console, session: Session, index: SearchIndex, every: Sequence[Owned], products: Sequence[Owned]
) -> bool:
    """Print the three shares of some products of an index of `every`; whether all of them are whole."""
    whole = True
    namesakes: dict[str, set[int]] = defaultdict(set)
    for one in every:
        namesakes[name_token(words_of(one.name))].add(one.id)
    words = sum(len({word for word in one.name.split() if words_of(word)}) for one in products)
    skus = [one for one in products if one.sku]
    for kind, of, search in (
        ("name", len(products), lambda: by_name(session, index, products, namesakes)),
        ("SKU", len(skus), lambda: by_sku(session, index, skus)),
        ("word", words, lambda: by_word(session, index, products)),
    ):
        begin = time.perf_counter()
        missed: Sequence[object] = search()
        share = 1 - len(missed) / max(1, of)
        spent = time.perf_counter() - begin
        verdict = "all" if not missed else f"MISSES {len(missed)}, such as {missed[0]}"
        console.print(f"{index.name:>14} by {kind:<4}: {share:8.3%} of {of} found ({verdict}); {spent:.0f} s")
        whole = whole and not missed
    return whole


def other_engines(console: Console, products: Sequence[Owned], sample: int) -> Iterator[bool]:
    """A sample of the catalogue in the look-alike of Elasticsearch, and in a real OpenSearch node."""
    step = max(1, len(products) // sample)
    sampled = products[::step][:sample]
    builds = ROOT / "var" / "opensearch"
    for engine in ("elasticsearch", "opensearch"):
        with tempfile.TemporaryDirectory() as data, unit_of_work() as session:
            folder = Path(data)
            running = (
                opensearch_node.running(folder, builds)
                if engine == "opensearch"
                else compatible.running(folder)
            )
            try:
                with running as url:
                    yield _in_engine(console, session, engine, url, sampled)
            except pytest.skip.Exception as reason:
                console.print(f"{engine:>14}: {reason}")


def _in_engine(console: Console, session: Session, engine: str, url: str, products: Sequence[Owned]) -> bool:
    values = {"url": url, "engine": engine, "prefix": "names", "timeout_seconds": PATIENCE_SECONDS}
    settings = SearchSettings.model_validate(values)
    client = connect(settings)
    index = ElasticIndex(client, settings)
    properties = mappings.PRODUCTS["properties"] | mappings.TOKENS
    body = {"mappings": {"properties": properties}, "aliases": {"names_products": {}}}
    client.api.indices.create(index="names_products-v1", body=body)
    index.index_products(session, [product.id for product in products])
    whole = measured(console, session, index, products, products)
    client.api.close()
    return whole


def main() -> None:
    """Measure every engine; exit code 1 when a product is not found."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--here", action="store_true")
    parser.add_argument("--every", type=int, default=1)
    parser.add_argument("--sample", type=int, default=300)
    options = parser.parse_args()
    console = Console(soft_wrap=True)
    with shop(options.here):
        settings = get_settings().search.model_copy(update={"timeout_seconds": PATIENCE_SECONDS})
        with unit_of_work() as session:
            every = catalogue(session)
            products = every[:: options.every]
            whole = [measured(console, session, PostgresIndex(settings), every, products)]
            if settings.url is not None:
                whole.append(measured(console, session, elastic(settings), every, products))
        if options.sample:
            whole += other_engines(console, products, options.sample)
    raise SystemExit(0 if all(whole) else 1)


if __name__ == "__main__":
    sys.path.insert(0, str(Path.cwd()))
    main()
