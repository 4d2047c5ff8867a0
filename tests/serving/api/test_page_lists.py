"""The lists of a web page's visitor: the user's of a signed token or the guest's, and nobody else's."""

from __future__ import annotations

import json
from datetime import timedelta

import httpx
import pytest

from recsys import clock
from recsys.database.session import unit_of_work
from recsys.domains.users.api_keys import service as api_keys
from recsys.settings import get_settings
from recsys.web.access.signing import user_token_secrets
from recsys.web.access.user_tokens import make_user_token

ORIGIN = "https://shop.example"
OTHER = "https://other.example"
PATH = "/api/v1/recommendations?limit=5"
SEVERAL = PATH.partition("?")[0]
Headers = dict[str, str]


@pytest.fixture
def keys(client: httpx.Client, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """A publishable key for each of two origins, and a secret one."""
    monkeypatch.setenv("RECSYS_ENVIRONMENT", "production")
    monkeypatch.setenv("RECSYS_API__USER_TOKEN_SECRETS", json.dumps(["a-secret-for-this-test-only"]))
    get_settings.cache_clear()
    with unit_of_work() as session:
        made = {
            origin: api_keys.publish(session, origin[8:], [origin], by="tests").key
            for origin in (ORIGIN, OTHER)
        }
        return made | {"server": api_keys.create(session, "server", ["recommend"], by="tests").key}


def _page(keys: dict[str, str], token: str | None = None, **more: str) -> Headers:
    bearer = {} if token is None else {"Authorization": f"Bearer {token}"}
    return {"X-Api-Key": keys[ORIGIN], "Origin": ORIGIN, **bearer, **more}


def _secret(key: str) -> str:
    with unit_of_work() as session:
        row = api_keys.publishable(session, key)
        return user_token_secrets(row.prefix, row.signing_epoch)[0]


def _ids(answer: httpx.Response) -> list[int]:
    assert answer.status_code == 200, answer.text
    return [item["product_id"] for item in answer.json()["items"]]


def test_a_token_opens_the_list_of_its_user_alone(client: httpx.Client, keys: dict[str, str]) -> None:
    server = {"X-Api-Key": keys["server"]}
    own = {user: _ids(client.get(f"/api/v1/users/{user}/recommendations?limit=5", headers=server))
           for user in (1, 11)}  # fmt: skip
    assert own[1] != own[11]
    for user, ids in own.items():
        token = make_user_token(_secret(keys[ORIGIN]), f"u{user}")
        assert _ids(client.get(PATH, headers=_page(keys, token))) == ids
        # the number of a user, in the path or in a body, opens nothing, not even one's own
        for other in own:
            path = f"/api/v1/users/{other}/recommendations"
            assert client.get(path, headers=_page(keys, token)).status_code == 403
            answer = client.post(SEVERAL, headers=_page(keys, token), json={"user_id": other})
            assert answer.status_code == 403


def test_no_other_token_opens_a_list(client: httpx.Client, keys: dict[str, str]) -> None:
    secret = _secret(keys[ORIGIN])
    with clock.frozen_at(clock.now() - timedelta(hours=2)):
        expired = make_user_token(secret, "u1")
    valid = make_user_token(secret, "u1")
    head, body, signature = valid.split(".")
    unsigned = "eyJhbGciOiJub25lIiwidHlwIjoiSldUIn0"  # {"alg":"none","typ":"JWT"}
    other_body = make_user_token("0" * 64, "u11").split(".")[1]
    tokens = {
        "expired": expired,
        "of the other key": make_user_token(_secret(keys[OTHER]), "u1"),
        "another secret": make_user_token("0" * 64, "u1"),
        "the key as the secret": make_user_token(keys[ORIGIN], "u1"),
        "unsigned": f"{unsigned}.{body}.",
        "unsigned with a signature": f"{unsigned}.{body}.{signature}",
        "another user": f"{head}.{other_body}.{signature}",
        "of a log-in": "x" * 43,
    }
    for name, token in tokens.items():
        answer = client.get(PATH, headers=_page(keys, token))
        assert answer.status_code == 401, (name, answer.text)
        assert answer.headers["access-control-allow-origin"] == ORIGIN
        assert "items" not in answer.json()
    # a valid one is valid with its own key and origin alone
    for headers in (
        {"X-Api-Key": keys[OTHER], "Origin": OTHER},
        {"X-Api-Key": keys[OTHER], "Origin": ORIGIN},
        {"X-Api-Key": keys[ORIGIN], "Origin": OTHER},
        {"X-Api-Key": keys[ORIGIN]},
    ):
        answer = client.get(PATH, headers={**headers, "Authorization": f"Bearer {valid}"})
        assert answer.status_code in (401, 403), answer.text
    assert client.get(PATH, headers=_page(keys, valid)).status_code == 200


def test_a_rotated_secret_ends_after_the_next_rotation(client: httpx.Client, keys: dict[str, str]) -> None:
    tokens = [make_user_token(_secret(keys[ORIGIN]), "u1")]
    for _ in range(2):
        with unit_of_work() as session:
            api_keys.rotate(session, keys[ORIGIN], by="tests")
        tokens.append(make_user_token(_secret(keys[ORIGIN]), "u1"))
    # servers read the keys each second
    for _ in range(50):
        statuses = [client.get(PATH, headers=_page(keys, token)).status_code for token in tokens]
        if statuses[0] == 401:
            break
    assert statuses == [401, 200, 200]


def test_a_guest_reads_no_other_guests_list(client: httpx.Client, keys: dict[str, str]) -> None:
    guests = [client.post("/api/v1/auth/guest", headers=_page(keys)).json()["session_id"] for _ in range(2)]
    client.cookies.clear()
    view = {"product_id": 61, "interaction_type": "view"}
    answer = client.post(
        "/api/v1/interactions", headers=_page(keys, **{"X-Session-Id": guests[0]}), json=view
    )
    assert answer.status_code == 200, answer.text
    lists = [client.get(PATH, headers=_page(keys, **{"X-Session-Id": guest})) for guest in guests]
    assert _ids(lists[0]) != _ids(lists[1])
    # the stored id without its signature, and one with another's signature
    names = [guest.partition(".") for guest in guests]
    for forged in (names[0][0], f"{names[0][0]}.{names[1][2]}", "a-guest"):
        answer = client.get(PATH, headers=_page(keys, **{"X-Session-Id": forged}))
        assert answer.status_code == 422, answer.text
    # nor does the stored id open anything without a key
    assert client.get(PATH, headers={"X-Session-Id": names[0][0]}).status_code == 422
    # a cookie is not the page's
    answer = client.get(PATH, headers=_page(keys, Cookie=f"recsys_session={guests[0]}"))
    assert _ids(answer) == _ids(lists[1])


def test_a_page_gets_several_lists_of_its_visitor_alone(client: httpx.Client, keys: dict[str, str]) -> None:
    guests = [client.post("/api/v1/auth/guest", headers=_page(keys)).json()["session_id"] for _ in range(2)]
    client.cookies.clear()
    guest = _page(keys, **{"X-Session-Id": guests[0]})
    view = {"product_id": 61, "interaction_type": "view"}
    assert client.post("/api/v1/interactions", headers=guest, json=view).status_code == 200
    user = _page(keys, make_user_token(_secret(keys[ORIGIN]), "u11"))
    everybody = _ids(client.get(PATH, headers=_page(keys)))
    for headers in (guest, user):
        alone = _ids(client.get(PATH, headers=headers))
        page = {"shelves": [{"limit": 5}, {"placement": "popular", "limit": 5}]}
        answer = client.post(SEVERAL, headers=headers, json=page)
        assert answer.status_code == 200, answer.text
        first, second = ([item["product_id"] for item in each["items"]] for each in answer.json()["shelves"])
        assert first == alone != everybody
        assert len(second) == 5
        assert not set(first) & set(second)
        answer = client.post(SEVERAL, headers=headers, json=page | {"session_id": guests[1]})
        assert (answer.status_code, "visitor alone" in answer.json()["detail"]) == (403, True)
    forged = _page(keys, **{"X-Session-Id": guests[0].partition(".")[0]})
    assert client.post(SEVERAL, headers=forged, json={}).status_code == 422
