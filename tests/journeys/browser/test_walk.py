"""From a shop's own exports and one line of HTML to personal recommendations on its page, step by step.

Prints how long each step took: `python -m pytest -n0 -s tests/journeys/browser/test_walk.py`.
"""

from __future__ import annotations

import csv
import json
import resource
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

import httpx
import numpy as np
import pytest
from playwright.sync_api import Browser

from tests.journeys.browser.guide import (
    BLOCKS,
    EXPORTS,
    SHELL,
    SNIPPETS,
    free_port,
    run_snippet,
    shell,
    wait_for_commands,
    wait_for_port,
    write_pages,
)
from tests.journeys.browser.pages import opened
from tests.support.shop import Shop
from tests.support.web.browser import CHROMIUM, NO_BROWSER
from tests.support.web.pages import chromium

LINES, CUSTOMERS, PRODUCTS = 20_000, 600, 120
EVENTS = ("view_item", "add_to_cart", "purchase", "page_view")
HEADER = (
    "Handle,Title,Body (HTML),Vendor,Product Category,Type,Tags,Published,Option1 Name,Option1 Value,"
    "Variant SKU,Variant Inventory Qty,Variant Price,Image Src,Image Position,Status"
)
STEPS = {
    "servers and tables": "\n".join(SHELL[0].splitlines()[:2]),
    "import the exports": EXPORTS,
    "train, score, index for search": SHELL[1],
    "publishable key and line of HTML": SHELL[2],
    "start the API": SHELL[3],
    "serve the page": SHELL[4],
    "signing secret": SHELL[5],
}
assert STEPS["servers and tables"] == "recsys up\nrecsys migrate"


def _sku(product: int, variant: int) -> str:
    return f"KT-{product:03d}/{'SL'[variant]}"


def _write_products(file: Path) -> None:
    """A Shopify export: two variants a product, one more line for a second picture."""
    with file.open("w", newline="", encoding="utf-8") as opened_file:
        rows = csv.DictWriter(opened_file, HEADER.split(","))
        rows.writeheader()
        for product in range(PRODUCTS):
            handle, picture = f"kettle-{product}", f"https://images.example/{product}"
            for variant in range(2):
                row = {
                    "Handle": handle,
                    "Option1 Value": ("Small", "Large")[variant],
                    "Variant SKU": _sku(product, variant),
                    "Variant Inventory Qty": "20",
                    "Variant Price": f"{10 + product}.50",
                }
                if variant == 0:
                    row |= {
                        "Title": f"Kettle {product}",
                        "Body (HTML)": "<p>Enamel,\nwhistling</p>",
                        "Vendor": ("Nordisk", "Sol")[product % 2],
                        "Type": "Kettles",
                        "Tags": "kitchen, tea",
                        "Published": "true",
                        "Option1 Name": "Size",
                        "Image Src": f"{picture}-a.jpg",
                        "Image Position": "1",
                        "Status": "active",
                    }
                rows.writerow(row)
            rows.writerow({"Handle": handle, "Image Src": f"{picture}-b.jpg", "Image Position": "2"})


def _write_events(file: Path) -> None:
    """Events as GA4 exports them to BigQuery; customers of two tastes, so that their lists differ."""
    chance = np.random.default_rng(17)
    start = datetime(2026, 1, 1, tzinfo=UTC).timestamp()
    moments = np.sort(chance.integers(0, 90 * 86_400_000_000, LINES)) + int(start * 1e6)
    kinds = chance.choice(len(EVENTS), LINES, p=(0.55, 0.15, 0.15, 0.15))
    with file.open("w", encoding="utf-8") as opened_file:
        for moment, kind in zip(moments.tolist(), kinds.tolist(), strict=True):
            customer = int(chance.integers(CUSTOMERS))
            # products of one parity, the low numbers more often
            product = int(PRODUCTS / 2 * chance.random() ** 2) * 2 + customer % 2
            item = {"item_id": _sku(product, int(chance.integers(2))), "item_name": f"Kettle {product}"}
            event = {
                "event_date": f"{datetime.fromtimestamp(moment / 1e6, UTC):%Y%m%d}",
                "event_timestamp": str(moment),
                "event_name": EVENTS[kind],
                "user_id": f"cust{customer}",
                "user_pseudo_id": f"{customer}.{moment}",
                "items": [] if EVENTS[kind] == "page_view" else [{**item, "quantity": 1}],
            }
            if EVENTS[kind] == "purchase":
                event["ecommerce"] = {"transaction_id": f"T-{moment}"}
            opened_file.write(json.dumps(event) + "\n")


@pytest.mark.skipif(CHROMIUM is None, reason=NO_BROWSER)
def test_exports_and_one_line_of_html_lead_to_personal_recommendations(
    shop: Shop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "shop"
    folder.mkdir()
    _write_products(folder / "shopify.csv")
    _write_events(folder / "ga4.jsonl")
    site, api = free_port(), free_port()
    monkeypatch.setenv("RECSYS_VAR", str(shop.var))
    with (
        shell(folder, list(STEPS.values()), {"8080": str(site), "8000": str(api)}) as process,
        chromium() as browser,
    ):
        wait_for_commands(folder, process)
        write_pages(folder, api)
        (python,) = (code for language, code in BLOCKS if language == "python")
        lists: dict[str, list[str]] = {}
        began = time.time()
        wait_for_port(site)
        _wait_until_ready(f"http://127.0.0.1:{api}/health/ready")
        for customer in ("cust10", "cust11"):
            token = run_snippet("python", python.replace("cust1000", customer), folder)
            (folder / "recsys-token").write_text(token)
            path = f"http://127.0.0.1:{api}/api/v1/users/username:{customer}/recommendations?limit=4"
            lists[customer] = [item["name"] for item in httpx.get(path).json()["items"]]
            _see_on_the_page(browser, folder, f"http://127.0.0.1:{site}", customer, lists[customer])
        ended = time.time()
    # each taste has its own products
    assert [{int(name.split()[1]) % 2 for name in names} for names in lists.values()] == [{0}, {1}]
    moments = [float(line) for line in (folder / "steps.txt").read_text().split()]
    seconds = dict(zip(STEPS, np.diff(moments).tolist(), strict=True))
    seconds["open the pages of two users, until their lists are there"] = ended - began
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    with capsys.disabled():
        lines = [f"{number:7.1f} s  {step}" for step, number in seconds.items()]
        lines += [
            f"{sum(seconds.values()):7.1f} s  all",
            f"{used.ru_utime + used.ru_stime:7.1f} s  of one processor, the browser included",
        ]
        sys.stdout.write("\n" + "\n".join(lines) + "\n")


def _wait_until_ready(address: str) -> None:
    for _ in range(400):
        try:
            if httpx.get(address).status_code == 200:
                return
        except httpx.TransportError:
            pass
        time.sleep(0.1)
    raise AssertionError(f"{address} does not answer 200")


def _see_on_the_page(browser: Browser, folder: Path, origin: str, customer: str, names: list[str]) -> None:
    """Open the guide's page with the guide's line for a user who is logged in; wait for the user's list."""
    (line,) = (snippet for snippet in SNIPPETS if "recsys.user(" in snippet)
    page_of_user = (folder / "index.html").read_text(encoding="utf-8") + line
    (folder / f"{customer}.html").write_text(page_of_user, encoding="utf-8")
    shown = opened(browser)
    shown.page.goto(f"{origin}/{customer}.html")
    # the list of a guest gives way to that of the user
    shown.page.wait_for_function(
        "(names) => JSON.stringify([...document.querySelector('recsys-list').shadowRoot"
        ".querySelectorAll('[part=item] [part=name]')].map((name) => name.textContent)) === names",
        arg=json.dumps(names, separators=(",", ":")),
    )
    assert shown.errors == []
    shown.page.context.close()
