"""The shop's own vectors on their way from the table into a snapshot and back from its file."""

from __future__ import annotations

import numpy as np
import psycopg
import pytest

from features.build import embedding_reader
from features.build.builder import as_microseconds, build
from features.build.snapshots import load
from recsys.database.addresses import libpq_url
from recsys.errors import Invalid
from tests.support.database_rows import DAY, NOON, Event, Rows
from tests.support.shop import Shop


@pytest.fixture
def rows(shop: Shop) -> Rows:
    found = Rows(shop.database_url)
    found.users(1)
    for product in (10, 11, 12, 13):
        found.product(product, f"Thing {product}", created_at=NOON - 9 * DAY)
    found.events(Event(1, 10, "purchase", NOON), Event(1, 99, "view", NOON - 5 * DAY))
    return found


def store(shop: Shop, vectors: dict[int, list[float]]) -> None:
    with psycopg.connect(libpq_url(shop.settings)) as connection:
        connection.execute("DELETE FROM products_db.product_embeddings")
        for product, vector in vectors.items():
            connection.execute(
                "INSERT INTO products_db.product_embeddings VALUES (%s, %s)",
                (product, np.array(vector, dtype="<f4").tobytes()),
            )


def test_vectors_are_unit_rows_of_their_products(
    shop: Shop, rows: Rows, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(embedding_reader, "_ROWS", 2)
    store(shop, {13: [0, 0, 0], 10: [3, 0, -4], 11: [0, 3e38, 0], 12: [1, 2]})
    dataset = build(shop.settings)
    assert dataset.items.ids.tolist() == [10, 11, 12, 13, 99]
    expected = np.zeros((5, 3))
    expected[0], expected[1] = (0.6, 0, -0.8), (0, 1, 0)
    found = dataset.item_features.embeddings
    assert found.dtype == np.float16
    np.testing.assert_allclose(found, expected, atol=1e-3)
    file = next(shop.settings.var.glob("datasets/*/embeddings.npy"))
    assert np.lib.format.open_memmap(file, mode="r").shape == (5, 3)
    loaded = load(shop.settings, dataset.fingerprint).item_features
    np.testing.assert_array_equal(loaded.embeddings, found)
    earlier = dataset.until(as_microseconds(NOON - DAY))
    np.testing.assert_array_equal(earlier.item_features.embeddings, found)


def test_without_vectors_a_snapshot_is_what_it_was(shop: Shop, rows: Rows) -> None:
    plain = build(shop.settings)
    assert plain.item_features.embeddings.shape == (5, 0)
    assert not list(shop.settings.var.glob("datasets/*/embeddings.npy"))
    store(shop, {13: [0, 0]})
    assert build(shop.settings).fingerprint == plain.fingerprint
    store(shop, {13: [0, 1]})
    described = build(shop.settings)
    assert described.fingerprint != plain.fingerprint
    store(shop, {13: [1, 0]})
    assert build(shop.settings).fingerprint != described.fingerprint
    store(shop, {})
    assert build(shop.settings).fingerprint == plain.fingerprint


def test_a_damaged_file_of_vectors_is_found(shop: Shop, rows: Rows) -> None:
    store(shop, {10: [3, 0, -4]})
    dataset = build(shop.settings)
    file = next(shop.settings.var.glob("datasets/*/embeddings.npy"))
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)
    with pytest.raises(Invalid, match="embeddings"):
        load(shop.settings, dataset.fingerprint)
