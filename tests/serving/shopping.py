"""A tiny shop with known people and products, and a real model fitted on it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np

from models.base import Recommender
from models.ranking.calibration import BuyingChances, Calibration
from models.registry import registry
from recsys.database.session import unit_of_work
from recsys.settings import get_settings
from tests.support.hosts.routed_connection import connected

PRODUCTS = 120
"""1-60 coffee (category 2, below food 1), 61-90 lamps (4, below home 3), 91-120 chairs (5, below home 3)."""
USERS = 30
"""1-10 buy coffee, 11-20 lamps, 21-30 chairs; 29 is inactive."""
START = datetime(2024, 1, 1, tzinfo=UTC)


def open_shop(database_url: str) -> None:
    """Fill the tables; the same shop each time."""
    chance = np.random.default_rng(7)
    with connected(database_url) as connection:
        cursor = connection.cursor()
        cursor.executemany(
            "INSERT INTO products_db.categories (id, name, slug, parent_id) VALUES (%s, %s, %s, %s)",
            [(1, "Food", "food", None), (2, "Coffee", "coffee", 1), (3, "Home", "home", None),
             (4, "Lamps", "lamps", 3), (5, "Chairs", "chairs", 3)],
        )  # fmt: skip
        cursor.executemany(
            "INSERT INTO products_db.products (id, name, slug, sku, price, category_id, created_at) "
            "VALUES (%s, %s, %s, %s, %s, %s, %s)",
            [
                (
                    i,
                    f"{_word(i)} “{i}”",
                    f"p{i}",
                    f"sku{i}",
                    i + 0.25,
                    _category(i),
                    START - timedelta(days=i),
                )
                for i in range(1, PRODUCTS + 1)
            ],
        )
        cursor.executemany(
            "INSERT INTO products_db.product_variants (product_id, sku, inventory_quantity) "
            "VALUES (%s, %s, 5)",
            [(i, f"v{i}") for i in range(1, PRODUCTS + 1)],
        )
        cursor.executemany(
            "INSERT INTO users_db.users (id, email, username, full_name, password_hash, is_active) "
            "VALUES (%s, %s, %s, %s, 'x', %s)",
            [(i, f"u{i}@example.org", f"u{i}", f"User {i}", i != 29) for i in range(1, USERS + 1)],
        )
        rows = []
        for user in range(1, USERS + 1):
            own = [(1, 60), (61, 90), (91, 120)][(user - 1) // 10]
            for product in chance.choice(np.arange(own[0], own[1] + 1), 15, replace=False).tolist():
                kind = "purchase" if product % 3 else "view"
                moment = START + timedelta(hours=float(chance.uniform(0, 24 * 60)))
                rows.append((user, product, kind, moment))
        cursor.executemany(
            "INSERT INTO recommendations_db.user_interactions "
            "(user_id, product_id, interaction_type, created_at) VALUES (%s, %s, %s, %s)",
            rows,
        )
        for table in ("products_db.categories", "products_db.products", "users_db.users"):
            cursor.execute(f"SELECT setval('{table}_id_seq', (SELECT max(id) FROM {table}))")  # noqa: S608


def fit(algorithm: str = "item_knn", **parameters: object) -> Recommender:
    """A real model of what the shop holds now, with a calibration."""
    from features.build.builder import build
    from models import factory

    model = factory.create(algorithm, parameters).fit(build(get_settings()))
    model.calibration_ = Calibration((-1.0, 0.0, 1.0, 1000.0), (0.0, 0.01, 0.4, 0.9))
    new = Calibration((-1.0, 0.0, 1.0, 1000.0), (0.0, 0.002, 0.1, 0.3))
    model.chances_ = BuyingChances(Calibration(model.calibration_.scores, (0.0, 0.005, 0.2, 0.7)), new, 28.0)
    return model


def promote(model: Recommender, name: str, version: int = 1) -> registry.RegisteredModel:
    """Save, register and activate."""
    checksum = model.save(registry.artifact_folder(name))
    with unit_of_work() as session:
        row = registry.Registration(
            name,
            version,
            model.kind.value,
            model.algorithm,
            checksum,
            model.dataset_fingerprint_,
            {},
            0.1,
            0.1,
            0.1,
            1,
        )
        registry.register(session, row)
        return registry.activate(session, name)


def _category(product: int) -> int:
    return 2 if product <= 60 else 4 if product <= 90 else 5


def _word(product: int) -> str:
    return "Coffee" if product <= 60 else "Lamp" if product <= 90 else "Chair"
