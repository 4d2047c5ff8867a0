"""Registration reveals no accounts: same answer, same work; the owner of the address is notified."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from recsys.domains.users import registration
from recsys.settings import get_settings
from tests.journeys.conftest import Counter, counter
from tests.recsys.domains.users.conftest import PASSWORD, Desk, statements

__all__ = ["counter"]

USERS = "SELECT username FROM users_db.users ORDER BY id"


def test_an_address_that_has_an_account_is_answered_like_any_other(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    hashed: list[str] = []
    real = registration.hash_password
    monkeypatch.setattr(registration, "hash_password", lambda given: (hashed.append(given), real(given))[1])
    desk.register("ada")
    answers, asked = [], []
    for name, email in (("bob", "bob@example.org"), ("carl", "ADA@example.org")):
        with statements() as seen:
            answer = desk.register(name, email=email)
        # the savepoint is kept or given up
        asked.append([one.replace("ROLLBACK TO", "RELEASE") for one in seen])
        body = answer.json()
        assert body == {"email": email.lower(), "username": name}
        headers = {key: value for key, value in answer.headers.items() if key not in ("date", "x-request-id")}
        headers.pop("content-length")  # of the names themselves
        answers.append((answer.status_code, headers))
    assert answers[0] == answers[1]
    assert asked[0] == asked[1], "the same statements in the same order"
    assert hashed == [PASSWORD] * 3
    assert desk.rows(USERS) == [("ada",), ("bob",)]
    # the name was not taken by it, nothing else was left behind, and ada's password is hers
    assert desk.rows("SELECT count(*) FROM users_db.user_profiles") == [(2,)]
    assert desk.rows("SELECT count(*) FROM users_db.user_activities") == [(2,)]
    desk.register("carl")
    desk.log_in("ada")


def test_neither_costs_the_address_an_attempt_but_a_taken_name_does(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RECSYS_USERS__FAILURES_PER_ADDRESS", "2")
    get_settings.cache_clear()
    for number in range(4):
        desk.register(f"one{number}")
        desk.register(f"two{number}", email="one0@example.org")
    answer = desk.register("one0", status=409)
    assert answer.json()["detail"] == "This username is taken; choose another."
    # by its owner as well: the name is public, whose address it is with is not
    desk.register("one0", status=409, email="somebody@example.org")
    desk.register("new", status=429)


def test_two_at_once_make_one_account_and_are_answered_alike(desk: Desk) -> None:
    def ask(number: int) -> int:
        return desk.register(f"name{number}", email="same@example.org").status_code

    with ThreadPoolExecutor(8) as pool:
        assert set(pool.map(ask, range(8))) == {202}
    assert len(desk.rows(USERS)) == 1
    events = desk.rows("SELECT name, count(*) FROM analytics_db.outbox GROUP BY name ORDER BY name")
    assert events == [("user.registered", 1), ("user.registration_repeated", 7)]


def test_the_owner_of_the_address_is_notified_by_mail_once_a_day(counter: Counter) -> None:
    counter.desk.register("ada")
    for number in range(3):
        counter.desk.register(f"other{number}", email="ada@example.org")
    counter.settle_events()
    mails = counter.desk.rows(
        "SELECT to_email, subject FROM notifications_db.email_logs WHERE subject LIKE '%%already' ORDER BY id"
    )
    assert mails == [("ada@example.org", "You have an account already")]
    texts = counter.desk.rows("SELECT body_text FROM notifications_db.outgoing_messages")
    assert not any("other0" in str(text) for (text,) in texts), "nobody writes to others through the shop"


def test_a_log_in_asks_the_same_of_the_stores_whether_there_is_the_account(desk: Desk) -> None:
    desk.register("ada")
    asked = []
    for login in ("ada", "nobody", "ada@example.org", "nobody@example.org"):
        with statements() as seen:
            desk.log_in(login, password="wrong", status=401)
        asked.append(len(seen))
    # behind PgBouncer each transaction sends its settings first
    assert asked in ([1, 1, 1, 1], [2, 2, 2, 2])
