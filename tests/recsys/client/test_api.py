"""The clients against the real API: lists, events counted once, keys and tokens, errors."""

from __future__ import annotations

import asyncio
import inspect
from datetime import UTC, datetime

import httpx
import pytest

from recsys.client import (
    AsyncRecsysClient,
    ClientError,
    ListFeedback,
    NoAnswer,
    ProblemAnswer,
    RecsysClient,
    RetryPolicy,
    ShopEvent,
)
from recsys.database.session import unit_of_work
from recsys.domains.users import sessions
from recsys.domains.users.api_keys import service as api_keys
from recsys.settings import get_settings
from recsys.web.access.guest_sessions import with_signature
from tests.recsys.client.conftest import QUICK, Start
from tests.support.shop import Shop


def stored(shop: Shop) -> int:
    with shop.connect() as connection:
        ((count,),) = connection.execute(
            "SELECT count(*) FROM recommendations_db.user_interactions WHERE context ? 'sent'"
        ).fetchall()
    return int(count)


def event(**others: object) -> ShopEvent:
    return ShopEvent(**{"type": "view", "product": 42, "user": 3, "context": {"sent": True}, **others})


def test_lists_are_those_of_the_api(address: str) -> None:
    with RecsysClient(address) as client:
        for ours, path in (
            (client.recommend(3, limit=4, explain=True), "/users/3/recommendations?limit=4&explain=true"),
            (client.similar(7, exclude=[8, 9]), "/products/7/similar?exclude=8&exclude=9"),
            (client.bought_together(7), "/products/7/bought-together"),
            (client.popular(category=2), "/products/popular?category=2"),
            (client.new(in_stock=True), "/products/new?in_stock=true"),
        ):
            body = httpx.get(f"{address}/api/v1{path}").json()
            assert [item.members for item in ours.items] == body["items"]
            assert ours.items[0].reason == body["items"][0]["reason"]["text"]
            assert ours.provenance.source == body["provenance"]["source"]
        first = client.recommend(3, limit=2)
        second = client.recommend(3, limit=2, cursor=first.next_cursor)
        assert not {item.product_id for item in first.items} & {item.product_id for item in second.items}
        guest = client.recommend(session_id=with_signature("a-visit"))
        assert guest.items
        lists = client.page({"user_id": 3, "shelves": [{"placement": "for_you"}, {"placement": "popular"}]})
        assert list(lists) == ["for_you", "popular"]
        assert lists["for_you"].provenance.request_id


def test_search_and_other_operations(address: str) -> None:
    with RecsysClient(address) as client:
        found = client.search("coffee", limit=3)
        assert found.search_id
        assert client.request("GET", "/health/live")["status"] == "live"
        assert client.request("POST", "/api/v1/search/clicks", json={"search_id": found.search_id,
                                                                     "product_id": 1}) is None  # fmt: skip


def test_the_shops_own_ids_name_products_and_users(address: str, scored_shop: Shop) -> None:
    odd = "A/1: 50% ü?#"
    with scored_shop.connect() as connection:
        connection.execute("UPDATE products_db.products SET sku = %s WHERE id = 8", (odd,))
    with RecsysClient(address) as client:
        assert client.recommend("u3", limit=3).items[0].sku is not None
        assert client.recommend("u3").items[0].members == client.recommend(3).items[0].members
        assert [item.sku for item in client.similar("sku7").items] == [
            item.sku for item in client.similar(7).items
        ]
        assert client.bought_together(odd).items
        lean = client.popular(fields="sku").items[0]
        assert (lean.name, lean.price) == (None, None)
        events = [
            event(product="sku42", user="u3"),
            event(product=odd, user=3),
            event(product="gone", user="u3"),
        ]
        report = client.send_events(events)
        assert [verdict.status for verdict in report.verdicts] == ["stored", "stored", "refused"]
        assert report.refused[0].reason == "sku: no such product"
        assert client.send_feedback([ListFeedback("clicked", "sku42", user="u3")]).count("stored") == 1
        with pytest.raises(ProblemAnswer, match="404"):
            client.similar("gone")
    assert stored(scored_shop) == 2


@pytest.mark.parametrize("silent", [False, True])
def test_an_event_whose_response_is_lost_counts_once(start: Start, scored_shop: Shop, silent: bool) -> None:
    with start(2, silent=silent) as (url, app):
        timeout = 1.0 if silent else 30.0
        with RecsysClient(url, retries=QUICK, timeout=timeout) as client:
            report = client.send_events([event(), event(user="u4")])
    assert len(app.requests) == 3
    assert [verdict.status for verdict in report.verdicts] == ["duplicate", "duplicate"]
    assert stored(scored_shop) == 2


def test_the_same_event_objects_sent_again_count_once(address: str, scored_shop: Shop) -> None:
    events = [event(), event(event_id="order-1"), event(event_id="order-1"), event(user=None, session_id="a")]
    with RecsysClient(address) as client:
        assert [client.send_events(events).count("stored") for _ in range(2)] == [3, 0]
    assert stored(scored_shop) == 3


def test_many_events_are_sent_in_parts_with_the_places_of_the_whole(address: str) -> None:
    events = [event(product=424242 if place in (1, 1001) else 42) for place in range(1002)]
    with RecsysClient(address, timeout=60) as client:
        report = client.send_events(events)
    assert [verdict.index for verdict in report.verdicts] == list(range(1002))
    assert [verdict.index for verdict in report.refused] == [1, 1001]
    assert report.count("stored") == 1000
    assert report.refused[0].reason == "product_id: no such product"


def test_events_that_are_all_refused_are_reported(address: str) -> None:
    with RecsysClient(address) as client:
        report = client.send_events([event(product=424242), event(user=424242), event(type="gaze")])
        assert client.send_events([]).verdicts == ()
    assert [verdict.status for verdict in report.verdicts] == ["refused"] * 3


def test_feedback_names_the_list_that_it_is_about(address: str) -> None:
    with RecsysClient(address) as client:
        shown = client.recommend(3)
        click = ListFeedback(
            "clicked", shown.items[0].product_id, request_id=shown.provenance.request_id, user=3
        )
        reports = [client.send_feedback([click]) for _ in range(2)]
    assert {verdict.status for report in reports for verdict in report.verdicts} <= {
        "stored",
        "queued",
        "duplicate",
    }


def test_keys_and_tokens_have_their_scopes(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with unit_of_work() as session:
        keys = {
            scope: api_keys.create(session, scope, [scope], by="tests").key
            for scope in ("recommend", "events")
        }
        token, _ = sessions.start(session, sessions.lock_user(session, 1), sessions.Device())
    monkeypatch.setenv("RECSYS_ENVIRONMENT", "production")
    get_settings.cache_clear()
    with RecsysClient(address) as nobody, pytest.raises(ProblemAnswer) as refusal:
        nobody.recommend(1)
    assert refusal.value.status == 401
    with RecsysClient(address, key=keys["recommend"]) as client:
        assert client.recommend(1).items
        with pytest.raises(ProblemAnswer, match="403"):
            client.send_events([event()])
        with pytest.raises(ProblemAnswer, match="403"):
            client.preview_rule({"name": "x", "kind": "hide", "target": {"product_ids": [1]}})
    with RecsysClient(address, key=keys["events"]) as client:
        assert client.send_events([event()]).count("stored") == 1
    with RecsysClient(address, user_token=token) as client:
        assert client.recommend(1).items
        with pytest.raises(ProblemAnswer, match="403"):
            client.recommend(2)
    with RecsysClient(address, key="rk_wrong") as client, pytest.raises(ProblemAnswer, match="401"):
        client.popular()


def test_a_problem_has_its_fields_and_names_the_request(address: str) -> None:
    with RecsysClient(address) as client:
        with pytest.raises(ProblemAnswer) as refusal:
            client.recommend(1, limit=1000)
        assert (refusal.value.status, refusal.value.errors[0]["field"]) == (422, "limit")
        assert refusal.value.request_id
        assert "less than or equal to 100" in str(refusal.value)
        with pytest.raises(ProblemAnswer, match="404"):
            client.similar(424242)
        with pytest.raises(ProblemAnswer, match="422"):
            client.recommend(1, limits=3)


def test_a_rule_is_previewed_and_not_stored(address: str) -> None:
    with RecsysClient(address) as client:
        first = client.recommend(3, limit=1).items[0].product_id
        token = {"name": "No", "kind": "hide", "target": {"product_ids": [first]}}
        with pytest.raises(ProblemAnswer, match="401"):
            client.preview_rule(token, user_id=3, limit=3)


def test_coroutines_get_the_same(start: Start, scored_shop: Shop) -> None:
    async def run(url: str) -> None:
        async with AsyncRecsysClient(url, retries=QUICK) as client:
            assert (await client.send_events([event()])).verdicts[0].status == "duplicate"
            lists = await asyncio.gather(*(client.recommend(user, limit=2) for user in (1, 2, 3)))
            assert [len(each.items) for each in lists] == [2, 2, 2]
            assert (await client.similar(7)).items
            assert (await client.bought_together(7)).items
            assert (await client.popular()).items
            assert (await client.new()).items
            assert (await client.search("coffee")).search_id
            assert (await client.request("GET", "/health/live"))["status"] == "live"
            assert list(await client.page({"shelves": [{"placement": "popular"}]})) == ["popular"]
            click = ListFeedback("clicked", 1, user=3)
            assert len((await client.send_feedback([click])).verdicts) == 1
            with pytest.raises(ProblemAnswer, match="401"):
                await client.preview_rule({})

    with start(1) as (url, _):
        asyncio.run(run(url))
    assert stored(scored_shop) == 1


def test_both_clients_have_the_same_methods() -> None:
    def methods(kind: type) -> dict[str, list[str]]:
        return {
            name: list(inspect.signature(member).parameters)
            for name, member in vars(kind).items()
            if inspect.isfunction(member) and not name.startswith("_")
        }

    assert methods(RecsysClient) == methods(AsyncRecsysClient)


@pytest.mark.parametrize("url", ["", "shop.example", "ftp://shop.example", "http://", "https://[::1"])
def test_an_address_that_is_none_is_refused_at_once(url: str) -> None:
    with pytest.raises(ValueError, match="address of the API"):
        RecsysClient(url)


@pytest.mark.parametrize("key", ["rk_abc\n", "schlüssel"])
def test_a_key_that_no_header_can_carry_is_refused_without_being_repeated(key: str) -> None:
    with pytest.raises(ValueError, match="no key has") as refusal:
        RecsysClient("http://127.0.0.1:9", key=key)
    assert key not in str(refusal.value)
    assert "rk_secret" not in repr(RecsysClient("http://127.0.0.1:9", key="rk_secret"))


def test_ids_and_times_that_mean_nothing_are_refused_at_once(address: str) -> None:
    with RecsysClient(address) as client:
        with pytest.raises(ValueError, match="empty"):
            client.similar("")
        for wrong in (True, 1.5, None):
            with pytest.raises((TypeError, ProblemAnswer)):
                client.similar(wrong)  # type: ignore[arg-type]
        with pytest.raises(ValueError, match="time zone"):
            client.send_events([event(created_at=datetime(2026, 1, 1))])  # noqa: DTZ001
        with pytest.raises(ValueError, match="not JSON compliant"):
            client.send_events([event(value=float("nan"))])
        assert client.send_events([event(created_at=datetime(2026, 1, 1, tzinfo=UTC))]).count("stored") == 1


def test_an_address_without_server_is_an_error_after_the_attempts() -> None:
    with RecsysClient("http://127.0.0.1:9", retries=RetryPolicy(attempts=3, first_wait=0)) as client:
        with pytest.raises(NoAnswer, match="3 attempts"):
            client.popular()
        with pytest.raises(ClientError, match="3 attempts"):
            client.request("POST", "/x")
