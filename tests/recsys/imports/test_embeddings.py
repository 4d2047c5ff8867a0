"""The shop's own vectors: from the column `embedding` of each kind of file into `product_embeddings`."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recsys.imports.embeddings import packed, vectors
from recsys.imports.files import import_files
from recsys.imports.preview import preview_files
from recsys.imports.readers.mapping import chosen_mappings
from recsys.imports.readers.rows import PRODUCTS
from recsys.imports.readers.source import ReadOptions
from recsys.imports.report import ImportReport
from tests.recsys.imports.desk import Desk, counts

HEAD = "product,name,price,embedding"
FLOAT32 = st.floats(width=32, allow_nan=False, allow_infinity=False)


def stored(desk: Desk) -> dict[str, list[float]]:
    query = """SELECT p.sku, e.vector FROM products_db.product_embeddings e
        JOIN products_db.products p ON p.id = e.product_id ORDER BY p.sku"""
    return {sku: np.frombuffer(vector, "<f4").tolist() for sku, vector in desk.rows(query)}


def take(desk: Desk, path: Path, columns: list[str] | None = None) -> ImportReport:
    mappings = chosen_mappings(
        {"products": PRODUCTS.required + PRODUCTS.optional}, None, columns or [], [], None, None
    )
    return import_files(
        products=[path],
        create_missing=False,
        refused_file=desk.refused_file,
        progress=lambda *_: None,
        mappings=mappings,
    )


def test_lists_and_separated_numbers_are_read(desk: Desk) -> None:
    report = desk.take(
        products=f'{HEAD}\na,A,1,"[0.5, -1, 2e-1]"\nb,B,1,0.5 -1  0.25\nc,C,1,0.5; -1;0.25\nd,D,1,\n'
    )
    half = [0.5, -1.0, 0.25]
    assert stored(desk) == {"a": pytest.approx([0.5, -1.0, 0.2]), "b": half, "c": half}
    assert report.table("product_embeddings").added == 3


@pytest.mark.parametrize(
    ("cell", "reason"),
    [
        ("red", "is not numbers"),
        ('"0,1 0,2 0,3"', "is not numbers"),
        ('"[]"', "is not numbers"),
        ('"[[1, 2, 3]]"', "is not numbers"),
        ('"{""a"": 1}"', "is not numbers"),
        ("1 nan 3", "not finite"),
        ("1 1e39 3", "not finite"),
        ("1 2", "does not have 3 numbers as the first one of the file"),
        ("1 " * 4097, "has more than 4096 numbers"),
    ],
)
def test_a_row_with_a_wrong_vector_is_refused(desk: Desk, cell: str, reason: str) -> None:
    report = desk.take(products=f"{HEAD}\na,A,1,1 2 3\nb,B,1,{cell}\nc,C,1,4 5 6\n")
    assert counts(report, "products")[-1] == 1
    assert reason in str(report.refusals.counts)
    assert list(stored(desk)) == ["a", "c"]


def test_vectors_have_the_length_of_those_that_are_stored(desk: Desk) -> None:
    desk.take(products=f"{HEAD}\na,A,1,1 2 3\n")
    report = desk.take(products=f"{HEAD}\nb,B,1,1 2\nc,C,1,1 2 4\n")
    assert "does not have 3 numbers as those that are stored" in str(report.refusals.counts)
    assert list(stored(desk)) == ["a", "c"]


def test_a_vector_changes_stays_and_goes_with_an_empty_cell_or_its_product(desk: Desk) -> None:
    desk.take(products=f"{HEAD}\na,A,1,1 2 3\nb,B,1,1 2 3\n")
    again = desk.take(products=f"{HEAD}\na,A,1,1 2 3\nb,B,1,3 2 1\n")
    assert stored(desk) == {"a": [1, 2, 3], "b": [3, 2, 1]}
    table = again.table("product_embeddings")
    assert (table.added, table.updated) == (0, 1)
    desk.take(products="product,name,price\na,A,2\nb,B,2\n")
    assert list(stored(desk)) == ["a", "b"]
    desk.take(products=f"{HEAD}\na,A,1,\n")
    assert list(stored(desk)) == ["b"]
    desk.rows("DELETE FROM products_db.products WHERE sku = 'b' RETURNING id")
    assert stored(desk) == {}


def test_json_lines_parquet_and_other_columns_have_vectors(desk: Desk, tmp_path: Path) -> None:
    lines = [{"product": name, "name": name, "price": 1, "embedding": [0.5, 1, -2]} for name in ("a", "b")]
    take(desk, desk.write("products.jsonl", "\n".join(map(json.dumps, lines))))
    for name, dtype in (("c", pl.List(pl.Float64)), ("d", pl.Array(pl.Float32, 3))):
        path = tmp_path / f"{name}.parquet"
        vector = pl.Series([[0.5, 1.0, -2.0]], dtype=dtype)
        pl.DataFrame({"product": [name], "name": [name], "price": [1.0], "embedding": vector}).write_parquet(
            path
        )
        take(desk, path)
    take(desk, desk.write("other.csv", "product,name,price,clip\ne,E,1,0.5 1 -2\n"), ["clip=embedding"])
    assert stored(desk) == {name: [0.5, 1.0, -2.0] for name in "abcde"}


def test_a_dry_run_displays_vectors_in_short(desk: Desk) -> None:
    path = desk.write("products.csv", f"{HEAD}\na,A,1,{' '.join(['0.25'] * 300)}\nb,B,1,1 2\n")
    own = chosen_mappings({"products": PRODUCTS.required + PRODUCTS.optional}, None, [], [], None, None)
    (preview,) = preview_files([], [path], [], ReadOptions(), own, [])
    assert preview["first"][0]["embedding"] == "300 numbers: 0.25 0.25 0.25 …"
    assert preview["refused"]["by_reason"] == {
        "embedding does not have 300 numbers as the first one of the file": 1
    }


@given(st.integers(1, 5).flatmap(lambda n: st.lists(st.lists(FLOAT32, min_size=n, max_size=n), min_size=1)))
def test_what_is_written_is_read_to_the_bit(rows: list[list[float]]) -> None:
    for text in (json.dumps, lambda row: " ".join(map(repr, row)), lambda row: ";".join(map(repr, row))):
        found = packed(vectors(pl.Series([text(row) for row in rows], dtype=pl.String)))
        for row, value in zip(rows, found, strict=True):
            assert np.frombuffer(bytes.fromhex(value[2:]), "<f4").tolist() == row
