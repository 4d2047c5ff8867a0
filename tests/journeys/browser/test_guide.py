"""The guide of integration: its files, commands and snippets as they stand, up to lists in a real browser."""

from __future__ import annotations

import csv
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import psycopg
import pytest

from recsys.database.session import unit_of_work
from recsys.domains.users.api_keys import service as api_keys
from recsys.web.access.signing import user_token_secrets
from recsys.web.access.user_tokens import read_user_token
from tests.journeys.browser.pages import browser, opened
from tests.support.browser import CHROMIUM, NO_BROWSER
from tests.support.servers import ROOT
from tests.support.shop import Shop

PAGE = (ROOT / "docs/guides/integrate.md").read_text(encoding="utf-8")
FILES = dict(re.findall(r"^`([\w.]+)`:\n\n```(?:html)?\n(.*?)```$", PAGE, re.DOTALL | re.MULTILINE))
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE)
SHELL = [text for language, text in BLOCKS if language == "sh"]
SNIPPETS = [text for language, text in BLOCKS if language == "html" and text not in FILES.values()]
RUNNERS = {"python": [sys.executable], "js": ["node"], "php": ["php"]}
ITEMS = "recsys-list[state=ready] li[part=item]"
CUSTOMERS, PRODUCTS = 60, 30


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


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


@contextmanager
def _shell(folder: Path, variables: dict[str, str]) -> Iterator[subprocess.Popen[bytes]]:
    """All commands of the guide in one shell; what they leave in the background ends with it."""
    script = "set -eu\n" + "\n".join(SHELL) + "\ntouch done\nwait\n"
    for port, actual in variables.items():
        script = script.replace(port, actual)
    commands = folder / "bin"
    commands.mkdir()
    wrapper = commands / "recsys"
    wrapper.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m recsys "$@"\n')
    wrapper.chmod(0o755)
    environment = {
        **os.environ,
        "PATH": f"{commands}:{os.environ['PATH']}",
        "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]),
    }
    with (folder / "output.txt").open("wb") as output:
        process = subprocess.Popen(
            ["bash", "-c", script],
            cwd=folder,
            env=environment,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            yield process
        finally:
            os.killpg(process.pid, signal.SIGTERM)
            process.wait(timeout=30)


def _output(folder: Path) -> str:
    return (folder / "output.txt").read_text(encoding="utf-8", errors="replace")


def _run_snippet(language: str, code: str, folder: Path) -> str:
    file = folder / f"token.{'cjs' if language == 'js' else language}"
    file.write_text(code, encoding="utf-8")
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [*RUNNERS[language], str(file)],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    return done.stdout.strip()


def test_the_guide_has_what_is_run() -> None:
    assert set(FILES) == {"products.csv", "orders.csv", "index.html", "product.html"}
    assert {language for language, _ in BLOCKS} == {"sh", "html", "python", "php", "js"}
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
    site, api = _free_port(), _free_port()
    ports = {"8080": str(site), "8000": str(api)}
    monkeypatch.setenv("RECSYS_VAR", str(shop.var))
    with _shell(folder, ports) as process:
        for _ in range(1200):
            if (folder / "done").exists() or process.poll() is not None:
                break
            time.sleep(0.25)
        assert (folder / "done").exists(), _output(folder)
        key = (folder / "page.key").read_text().strip()
        line = f'<script type="module" src="http://127.0.0.1:{api}/recsys.js" data-key="{key}"></script>'
        assert line in _output(folder)
        for name in ("index.html", "product.html"):
            text = FILES[name].replace("8000", str(api)).replace("pk_…", key)
            # the guide shows what the command prints
            assert line in text
            (folder / name).write_text(text, encoding="utf-8")
        _wait_for(api)
        _wait_for(site)
        _browse(shop, folder, f"http://127.0.0.1:{site}", key, line)


def _wait_for(port: int) -> None:
    for _ in range(400):
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.25)
    raise AssertionError(f"nothing listens on {port}")


def _browse(shop: Shop, folder: Path, origin: str, key: str, line: str) -> None:
    with unit_of_work() as session:
        row = api_keys.publishable(session, key)
        secrets = user_token_secrets(row.prefix, row.signing_epoch)
    tokens = {
        language: _run_snippet(language, code, folder)
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
    with browser() as chromium:
        shown = opened(chromium)
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
        with psycopg.connect(shop.database_url) as connection:
            rows = connection.execute(query).fetchall()  # type: ignore[arg-type]
        if rows == expected:
            return
        time.sleep(0.2)
    raise AssertionError(json.dumps(rows, default=str))
