"""Bodies in gzip, from beacons, and too large ones; HEAD beside GET."""

from __future__ import annotations

import gzip
import json

from recsys.web.middleware import MAX_BODY_BYTES
from recsys.web.request_body import BEACON_PATHS
from tests.journeys.conftest import Counter

GZIP = {"Content-Encoding": "gzip", "Content-Type": "application/json"}
REGISTER = "/api/v1/auth/register"
ACCOUNT = {
    "email": "ada@example.org",
    "username": "ada",
    "full_name": "Ada",
    "password": "correct horse battery",
}


def test_a_gzip_body_is_read(counter: Counter) -> None:
    body = json.dumps(ACCOUNT).encode()
    # two members in one body are one text (RFC 1952, section 2.2)
    sent = gzip.compress(body[:30]) + gzip.compress(body[30:])
    assert counter.desk.client.post(REGISTER, content=sent, headers=GZIP).status_code == 202
    counter.desk.log_in("ada")


def test_a_gzip_body_that_cannot_be_read_is_a_clear_refusal(counter: Counter) -> None:
    whole = gzip.compress(json.dumps(ACCOUNT).encode())
    bomb = gzip.compress(b" " * (MAX_BODY_BYTES + 1))
    assert len(bomb) < 10_000
    for content, encoding, status, words in (
        (b"{}", "gzip", 400, "not gzip"),
        (whole[:-9], "gzip", 400, "too early"),
        (b"", "gzip", 400, "too early"),
        (bomb, "gzip", 413, "smaller parts"),
        (whole + bomb, "gzip", 413, "smaller parts"),
        (whole, "br", 415, "gzip or none"),
        (whole, "gzip, gzip", 415, "gzip or none"),
    ):
        answer = counter.desk.client.post(
            REGISTER, content=content, headers={**GZIP, "Content-Encoding": encoding}
        )
        assert (answer.status_code, words in answer.json()["detail"]) == (status, True), answer.text
        assert answer.headers["content-type"] == "application/problem+json"
    assert counter.desk.rows("SELECT FROM users_db.users WHERE username = 'ada'") == []


def test_a_card_number_is_found_in_a_gzip_body(counter: Counter) -> None:
    body = gzip.compress(json.dumps({**ACCOUNT, "full_name": "4111 1111 1111 1111"}).encode())
    answer = counter.desk.client.post(REGISTER, content=body, headers=GZIP)
    assert (answer.status_code, "card number" in answer.json()["detail"]) == (422, True)


def test_a_beacons_text_is_json_on_the_routes_of_events(counter: Counter) -> None:
    product, _ = counter.product("Lamp")
    bodies = {
        "/api/v1/interactions": [{"session_id": "g", "product_id": product, "interaction_type": "view"}],
        "/api/v1/analytics/collect": [{"type": "page_view", "page_url": "/"}],
        "/api/v1/search/clicks": {},
    }
    assert set(bodies) < BEACON_PATHS
    for path in sorted(BEACON_PATHS):
        for content_type in ("text/plain;charset=UTF-8", "Text/Plain", ""):
            answer = counter.desk.client.post(
                path,
                content=json.dumps(bodies.get(path, [])),
                headers={"Content-Type": content_type, "User-Agent": "Mozilla/5.0 (X11) Firefox/140.0"},
            )
            assert "JSON" not in answer.text, (path, content_type, answer.text)
            assert "valid dictionary" not in answer.text, (path, content_type, answer.text)
            if path == "/api/v1/interactions":
                assert answer.json()["stored"] == 1
    # elsewhere a text stays a text: no page of another site may send JSON without asking first
    refused = counter.desk.client.post(
        REGISTER, content=json.dumps(ACCOUNT), headers={"Content-Type": "text/plain"}
    )
    assert refused.status_code == 422


def test_the_context_of_an_event_is_at_most_4_kib(counter: Counter) -> None:
    product, _ = counter.product("Lamp")
    event = {"session_id": "g", "product_id": product, "interaction_type": "view"}
    largest = {"note": "x" * (4096 - len('{"note":""}'))}
    answer = counter.desk.client.post("/api/v1/interactions", json={**event, "context": largest})
    assert answer.json()["stored"] == 1
    largest["note"] += "x"
    for path, body in (
        ("/api/v1/interactions", {**event, "context": largest}),
        ("/api/v1/interactions", {**event, "context": {"note": "\U0001f9e6" * 1024}}),
    ):
        answer = counter.desk.client.post(path, json=body)
        assert (answer.status_code, "4096 bytes" in answer.text) == (422, True), answer.text
