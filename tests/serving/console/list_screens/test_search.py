"""The screen of search: the parts of the scores, the report, and synonyms."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest

from recsys import clock
from recsys.database.session import unit_of_work
from recsys.search.backends.factory import chosen
from recsys.search.synonyms import service as synonyms
from recsys.search.tables import SearchClick, SearchCount
from serving.server.app import create_app
from tests.serving.console.conftest import LogIn, content
from tests.serving.running import running
from tests.support.shop import Shop
from tests.support.web.pages import send_form


@pytest.fixture
def searchable(searchable_shop: Shop) -> Iterator[httpx.Client]:
    """The application of a shop whose products can be searched."""
    with running(create_app()) as client:
        yield client


def test_the_screen_finds_what_the_shop_finds_and_the_parts_add_up(searchable: httpx.Client) -> None:
    for user in ("", "5"):
        page = content(searchable, "/console/search", q="coffee", user=user)
        assert page["total"] == 60
        worths = [match["worth"] for match in page["matches"]]
        assert worths == sorted(worths, reverse=True)
        for match in page["matches"]:
            parts = {part["label"]: part["value"] for part in match["parts"]}
            assert sum(parts.values()) == pytest.approx(match["worth"])
            assert (parts["taste of the person"] > 1e-9) <= (user == "5")
        if not user:
            served = searchable.get("/api/v1/search/products", params={"q": "coffee", "limit": 12}).json()
            assert [match["product_id"] for match in page["matches"]] == [
                item["id"] for item in served["items"]
            ]
    assert content(searchable, "/console/search", q="cofee")["total"] == 60
    assert content(searchable, "/console/search", q="coffee nonsense")["any_word"] is True
    assert "No person has" in content(searchable, "/console/search", q="x", user="no-such")["problem"]


def test_the_report_counts_queries_and_clicks(client: httpx.Client, scored_shop: Shop) -> None:
    today = clock.now().date()
    with unit_of_work() as session:
        session.add(SearchCount(day=today, query="fridge", searches=7, empty=7))
        session.add(SearchCount(day=today, query="lamp", searches=9, empty=0))
        session.add(SearchClick(day=today, position=1, clicks=4))
        session.add(SearchClick(day=today, position=14, clicks=2))
    page = content(client, "/console/search")
    assert (page["searches"], page["empty"], page["clicks"]) == (16, 7, 6)
    assert [each["query"] for each in page["without_results"]] == ["fridge"]
    assert [each["query"] for each in page["frequent"]] == ["lamp", "fridge"]
    assert [(each["place"], each["share"]) for each in page["clicks_by_place"]] == [
        ("1", 1.0),
        ("after 10", 0.5),
    ]


def test_synonyms_are_made_used_changed_and_deleted(searchable: httpx.Client) -> None:
    assert content(searchable, "/console/search", q="espresso")["total"] == 0
    made = send_form(
        searchable, "/console/search/synonyms", {"phrases": "espresso, coffee"}, page="/console/search"
    )
    assert made.status_code == 303, made.text
    synonyms.forget()
    page = content(searchable, "/console/search", q="espresso")
    assert (page["total"], page["synonyms_used"]) == (60, ["espresso, coffee"])
    (group,) = page["groups"]
    path = f"/console/search/synonyms/{group['id']}"
    changed = {"phrases": "espresso, lamp", "version": group["version"]}
    assert send_form(searchable, path, changed, page="/console/search").status_code == 303
    assert send_form(searchable, path, changed, page="/console/search").status_code == 409
    assert send_form(searchable, f"{path}/delete", {"version": 2}, page="/console/search").status_code == 303
    assert content(searchable, "/console/search")["groups"] == []
    wrong = send_form(searchable, "/console/search/synonyms", {"phrases": "alone"}, page="/console/search")
    assert wrong.status_code == 422


def test_a_viewer_changes_no_synonyms(staff: Shop, log_in: LogIn) -> None:
    viewer = log_in("viewer")
    assert "needs the role merchandiser" in viewer.get("/console/search").text
    assert send_form(viewer, "/console/search/synonyms", {"phrases": "a, b"}).status_code == 403
    assert chosen().name == "postgresql"
