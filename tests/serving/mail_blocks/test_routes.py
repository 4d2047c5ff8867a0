"""Blocks over HTTP: filled when opened, the same in pictures and links, and with clicks that count once."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any
from uuid import uuid4

import httpx
import pytest

from recsys import clock
from recsys.database.session import unit_of_work
from recsys.domains.users.api_keys import service as api_keys
from recsys.privacy import consent
from recsys.privacy.consent import Consent
from recsys.privacy.erasure import erase
from recsys.settings import get_settings
from recsys.write_buffer import drain
from serving.mail_blocks.address import MailBlock, address_of
from serving.recommender.request import Placement
from tests.serving.api.answers import ask, execute, ids
from tests.serving.console.conftest import content
from tests.support.shop import Shop
from tests.support.waiting import until

ADMIN = "/api/v1/admin/mail-blocks"


@pytest.fixture
def guest(client: httpx.Client) -> Iterator[httpx.Client]:
    """A mail client: no key, no cookie."""
    with httpx.Client(base_url=client.base_url, timeout=30) as mail_client:
        yield mail_client


@pytest.fixture(autouse=True)
def shop_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RECSYS_SHOP__PRODUCT_URL", "https://shop.example/p/{sku}")
    get_settings.cache_clear()


def made(client: httpx.Client, **given: Any) -> str:
    """The address of a block, as a path."""
    with unit_of_work() as session:
        key = api_keys.create(session, uuid4().hex[:12], ["admin"], by="tests").key
    answer = client.post(ADMIN, json={"user_id": 5, **given}, headers={"X-Api-Key": key})
    assert answer.status_code == 200, answer.text
    return httpx.URL(answer.json()["address"]).path


def links(guest: httpx.Client, block: str, places: int = 3) -> list[str]:
    answers = [guest.get(f"{block}/{place}") for place in range(1, places + 1)]
    assert {answer.status_code for answer in answers} == {303}
    return [answer.headers["location"] for answer in answers]


def pages_of(products: list[int]) -> list[str]:
    return [f"https://shop.example/p/sku{product}" for product in products]


def popular(client: httpx.Client, limit: int = 3) -> list[int]:
    return ids(client.get("/api/v1/products/popular", params={"limit": limit, "in_stock": True}).json())


def test_the_block_is_the_list_of_the_moment_it_is_opened(client: httpx.Client, guest: httpx.Client) -> None:
    block = made(client)
    first = ids(ask(client, 5, limit=3))
    client.post(
        "/api/v1/recommendations/feedback",
        json={"user_id": 5, "product_id": first[0], "feedback_type": "dismissed"},
    )
    until(lambda: first[0] not in ids(ask(client, 5, limit=3)))
    opened = ids(ask(client, 5, limit=3, in_stock=True))
    page = guest.get(block)
    assert page.status_code == 200
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    assert page.headers["cache-control"] == "private, no-cache"
    assert re.findall(r'alt="[^“]*“(\d+)”', page.text) == [str(product) for product in opened]
    assert links(guest, block) == pages_of(opened)
    picture = guest.get(f"{block}/1.png")
    assert picture.headers["content-type"] == "image/png"
    assert picture.headers["cache-control"] == "private, max-age=3600"
    assert picture.content.startswith(b"\x89PNG")
    # what was opened stays, so that pictures in mail clients and links agree
    client.post(
        "/api/v1/recommendations/feedback",
        json={"user_id": 5, "product_id": opened[0], "feedback_type": "dismissed"},
    )
    until(lambda: opened[0] not in ids(ask(client, 5, limit=3)))
    assert links(guest, block) == pages_of(opened)
    assert links(guest, made(client)) != pages_of(opened)


def test_requests_at_once_agree(client: httpx.Client, guest: httpx.Client) -> None:
    block = made(client, places=6)
    with ThreadPoolExecutor(6) as pool:
        answers = list(pool.map(lambda place: guest.get(f"{block}/{place}"), [*range(1, 7)] * 3))
    found = [answer.headers["location"] for answer in answers]
    assert found[:6] == found[6:12] == found[12:]
    assert len(set(found)) == 6


def rows_in(shop: Shop, query: str, count: int) -> list[tuple[Any, ...]]:
    """The rows once there are so many, and what waits in Redis is stored."""

    def there() -> bool:
        drain.run(threading.Event(), once=True)
        return len(execute(shop, query)) >= count

    until(there)
    return execute(shop, query)


def test_a_click_is_a_click_on_the_recommendation_and_counts_once(
    client: httpx.Client, guest: httpx.Client, scored_shop: Shop
) -> None:
    block = made(client)
    opened = [int(each.rpartition("sku")[2]) for each in links(guest, block)]
    for _ in range(3):
        assert guest.get(f"{block}/2").status_code == 303
        assert guest.head(f"{block}/3").status_code == 303
    impressions = "SELECT user_id, shelf FROM recommendations_db.exposures"
    assert rows_in(scored_shop, impressions, 1) == [(5, "mail")]
    clicks = "SELECT user_id, product_id, clicked FROM recommendations_db.recommendation_feedback ORDER BY id"
    found = rows_in(scored_shop, clicks, 3)
    assert sorted(found) == sorted((5, product, True) for product in opened)


@pytest.mark.parametrize("why", ["refused", "closed", "erased", "expired"])
def test_others_get_what_is_popular(
    client: httpx.Client, guest: httpx.Client, scored_shop: Shop, why: str
) -> None:
    block = made(client)
    personal = links(guest, block)
    expected = pages_of(popular(client))
    assert personal != expected
    if why == "refused":
        with unit_of_work() as session:
            consent.change(session, 5, None, Consent(False, True))
    elif why == "closed":
        execute(scored_shop, "UPDATE users_db.users SET is_active = false WHERE id = 5")
    elif why == "erased":
        erase(5, by=None, requested_by="test")
    else:
        hour = int((clock.now() - timedelta(hours=2)).timestamp()) // 3600
        block = f"/api/v1/mail-blocks/{address_of(MailBlock(5, Placement.FOR_YOU, 3, hour, 1))}"
    assert links(guest, block) == expected
    assert guest.get(f"{block}/1.png").status_code == 200


def test_a_placement_that_has_nothing_for_the_person_shows_what_is_popular(
    client: httpx.Client, guest: httpx.Client
) -> None:
    assert len(links(guest, made(client, user_id=30, placement="because_you_viewed"))) == 3


def test_forged_addresses_are_unknown(client: httpx.Client, guest: httpx.Client) -> None:
    block = made(client)
    forged = block[:-5] + ("AAAA" if not block.endswith("AAAAA") else "BBBB") + block[-1]
    for path in (forged, f"{forged}/1", f"{forged}/1.png"):
        answer = guest.get(path)
        assert answer.status_code == 404, answer.text
        assert answer.json()["detail"] == "There is no such block."
    assert guest.get("/api/v1/mail-blocks/short").status_code == 404
    for path in (f"{block}/0", f"{block}/99.png", f"{block}/one"):
        assert guest.get(path).status_code == 422
    # a place that the block does not have: a pixel, and the shop
    assert len(guest.get(f"{block}/9.png").content) < 200
    assert guest.get(f"{block}/9").headers["location"] == "https://shop.example/"


def test_a_block_is_limited(
    client: httpx.Client, guest: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RECSYS_MAIL_BLOCKS__REQUESTS_PER_MINUTE", "5")
    get_settings.cache_clear()
    block, other = made(client), made(client)
    statuses = [guest.get(f"{block}/1.png").status_code for _ in range(12)]
    assert statuses.count(429) >= 2
    assert statuses[0] == 200
    assert guest.get(f"{other}/1.png").status_code == 200


def test_administrators_make_blocks(client: httpx.Client, scored_shop: Shop) -> None:
    assert client.post(ADMIN, json={"user_id": 5}).status_code == 401
    for scope, status in (("recommend", 403), ("admin", 200)):
        key = scored_shop.run("keys", "create", scope, "--scope", scope).stdout.strip()
        answer = client.post(ADMIN, json={"user_id": "username:u5"}, headers={"X-Api-Key": key})
        assert answer.status_code == status, answer.text
    body = answer.json()
    assert body["html"].count("<img") == 3
    assert f"{body['address']}/3.png" in body["html"]
    for wrong in ({"placement": "similar"}, {"places": 0}, {"valid_days": 0}, {"user_id": "username:nobody"}):
        answer = client.post(ADMIN, json={"user_id": 5, **wrong}, headers={"X-Api-Key": key})
        assert answer.status_code in (404, 422), wrong


def test_a_segment_is_exported_with_blocks(
    client: httpx.Client, guest: httpx.Client, scored_shop: Shop
) -> None:
    command = ("segments", "buyers", "--category", 4, "--limit", 2, "--csv", "-", "--mail-block")
    answer = scored_shop.run(*command, "for_you")
    assert (answer.returncode, "RECSYS_MAIL_BLOCKS__BASE_URL" in answer.stderr) == (2, True)
    answer = scored_shop.run(*command, "for_you", RECSYS_MAIL_BLOCKS__BASE_URL="https://mail.example")
    assert answer.returncode == 0, answer.stderr
    lines = answer.stdout.splitlines()
    assert lines[0].endswith(",mail_block")
    addresses = [line.rpartition(",")[2] for line in lines[1:]]
    assert len(set(addresses)) == 2
    for address in addresses:
        assert guest.get(httpx.URL(address).path).status_code == 200
    assert "give one of" in scored_shop.run(*command, "similar").stderr


def test_the_console_previews_a_block_without_an_impression(client: httpx.Client, scored_shop: Shop) -> None:
    page = content(client, "/console/mail-block", user="u5", places=4)
    assert page["is_personal"]
    assert [each["product_id"] for each in page["products"]] == ids(ask(client, 5, limit=4, in_stock=True))
    assert page["html"].count("{{mail_block}}/") == 8
    assert not content(client, "/console/mail-block")["is_personal"]
    assert "No person" in content(client, "/console/mail-block", user="stranger")["problem"]
    assert (
        "no product to start from" in content(client, "/console/mail-block", placement="similar")["problem"]
    )
    assert execute(scored_shop, "SELECT count(*) FROM recommendations_db.exposures WHERE shelf = 'mail'") == [
        (0,)
    ]
