"""The screen of data: refused rows, coverage, newest events, drift and repeat purchases."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import httpx
import pytest

from recsys import clock
from recsys.imports.files import import_files
from recsys.imports.history import recorded
from recsys.settings import get_settings
from tests.serving.api.answers import execute
from tests.serving.console.conftest import LogIn, content
from tests.support.guests import guest
from tests.support.shop import Shop
from tests.support.waiting import until

REFUSED = (
    "file,line,column,reason,row\n"
    'u.csv,3,user,no id,",x"\n'
    'u.csv,4,price,no number,"a,b"\n'
    "u.csv,9,user,no id,\n"
)
NAME = "20261129T101112123456-refused.csv"


def write_refused() -> None:
    folder = get_settings().var / "imports"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / NAME).write_text(REFUSED)
    (folder / "secret.csv").write_text("x")


def test_coverage_counts_what_active_products_lack(client: httpx.Client, scored_shop: Shop) -> None:
    execute(scored_shop, "UPDATE products_db.products SET price = 0 WHERE id IN (3, 4)")
    execute(scored_shop, "UPDATE products_db.products SET category_id = NULL WHERE id = 5")
    execute(scored_shop, "UPDATE products_db.products SET status = 'draft', price = 0 WHERE id = 6")
    execute(
        scored_shop,
        "INSERT INTO products_db.product_images (product_id, src) VALUES (1, '/a.png'), (2, '/b.png')",
    )
    page = content(client, "/console/data")
    missing = {each["name"]: each for each in page["missing"]}
    assert page["products"] == 119
    assert (missing["price"]["products"], missing["price"]["examples"][0][0]) == (2, 3)
    assert missing["category"]["products"] == 1
    assert missing["picture"]["products"] == 117
    assert missing["brand"]["products"] == 119


def test_refused_rows_are_counted_by_reason_and_downloaded(client: httpx.Client) -> None:
    assert content(client, "/console/data")["imports"] == []
    assert "Nothing was imported yet" in client.get("/console/data").text
    write_refused()
    (row,) = content(client, "/console/data")["imports"]
    assert (row["source"], row["refused"]) == (None, 3)
    file = row["refused_file"]
    assert (file["name"], file["rows"], file["is_cut"]) == (NAME, 3, False)
    assert file["reasons"] == [{"reason": "no id", "rows": 2}, {"reason": "no number", "rows": 1}]
    answer = client.get(f"/console/data/refused/{NAME}")
    assert (answer.text, answer.headers["cache-control"]) == (REFUSED, "no-store")
    assert "attachment" in answer.headers["content-disposition"]


def test_imports_are_listed_with_what_was_refused_and_why(
    client: httpx.Client, scored_shop: Shop, tmp_path: Path
) -> None:
    (tmp_path / "users.csv").write_text("user,email\nanna,anna@example.org\n,b@example.org\n")
    (tmp_path / "more.csv").write_text("user\ncarl\n")
    for name in ("users.csv", "more.csv"):
        refused = get_settings().var / "imports" / f"{clock.now():%Y%m%dT%H%M%S%f}-refused.csv"
        recorded("csv", partial(import_files, users=[tmp_path / name], create_missing=False,
                                refused_file=refused, progress=lambda *_: None))  # fmt: skip
    newer, older = content(client, "/console/data")["imports"]
    assert [(each["source"], each["state"], each["read"], each["stored"], each["refused"])
            for each in (newer, older)] == [("csv", "done", 1, 1, 0), ("csv", "done", 2, 1, 1)]  # fmt: skip
    assert newer["refused_file"] is None
    (reason,) = older["refused_file"]["reasons"]
    assert reason["rows"] == 1
    text = client.get("/console/data").text
    assert reason["reason"] in text
    assert f'href="/console/data/refused/{older["refused_file"]["name"]}"' in text


@pytest.mark.parametrize(
    "name", ["secret.csv", "..%2Fsecret.csv", "20200101T000000-refused.csv", "x-refused.csv"]
)
def test_no_other_file_is_downloaded(client: httpx.Client, name: str) -> None:
    write_refused()
    assert client.get(f"/console/data/refused/{name}").status_code in (404, 422)


def test_events_findings_and_repeats(client: httpx.Client, scored_shop: Shop) -> None:
    event = {"user_id": 3, "product_id": 44, "interaction_type": "view"}
    assert client.post("/api/v1/interactions", json=event).json()["stored"] == 1
    page = content(client, "/console/data")
    assert (page["events"][0]["user_id"], page["events"][0]["product_id"]) == (3, 44)
    assert {each["name"]: each["products"] for each in page["categories"]} == {
        "Coffee": 60,
        "Lamps": 30,
        "Chairs": 30,
    }
    assert page["repeating"] == 120
    until(lambda: content(client, "/console/data")["findings"] is not None, 60)
    parts = [each["part"] for each in content(client, "/console/data")["findings"]]
    assert "features" in parts


def test_only_administrators_download_what_may_be_personal(staff: Shop, log_in: LogIn) -> None:
    write_refused()
    operator = log_in("operator")
    assert "Download" not in operator.get("/console/data").text
    assert operator.get(f"/console/data/refused/{NAME}").status_code == 403
    assert log_in("administrator").get(f"/console/data/refused/{NAME}").status_code == 200


def test_refused_events_of_each_route_are_counted(client: httpx.Client) -> None:
    assert content(client, "/console/data")["refused_events"] == []
    event = {"product_id": 5, "user_id": 1, "interaction_type": "view"}
    answer = client.post("/api/v1/interactions", json=[event, event | {"interaction_type": "glance"}])
    assert (answer.json()["stored"], answer.json()["refused"]) == (1, 1)
    feedback = {"user_id": 1, "product_id": 5, "feedback_type": "smelled"}
    assert client.post("/api/v1/recommendations/feedback", json=feedback).status_code == 422
    visit = guest("visit-1") | {"User-Agent": "Mozilla/5.0 (X11)"}
    item = {"type": "page_view", "page_url": "/"}
    assert client.post("/api/v1/analytics/collect", json=item, headers=visit).status_code == 422
    rows = content(client, "/console/data")["refused_events"]
    assert {(row["kind"], row["events"]) for row in rows} == {
        ("interactions", 1),
        ("feedback", 1),
        ("analytics", 1),
    }
    assert "event_id: Field required" in {row["reason"] for row in rows}
    assert "Events that were refused" in client.get("/console/data").text
