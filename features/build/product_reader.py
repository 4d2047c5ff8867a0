"""Reads the catalogue: names, texts, category paths, brands, prices."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
from psycopg import sql

from features.build.column_reader import NO_ID, Column, Snapshot
from features.build.embedding_reader import ProductEmbeddings, read_embeddings
from features.build.variant_attributes import OPTIONS, options_of
from features.ids import IdMap
from features.tables import ItemFeatures, Words

__all__ = [
    "ProductColumns",
    "Taxonomy",
    "category_paths",
    "item_features",
    "read_catalogue",
    "read_taxonomies",
]

SEPARATOR = " > "
NONE = -1
TAG_END = "\x1f"

_PRODUCTS = {
    "id": Column("id", "int4"),
    "category": Column(f"coalesce(category_id, {NO_ID})", "int4"),
    "brand": Column(f"coalesce(brand_id, {NO_ID})", "int4"),
    "price": Column("price::float4", "float4"),
    "created": Column("coalesce(created_at, '-infinity')", "timestamptz"),
    "active": Column("(coalesce(status, 'active') = 'active')::int::int2", "int2"),
    "counted": Column("(track_inventory IS NOT FALSE)::int::int2", "int2"),
    "tags": Column("coalesce(array_to_string(tags, chr(31)), '')", "text"),
    "name": Column("name", "text"),
    "text": Column(
        "concat_ws(' ', name, array_to_string(tags, ' '), short_description, description)", "text"
    ),
}
_CATEGORIES = {
    "id": Column("id", "int4"),
    "parent": Column(f"coalesce(parent_id, {NO_ID})", "int4"),
    "name": Column("name", "text"),
    "slug": Column("slug", "text"),
}
_BRANDS = {"id": Column("id", "int4"), "name": Column("name", "text"), "slug": Column("slug", "text")}
_VARIANTS = {
    "product": Column("product_id", "int4"),
    "id": Column("id", "int4"),
    # zero stock that sells all the same is endless
    "stock": Column(
        "CASE WHEN inventory_tracking IS FALSE OR inventory_policy = 'continue' THEN 'Infinity' "
        "ELSE greatest(coalesce(inventory_quantity, 0), 0)::float4 END",
        "float4",
    ),
    **{f"option{i + 1}": Column(f"coalesce(option{i + 1}, '')", "text") for i in range(OPTIONS)},
}


@dataclass(frozen=True, eq=False)
class Taxonomy:
    """Words in alphabetical order (a word's code is its place), and the code of each id and of each spelling.

    Attributes
    ----------
    words
    by_id
        Id of the row → code.
    by_spelling
        Name, slug or path in lower case → code.
    """

    words: list[str]
    by_id: Mapping[int, int]
    by_spelling: Mapping[str, int]

    @classmethod
    def of(cls, words: Mapping[int, str], spellings: Mapping[int, tuple[str, ...]]) -> Taxonomy:
        """From the word of each id and the other ways to write it."""
        ordered = sorted(set(words.values()))
        code = {word: i for i, word in enumerate(ordered)}
        by_id = {row: code[word] for row, word in words.items()}
        by_spelling: dict[str, int] = {}
        for row in sorted(spellings, key=lambda row: words[row]):
            for spelling in spellings[row]:
                by_spelling.setdefault(spelling.casefold(), by_id[row])
        by_spelling |= {word.casefold(): code[word] for word in reversed(ordered)}
        return cls(ordered, by_id, by_spelling)

    def codes(self, ids: npt.NDArray[np.int32]) -> npt.NDArray[np.int32]:
        """The code of each row's id, int32, NONE where there is no such row."""
        known, inverse = np.unique(ids, return_inverse=True)
        return np.array([self.by_id.get(int(i), NONE) for i in known], dtype=np.int32)[inverse]


@dataclass(frozen=True, eq=False)
class ProductColumns:
    """The products in the order of their ids, with the taxonomies that their codes refer to.

    Attributes
    ----------
    columns
        Of the products, by name.
    categories, brands
        The taxonomies.
    variants
        Product, stock and option1..3 of each variant, by id; without them stock, colours and sizes are
        unknown.
    embeddings
        The shop's own vectors.
    """

    columns: Mapping[str, Any]
    categories: Taxonomy
    brands: Taxonomy
    variants: Mapping[str, Any] = field(default_factory=dict)
    embeddings: ProductEmbeddings = field(default_factory=ProductEmbeddings.none)


def category_paths(names: Mapping[int, str], parents: Mapping[int, int]) -> dict[int, str]:
    """ "Department > Category" of each id. A tree that bites its tail is followed once around."""
    paths: dict[int, str] = {}
    for start in names:
        walked: list[int] = []
        at = start
        while at in names and at not in walked:
            walked.append(at)
            at = parents.get(at, NO_ID)
        paths[start] = SEPARATOR.join(names[i] for i in reversed(walked))
    return paths


def read_catalogue(snapshot: Snapshot, progress: Callable[[int, int], None] | None = None) -> ProductColumns:
    """The whole catalogue, whatever its products' age."""
    products = _gather(snapshot, "products", _PRODUCTS, progress)
    ordered = _sorted(products)
    variants = _gather(snapshot, "product_variants", _VARIANTS, where=sql.SQL("product_id IS NOT NULL"))
    taxonomies = read_taxonomies(snapshot)
    return ProductColumns(ordered, *taxonomies, _sorted(variants), read_embeddings(snapshot))


def read_taxonomies(snapshot: Snapshot) -> tuple[Taxonomy, Taxonomy]:
    """The categories (by their paths) and the brands."""
    categories = _gather(snapshot, "categories", _CATEGORIES)
    ids = [int(i) for i in categories["id"]]
    names = dict(zip(ids, categories["name"], strict=True))
    slugs = dict(zip(ids, categories["slug"], strict=True))
    paths = category_paths(
        names, {i: int(parent) for i, parent in zip(ids, categories["parent"], strict=True)}
    )
    brands = _gather(snapshot, "brands", _BRANDS)
    brand_names = {int(i): name for i, name in zip(brands["id"], brands["name"], strict=True)}
    brand_slugs = {int(i): slug for i, slug in zip(brands["id"], brands["slug"], strict=True)}
    return (
        Taxonomy.of(paths, {i: (names[i], slugs[i]) for i in ids}),
        Taxonomy.of(brand_names, {i: (slug,) for i, slug in brand_slugs.items()}),
    )


def item_features(
    catalogue: ProductColumns, items: IdMap, first_event: npt.NDArray[np.int64]
) -> ItemFeatures:
    """The features of `items`, in their order; a product outside the catalogue has no words and is not shown.

    Parameters
    ----------
    first_event : int64, shape (items,)
        When each was first touched, microseconds since 1970-01-01 UTC; that is when an unlisted product came
        to be.
    """
    columns = catalogue.columns
    rows = IdMap(columns["id"]).index(items.ids)
    listed = rows >= 0
    codes = {
        "category": catalogue.categories.codes(columns["category"]),
        "brand": catalogue.brands.codes(columns["brand"]),
    }
    category = _pick(codes["category"], rows, NONE)
    paths = catalogue.categories.words
    words = [path.replace(SEPARATOR, " ") for path in paths]
    names: list[str] = []
    texts: list[str] = []
    for row, product, code in zip(rows.tolist(), items.ids.tolist(), category.tolist(), strict=True):
        names.append(columns["name"][row] if row >= 0 else f"product {product}")
        text = columns["text"][row] if row >= 0 else ""
        texts.append(f"{text} {words[code]}" if code >= 0 else text)
    variants = catalogue.variants
    options = [variants[f"option{i + 1}"] for i in range(OPTIONS)] if variants else []
    colours, sizes = options_of(variants["product"] if variants else [], options, items)
    return ItemFeatures(
        names,
        texts,
        category,
        paths,
        _pick(codes["brand"], rows, NONE),
        catalogue.brands.words,
        _pick(columns["price"], rows, np.nan),
        np.where(listed, _pick(columns["created"], rows, 0), first_event),
        _pick(columns["active"], rows, 0).astype(bool),
        _stock(catalogue, items, rows),
        colours,
        sizes,
        _styles(catalogue, rows),
        catalogue.embeddings.of(items),
    )


def _stock(catalogue: ProductColumns, items: IdMap, rows: npt.NDArray[np.int64]) -> npt.NDArray[np.float32]:
    stock = np.full(len(items), np.nan, dtype=np.float32)
    if catalogue.variants:
        owner = items.index(catalogue.variants["product"])
        of_item = owner >= 0
        summed = np.bincount(
            owner[of_item], weights=catalogue.variants["stock"][of_item], minlength=len(items)
        )
        there = np.bincount(owner[of_item], minlength=len(items)) > 0
        stock[there] = summed[there]
    if "counted" in catalogue.columns:
        stock[(rows >= 0) & (_pick(catalogue.columns["counted"], rows, 1) == 0)] = np.inf
    return stock


def _styles(catalogue: ProductColumns, rows: npt.NDArray[np.int64]) -> Words:
    owners: list[int] = []
    words: list[str] = []
    tags = catalogue.columns.get("tags")
    if tags is not None:
        for item, row in enumerate(rows.tolist()):
            found = [" ".join(tag.split()).casefold() for tag in tags[row].split(TAG_END)] if row >= 0 else []
            kept = [tag for tag in found if tag]
            owners += [item] * len(kept)
            words += kept
    return Words.of(owners, words, rows.size)


def _sorted(columns: dict[str, Any]) -> dict[str, Any]:
    order = np.argsort(columns["id"])
    return {
        name: [values[i] for i in order] if isinstance(values, list) else values[order]
        for name, values in columns.items()
    }


def _pick(values: npt.NDArray[Any], rows: npt.NDArray[np.int64], missing: float) -> npt.NDArray[Any]:
    extended = np.append(values, np.array([missing], dtype=values.dtype))
    return np.asarray(extended[rows])  # row -1 takes the last entry


def _gather(
    snapshot: Snapshot,
    table: str,
    columns: dict[str, Column],
    progress: Callable[[int, int], None] | None = None,
    where: sql.Composable | None = None,
) -> dict[str, Any]:
    pieces: dict[str, list[Any]] = {name: [] for name in columns}
    for part in snapshot.read(sql.Identifier("products_db", table), columns, where=where, progress=progress):
        for name, piece in pieces.items():
            piece.append(part[name])
    return {
        name: [value for part in pieces[name] for value in part]
        if column.kind == "text"
        else np.concatenate(pieces[name])
        for name, column in columns.items()
    }
