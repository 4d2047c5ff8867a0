"""Personal lists in production: for programs with a key, and for the very user; nobody learns who exists."""

from __future__ import annotations

import httpx
import pytest

from recsys.database.session import unit_of_work
from recsys.domains.users import sessions
from recsys.domains.users.api_keys import service as api_keys
from recsys.settings import get_settings

Headers = dict[str, str]
NOBODY = 424242


@pytest.fixture
def senders(client: httpx.Client, monkeypatch: pytest.MonkeyPatch) -> dict[str, Headers]:
    """Who may ask a shop that has opened, by what they send."""
    with unit_of_work() as session:
        found = {
            scope: {"X-Api-Key": api_keys.create(session, scope, [scope], by="tests").key}
            for scope in api_keys.SCOPES
        }
        for user in (1, 2):
            token, _ = sessions.start(session, sessions.lock_user(session, user), sessions.Device())
            found[f"user {user}"] = {"Authorization": f"Bearer {token}"}
    found |= {"nobody": {}, "wrong token": {"Authorization": "Bearer " + "x" * 43}}
    found["cookie"] = {"Cookie": found["user 1"]["Authorization"].replace("Bearer ", "recsys_token=")}
    monkeypatch.setenv("RECSYS_ENVIRONMENT", "production")
    get_settings.cache_clear()
    return found


EXPECTED = {
    # of user 1, and of one whom there is not
    "recommend": (200, 200),
    "events": (403, 403),
    "admin": (403, 403),
    "user 1": (200, 403),
    "cookie": (200, 403),
    "user 2": (403, 403),
    "nobody": (401, 401),
    "wrong token": (401, 401),
}


@pytest.mark.parametrize("query", ["", "?limit=3&novelty=new", "?limit=3&explain=true"])
def test_a_list_is_for_programs_and_for_whom_it_is_made(
    client: httpx.Client, senders: dict[str, Headers], query: str
) -> None:
    for who, headers in senders.items():
        responses = [
            client.get(f"/api/v1/users/{user}/recommendations{query}", headers=headers)
            for user in (1, NOBODY)
        ]
        assert tuple(answer.status_code for answer in responses) == EXPECTED[who], who
        assert all(answer.headers["cache-control"] == "no-store" for answer in responses)
        if responses[0].status_code == responses[1].status_code != 200:
            _assert_equal_problems(*responses)


def test_a_page_is_as_its_lists(client: httpx.Client, senders: dict[str, Headers]) -> None:
    for who, headers in senders.items():
        responses = [
            client.post(
                "/api/v1/recommendations",
                headers=headers,
                json={"user_id": user, "shelves": [{"shelf": "for_you"}]},
            )
            for user in (1, NOBODY)
        ]
        assert tuple(answer.status_code for answer in responses) == EXPECTED[who], (who, responses[0].text)
        if responses[0].status_code == responses[1].status_code != 200:
            _assert_equal_problems(*responses)


def _assert_equal_problems(first: httpx.Response, other: httpx.Response) -> None:
    """But for what is each request's own."""
    bodies = [{**answer.json(), "request_id": None} for answer in (first, other)]
    assert bodies[0] == bodies[1]
    names = [{name for name in answer.headers if name != "set-cookie"} for answer in (first, other)]
    assert names[0] == names[1]
    assert str(NOBODY) not in other.text
