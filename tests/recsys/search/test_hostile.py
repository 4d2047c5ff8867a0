"""Nothing that anybody types breaks anything; the benchmark of search tries 20,000 of it."""

from __future__ import annotations

import os

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.journeys.conftest import Counter
from tests.recsys.search.hostile import SYNTAX, paths

EXAMPLES = int(os.environ.get("HOSTILE_SEARCHES", "120"))


def _stock(counter: Counter) -> None:
    for place, name in enumerate(("Desk lamp", "Tea pot", "Größe Zwölf", "Hot chocolate")):
        counter.product(name, slug=f"p{place}")
    counter.settle_events()


def test_no_search_is_answered_by_an_error_of_the_server(counter: Counter) -> None:
    _stock(counter)
    client, headers = counter.desk.client, counter.admin.headers
    statuses: dict[int, int] = {}

    @settings(
        max_examples=EXAMPLES,
        suppress_health_check=list(HealthCheck),
        database=None,
        derandomize=EXAMPLES < 1000,
    )
    @given(paths())
    def check(path: str) -> None:
        answer = client.get(path, headers=headers)
        assert answer.status_code < 500, (path, answer.text)
        if answer.status_code == 200:
            assert answer.json().get("degraded") is None, path
        statuses[answer.status_code] = statuses.get(answer.status_code, 0) + 1

    check()
    # if everything were refused, nothing would have been tried
    assert statuses[200] > EXAMPLES / 3
    assert set(statuses) <= {200, 404, 422}
    assert counter.one("SELECT count(*) FROM products_db.product_search") == 4


def test_syntax_is_searched_for_as_words(counter: Counter) -> None:
    _stock(counter)
    client = counter.desk.client
    for text in SYNTAX[:8]:
        if "lamp" not in text:
            continue
        answer = client.get("/api/v1/search/products", params={"q": text})
        # `lamp' & !tea | …` finds what has all these words, or else any of them: no operator was one
        assert {one["name"] for one in answer.json()["items"]} >= {"Desk lamp"}, text
    answer = client.get("/api/v1/search/products", params={"q": "!lamp"})
    assert [one["name"] for one in answer.json()["items"]] == ["Desk lamp"]


def test_clicks_may_hold_any_text(counter: Counter) -> None:
    _stock(counter)
    product = counter.one("SELECT min(id) FROM products_db.products")

    @settings(max_examples=30, suppress_health_check=list(HealthCheck), derandomize=True)
    @given(st.one_of(st.sampled_from(SYNTAX), st.text(max_size=250)))
    def check(text: str) -> None:
        body = {"search_id": "0d0c6b5c-0000-4000-8000-000000000000", "query": text, "product_id": product}
        try:
            answer = counter.desk.client.post("/api/v1/search/clicks", json=body)
        except UnicodeEncodeError:
            return  # the client itself can't send it
        assert answer.status_code in (204, 422), answer.text

    check()
    counter.settle_events()
    assert not counter.redis.exists("search_events:dead")
