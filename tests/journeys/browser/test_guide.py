"""The guide of integration: its files, commands and snippets as they stand, up to lists in a real browser."""

from __future__ import annotations

import csv
import json
import shutil
import time
from pathlib import Path

import numpy as np
import pytest

from recsys.database.session import unit_of_work
from recsys.domains.users.api_keys import service as api_keys
from recsys.web.access.signing import user_token_secrets
from recsys.web.access.user_tokens import read_user_token
from tests.journeys.browser.guide import (
    BLOCKS,
    FILES,
    ITEMS,
    PAGE,
    RUNNERS,
    SHELL,
    SNIPPETS,
    free_port,
    run_snippet,
    script_line,
    shell,
    wait_for_commands,
    wait_for_port,
    write_pages,
)
from tests.journeys.browser.pages import opened
from tests.support.shop import Shop
from tests.support.web.browser import CHROMIUM, NO_BROWSER
from tests.support.web.pages import chromium

CUSTOMERS, PRODUCTS = 60, 30


def _write_export(folder: Path) -> None:
    """The files of the guide, with more rows of the same form: nothing is learned from three."""
    chance = np.random.default_rng(5)
    for name in ("products.csv", "orders.csv"):
        (folder / name).write_text(FILES[name], encoding="utf-8")
    with (folder / "products.csv").open("a", newline="") as file:
        csv.writer(file).writerows(
            [f"P-{i}", f"Product {i}", f"{i}.50", f"https://images.example/{i}.jpg"] for i in range(PRODUCTS)
        )
    with (folder / "orders.csv").open("a", newline="") as file:
        rows = csv.writer(file)
        skus = ["TEA-100", "TEA-200", "MUG/BLUE", *(f"P-{i}" for i in range(PRODUCTS))]
        for customer in range(1000, 1000 + CUSTOMERS):
            # two tastes, so that lists differ
            half = skus[: len(skus) // 2] if customer % 2 else skus[len(skus) // 2 :]
            for day in sorted(chance.choice(90, 8, replace=False).tolist()):
                event = "order" if chance.random() < 0.6 else "click"
                moment = np.datetime64("2026-01-01T12:00:00") + np.timedelta64(day, "D")
                rows.writerow([f"cust{customer}", str(chance.choice(half)), event, f"{moment}Z"])


def test_the_guide_has_what_is_run() -> None:
    assert set(FILES) == {"products.csv", "orders.csv", "index.html", "product.html"}
    assert {language for language, _ in BLOCKS} == {"sh", "bash", "html", "python", "php", "js"}
    assert len(SHELL) == 6
    assert len(SNIPPETS) == 3
    assert PAGE.count("```") == 2 * (len(BLOCKS) + 2)


@pytest.mark.skipif(CHROMIUM is None, reason=NO_BROWSER)
def test_the_guide_leads_to_lists_on_a_page(
    shop: Shop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "shop"
    folder.mkdir()
    _write_export(folder)
    site, api = free_port(), free_port()
    monkeypatch.setenv("RECSYS_VAR", str(shop.var))
    with shell(folder, SHELL, {"8080": str(site), "8000": str(api)}) as process:
        wait_for_commands(folder, process)
        write_pages(folder, api)
        wait_for_port(api)
        wait_for_port(site)
        key = (folder / "page.key").read_text().strip()
        _browse(shop, folder, f"http://127.0.0.1:{site}", key, script_line(folder, api))


def _browse(shop: Shop, folder: Path, origin: str, key: str, line: str) -> None:
    with unit_of_work() as session:
        row = api_keys.publishable(session, key)
        secrets = user_token_secrets(row.prefix, row.signing_epoch)
    tokens = {
        language: run_snippet(language, code, folder)
        for language, code in BLOCKS
        if language in RUNNERS and shutil.which(RUNNERS[language][0])
    }
    assert {read_user_token(secrets, token) for token in tokens.values()} == {"cust1000"}
    assert "python" in tokens
    (folder / "recsys-token").write_text(tokens["python"])
    (folder / "snippets.html").write_text(
        f"<!doctype html><html lang=en><title>Snippets</title>{line}<body>{''.join(SNIPPETS)}"
        '<recsys-list placement="for_you" limit="4"></recsys-list>',
        encoding="utf-8",
    )
    with chromium() as browser:
        shown = opened(browser)
        page = shown.page
        page.goto(f"{origin}/index.html")
        page.wait_for_selector(ITEMS)
        assert page.locator(ITEMS).count() == 4
        assert (
            page.locator(f"{ITEMS} a").first.get_attribute("href").startswith(f"{origin}/product.html?sku=")
        )  # type: ignore[union-attr]
        page.get_by_role("combobox", name="Search the shop").fill("tea")
        page.get_by_role("option").filter(has_text="Green Tea").wait_for()
        page.goto(f"{origin}/product.html?sku=MUG%2FBLUE")
        page.wait_for_selector(ITEMS)
        page.get_by_role("button", name="Add to cart").click()
        page.goto(f"{origin}/snippets.html")
        page.wait_for_selector("recsys-list[placement=for_you][state=ready] li[part=item]")
        page.wait_for_selector("recsys-list[placement=popular] a.card[href] b")
        _arrive(
            shop,
            "SELECT i.interaction_type, p.sku, u.username FROM recommendations_db.user_interactions i "
            "JOIN products_db.products p ON p.id = i.product_id "
            "LEFT JOIN users_db.users u ON u.id = i.user_id "
            "WHERE i.session_id IS NOT NULL ORDER BY 1",
            [
                ("add_to_cart", "MUG/BLUE", "cust1000"),
                ("purchase", "MUG/BLUE", "cust1000"),
                ("view", "MUG/BLUE", "cust1000"),
            ],
        )
        assert shown.errors == []


def _arrive(shop: Shop, query: str, expected: list[tuple[str, ...]]) -> None:
    rows: list[tuple[str, ...]] = []
    for _ in range(150):
        with shop.connect() as connection:
            rows = connection.execute(query).fetchall()  # type: ignore[arg-type]
        if rows == expected:
            return
        time.sleep(0.2)
    raise AssertionError(json.dumps(rows, default=str))
