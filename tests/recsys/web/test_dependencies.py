"""Who is asking: users, guests, administrators, and everybody who is none of these."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest

from recsys.api import create_api
from recsys.database.session import unit_of_work
from recsys.domains.users import sessions
from recsys.domains.users.api_keys import service as api_keys
from recsys.web.access.guest_sessions import with_signature
from recsys.web.dependencies import AdminUser, CurrentUser, GuestSession, MaybeUser
from tests.serving.running import running
from tests.support.guests import guest
from tests.support.shop import Shop


@pytest.fixture
def asked(shop: Shop) -> Iterator[tuple[httpx.Client, dict[str, str]]]:
    """Routes that tell who they were asked by, and a token for an `admin` and a `user`."""
    with shop.connect() as connection:
        connection.execute(
            "INSERT INTO users_db.users (id, email, username, full_name, password_hash, is_admin) VALUES "
            "(1, 'a@example.org', 'admin', 'A', '!', true), (2, 'u@example.org', 'user', 'U', '!', NULL)"
        )
    tokens = {}
    for number, name in ((1, "admin"), (2, "user")):
        with unit_of_work() as session:
            user = sessions.lock_user(session, number)
            tokens[name], _ = sessions.start(session, user, sessions.Device())
    app = create_api()

    @app.get("/current")
    def current(caller: CurrentUser) -> int:
        return caller.user_id

    @app.get("/maybe")
    def maybe(caller: MaybeUser, guest: GuestSession) -> dict[str, object]:
        return {"user": None if caller is None else caller.user_id, "guest": guest}

    @app.get("/admin")
    def admin(caller: AdminUser) -> int | None:
        return caller.user_id

    with running(app) as client:
        yield client, tokens


def test_each_route_knows_who_asks(asked: tuple[httpx.Client, dict[str, str]]) -> None:
    client, tokens = asked
    expected = {
        "admin": {"/current": 200, "/maybe": 200, "/admin": 200},
        "user": {"/current": 200, "/maybe": 200, "/admin": 403},
        "wrong": {"/current": 401, "/maybe": 401, "/admin": 401},
        "nobody": {"/current": 401, "/maybe": 200, "/admin": 401},
    }
    for who, answers in expected.items():
        headers = {} if who == "nobody" else {"Authorization": f"Bearer {tokens.get(who, 'wrong')}"}
        for path, status in answers.items():
            answer = client.get(path, headers=headers)
            assert (who, path, answer.status_code) == (who, path, status)
            if status == 401:
                assert answer.headers["www-authenticate"] == "Bearer"
                assert answer.headers["content-type"] == "application/problem+json"


def test_an_old_cookie_is_a_guest_where_guests_may_come(
    asked: tuple[httpx.Client, dict[str, str]],
) -> None:
    client, tokens = asked
    assert client.get("/maybe", headers={"Cookie": "recsys_token=old"}).json()["user"] is None
    assert client.get("/current", headers={"Cookie": "recsys_token=old"}).status_code == 401
    assert client.get("/current", headers={"Cookie": f"recsys_token={tokens['user']}"}).json() == 2


def test_a_guest_session_is_read_from_header_or_cookie(
    asked: tuple[httpx.Client, dict[str, str]],
) -> None:
    client, _ = asked
    first, second = guest("g1"), with_signature("g2")
    assert client.get("/maybe").json()["guest"] is None
    assert client.get("/maybe", headers=first).json()["guest"] == "g1"
    both = {**first, "Cookie": f"recsys_session={second}"}
    assert client.get("/maybe", headers=both).json()["guest"] == "g1"
    assert client.get("/maybe", headers={"Cookie": f"recsys_session={second}"}).json()["guest"] == "g2"


def test_an_issued_guest_session_is_accepted_and_unique(asked: tuple[httpx.Client, dict[str, str]]) -> None:
    client, _ = asked
    tokens = set()
    for _ in range(20):
        answer = client.post("/api/v1/auth/guest")
        client.cookies.clear()
        assert answer.status_code == 201
        assert "HttpOnly" in answer.headers["set-cookie"]
        token = answer.json()["session_id"]
        assert (
            client.get("/maybe", headers={"X-Session-Id": token}).json()["guest"] == token.rpartition(".")[0]
        )
        tokens.add(token)
    assert len(tokens) == 20
    assert min(map(len, tokens)) >= 44


def test_a_guest_session_that_was_not_issued_needs_a_key(asked: tuple[httpx.Client, dict[str, str]]) -> None:
    client, _ = asked
    token = with_signature("g1")
    forged = [
        "a",
        "g1",
        "g1.",
        f"g2.{token.partition('.')[2]}",
        token[:-1],
        f"{token}x",
        token.swapcase(),
        "x" * 255,
    ]
    for given in forged:
        refused = client.get("/maybe", headers={"X-Session-Id": given})
        assert refused.status_code == 422
        assert "POST /api/v1/auth/guest" in refused.json()["detail"]
        # a browser sends its cookie with every request: a wrong one is no session, not an error
        assert client.get("/maybe", headers={"Cookie": f"recsys_session={given}"}).json()["guest"] is None
    with unit_of_work() as session:
        key = api_keys.create(session, "shop", ["recommend"], by="tests").key
    for given in ["a", "g1", "x" * 255]:
        answer = client.get("/maybe", headers={"X-Session-Id": given, "X-Api-Key": key})
        assert answer.json()["guest"] == given
    for wrong in ("x" * 256, "a b", "", "\xe9".encode("latin-1")):
        answer = client.get("/maybe", headers={"X-Session-Id": wrong, "X-Api-Key": key})
        assert answer.status_code == 422


def test_a_token_that_is_no_text_is_a_401(asked: tuple[httpx.Client, dict[str, str]]) -> None:
    client, _ = asked
    for wrong in (b"Bearer \xff\xfe", b"Bearer", b"", b"Bearer a b"):
        assert client.get("/current", headers={b"Authorization": wrong}).status_code == 401
