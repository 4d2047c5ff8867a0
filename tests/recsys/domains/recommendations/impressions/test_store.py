"""Answered lists: stored once, found by request id, swept; and feedback that refers to them."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
import pytest
import redis
from hypothesis import given
from hypothesis import strategies as st

from recsys import clock
from recsys.cache import keys
from recsys.database.session import unit_of_work
from recsys.domains.recommendations.impressions import store as impressions
from recsys.domains.recommendations.impressions.store import Answered, pack, unpack
from recsys.errors import NotFound
from recsys.web.access.guest_sessions import with_signature
from recsys.write_buffer import buffer as write_buffer
from recsys.write_buffer import drain
from tests.recsys.domains.recommendations.impressions.answers import answered
from tests.recsys.domains.users.conftest import Desk
from tests.support.guests import guest as guest_header
from tests.support.shop import Shop

TEXT = st.text(max_size=20)
LISTS = st.builds(
    Answered,
    request_id=TEXT,
    shelf=TEXT,
    source=TEXT,
    products=st.lists(st.integers(1, 2**31 - 1), max_size=30),
    scores=st.lists(st.floats(0, 1), max_size=30),
    shown_at=st.datetimes(timezones=st.just(UTC), min_value=datetime(1970, 1, 1)),  # noqa: DTZ001
    user_id=st.none() | st.integers(1, 2**31 - 1),
    session_id=st.none() | TEXT,
    model=st.none() | TEXT,
    generation=st.none() | st.integers(1, 2**31 - 1),
    before=st.integers(0, 2**16 - 1),
    propensities=st.none(),
    candidates=st.none(),
    arm_propensity=st.none(),
    teams=st.none(),
    credits=st.none(),
    milliseconds=st.none(),
    late=st.none(),
    filters=st.none(),
)
TESTED_LISTS = st.builds(lambda one, share: one._replace(arm_propensity=share), LISTS, st.floats(0, 1))
INTERLEAVED_LISTS = st.builds(
    lambda one, teams, credit, took: one._replace(teams=teams, credits=credit, milliseconds=took, late=False),
    LISTS,
    st.lists(st.none() | st.integers(0, 1), max_size=30),
    st.lists(st.floats(-2, 2), max_size=30),
    st.floats(0, 1e5),
)
DRAWN_LISTS = st.builds(
    lambda one, draws, candidates, filters: one._replace(
        propensities=draws, candidates=candidates, filters=filters
    ),
    LISTS,
    st.lists(st.floats(0, 1), max_size=30),
    st.lists(st.integers(1, 2**31 - 1), max_size=50),
    st.none() | st.dictionaries(TEXT, st.booleans() | st.integers(0, 99) | st.lists(TEXT, max_size=3)),
)


def drawn(request_id: str, products: list[int], **other: Any) -> Answered:
    """A list that was drawn at random from ten products; the chance of the last place is not known."""
    known: list[float | None] = [0.25] * (len(products) - 1)
    return answered(request_id, products, propensities=[*known, None], candidates=list(range(10)), **other)


def put(*lists: Answered) -> None:
    """Stored, as the intake does it."""
    with unit_of_work() as session:
        impressions.store(session, lists)


@given(st.lists(LISTS | DRAWN_LISTS | TESTED_LISTS | INTERLEAVED_LISTS, max_size=5))
def test_lists_come_back_as_they_were(lists: list[Answered]) -> None:
    assert unpack(pack(lists)) == lists


def test_a_list_that_was_not_drawn_is_packed_in_the_form_of_the_program_before() -> None:
    lists = [answered("r", [1]), drawn("r", [1]), answered("r", [1], arm_propensity=0.5)]
    assert [len(row) for row in orjson.loads(pack(lists))] == [13, 15, 16]
    assert Answered._fields[13:16] == ("propensities", "candidates", "arm_propensity")
    assert Answered._fields[16:] == ("teams", "credits", "milliseconds", "late", "filters")


@pytest.mark.parametrize("other", [b"", b"{}x", b"17", b"[1]", b"[[]]", b'[["a"]]', b"[[1,2,3,4,5,6,7,8]]"])
def test_anything_else_is_refused(other: bytes) -> None:
    with pytest.raises(ValueError, match=r"."):
        unpack(other)


def test_a_list_is_stored_once_and_found_as_it_was(small_shop: Shop) -> None:
    mine = answered("request-1", [3, 1, 2], user_id=1, arm="b")
    guests = answered("request-1", [], shelf="popular", session_id="visit")
    nobody = answered("request-2", [5], user_id=999)
    with unit_of_work() as session:
        assert impressions.store(session, [mine, guests, nobody, mine]) == 3
        assert impressions.store(session, [guests._replace(products=[4], scores=[1.0])]) == 0
    with unit_of_work() as session:
        found = impressions.find(session, ["request-1", "request-2", "request-3"])
    assert found == {"request-1": [mine, guests], "request-2": [nobody._replace(user_id=None)]}


@pytest.mark.parametrize("before", [0, 20])
def test_the_propensities_of_a_drawn_list_are_stored_with_it(small_shop: Shop, before: int) -> None:
    lists = [drawn("request-1", [3, 1, 2], user_id=1, before=before), answered("request-2", [1])]
    with unit_of_work() as session:
        assert impressions.store(session, unpack(pack(lists))) == 2
    with unit_of_work() as session:
        found = impressions.find(session, ["request-1", "request-2"])
    assert found == {"request-1": [lists[0]], "request-2": [lists[1]]}
    with small_shop.connect() as connection:
        places = connection.execute(
            "SELECT array_lower(propensities, 1), array_lower(candidates, 1) FROM"
            " recommendations_db.exposures WHERE request_id = 'request-1'"
        ).fetchone()
    assert places == (before + 1, 1)


def test_a_later_page_counts_on(shown: Desk) -> None:
    pages = [
        answered("second-page", [4, 5], user_id=1, before=20),
        answered("last-page", [], user_id=1, scores=[]),
    ]
    put(*pages)
    with unit_of_work() as session:
        assert impressions.find(session, ["second-page", "last-page"]) == {
            "second-page": [pages[0]], "last-page": [pages[1]],
        }  # fmt: skip
    click = {"product_id": 5, "feedback_type": "clicked", "user_id": 1}
    assert send(shown, click | {"request_id": "second-page"})["stored"] == 1
    pipeline = shown.redis.pipeline()
    impressions.remember(pipeline, [answered("on-its-way", [5], user_id=1, before=40)])
    pipeline.execute()
    assert send(shown, click | {"request_id": "on-its-way"})["stored"] == 1
    assert [(row[4], row[6]) for row in placed(shown)] == [("on-its-way", 41), ("second-page", 22)]


@pytest.mark.one_server
def test_a_deleted_user_takes_their_lists_along_and_old_ones_are_swept(small_shop: Shop) -> None:
    long_ago = clock.now() - timedelta(days=91)
    put(answered("request-1", [1], user_id=1), answered("request-2", [1], shown_at=long_ago))
    put(answered("request-3", [1], user_id=2))
    with unit_of_work() as session:
        assert impressions.sweep(session) == 1
    with small_shop.connect() as connection:
        connection.execute("DELETE FROM users_db.users WHERE id = 1")
        left = connection.execute("SELECT request_id FROM recommendations_db.exposures").fetchall()
    assert left == [("request-3",)]


def test_the_lists_of_the_last_minute_are_found_in_redis(small_shop: Shop, redis_client: redis.Redis) -> None:
    one, other = answered("request-1", [1]), answered("request-1", [2], shelf="popular")
    pipeline = redis_client.pipeline()
    impressions.remember(pipeline, [one, other, answered("request-2", [3])])
    pipeline.execute()
    assert impressions.recall(redis_client, ["request-1", "unknown"]) == {"request-1": [one, other]}
    (key,) = redis_client.scan_iter("exposures:recent:*")
    assert 0 < redis_client.ttl(key) <= 100


# --- feedback by request id -----------------------------------------------------------------------


@pytest.fixture
def shown(desk: Desk) -> Desk:
    """Users ada (1) and bob (2), logged in; five products; a list of each and one of a guest."""
    desk.person("ada"), desk.person("bob")
    with desk.shop.connect() as connection:
        connection.execute(
            "INSERT INTO products_db.products (id, name, slug, price) "
            "SELECT i, 'P' || i, 'p' || i, i FROM generate_series(1, 5) i"
        )
        connection.execute(
            "INSERT INTO recommendations_db.product_recommendations (id, user_id, product_id, score) "
            "SELECT 70 + i, 1, i, 0.5 FROM generate_series(1, 3) i"
        )
    put(
        answered("of-ada-1", [3, 1, 2], user_id=1, arm="b"),
        answered("of-ada-1", [5, 1], shelf="popular", user_id=1, source="popular", model=None),
        answered("of-bob-1", [1], user_id=2, source="live"),
        answered("of-guest", [4, 2], session_id="visit"),
    )
    return desk


def send(desk: Desk, body: object, status: int = 200, *, token: str | None = None, visit: str = "") -> Any:
    headers = guest_header(visit) if visit else {}
    if token is not None:
        headers["Authorization"] = f"Bearer {token}"
    answer = desk.client.post("/api/v1/recommendations/feedback", json=body, headers=headers)
    assert answer.status_code == status, answer.text
    return answer.json()


def placed(desk: Desk) -> list[tuple[Any, ...]]:
    return desk.rows(
        "SELECT f.user_id, f.product_id, f.recommendation_id, f.recommended, e.request_id, e.shelf, "
        "e.position, e.session_id, e.model, e.generation, e.source, e.arm "
        "FROM recommendations_db.recommendation_feedback f "
        "JOIN recommendations_db.feedback_exposures e ON e.feedback_id = f.id "
        "ORDER BY f.user_id, e.request_id, e.shelf, f.id"
    )


def test_an_answer_tells_model_place_and_row(shown: Desk) -> None:
    body = [
        {"request_id": "of-ada-1", "product_id": 1, "feedback_type": "clicked"},
        {"request_id": "of-ada-1", "product_id": 1, "feedback_type": "bought", "shelf": "popular"},
        {"request_id": "of-bob-1", "product_id": 1, "feedback_type": "shown", "user_id": 2},
        {"request_id": "of-guest", "product_id": 2, "feedback_type": "carted", "session_id": "visit"},
    ]
    assert send(shown, body)["stored"] == 4
    assert placed(shown) == [
        (1, 1, 71, True, "of-ada-1", "for_you", 2, None, "als-v3", 7, "stored", "b"),
        (1, 1, None, True, "of-ada-1", "popular", 2, None, None, 7, "popular", None),
        (2, 1, None, True, "of-bob-1", "for_you", 1, None, "als-v3", 7, "live", None),
        (None, 2, None, True, "of-guest", "for_you", 2, "visit", "als-v3", 7, "stored", None),
    ]
    assert shown.rows("SELECT purchased FROM recommendations_db.recommendation_feedback WHERE purchased") == [
        (True,)
    ]


WRONG: list[tuple[dict[str, object], str]] = [
    ({"product_id": 4}, "product_id: was not in that answer"),
    ({"shelf": "popular", "product_id": 3}, "product_id: not on that shelf"),
    ({"shelf": "trending"}, "shelf: that answer has for_you, popular"),
    ({"user_id": 2}, "request_id: no such answer to this user or guest"),
    ({"session_id": "visit"}, "request_id: no such answer to this user or guest"),
    ({"request_id": "of-guest", "session_id": "another"}, "request_id: no such answer"),
    ({"request_id": "short"}, "request_id: String should match"),
    ({"request_id": None, "shelf": "for_you"}, "a shelf only with the request_id"),
]


def test_what_does_not_fit_the_answer_is_refused(shown: Desk) -> None:
    one = {"request_id": "of-ada-1", "product_id": 1, "feedback_type": "clicked"}
    answer = send(shown, [one | change for change, _ in WRONG], 422)
    for (change, reason), verdict in zip(WRONG, answer["verdicts"], strict=True):
        assert reason in verdict["reason"], change


def test_who_is_logged_in_speaks_of_their_own_answers_and_of_those_before_the_log_in(shown: Desk) -> None:
    token = shown.log_in("bob", X_Session_Id=with_signature("visit")).json()["token"]
    body = [
        {"request_id": name, "product_id": 2 if name == "of-guest" else 1, "feedback_type": "clicked"}
        for name in ("of-ada-1", "of-bob-1", "of-guest")
    ]
    answer = send(shown, body, token=token, visit="visit")
    assert [one["status"] for one in answer["verdicts"]] == ["refused", "stored", "stored"]
    assert [row[:2] for row in placed(shown)] == [(2, 1), (2, 2)]


def test_a_guest_s_feedback_and_dismissals_are_the_user_s_at_log_in(shown: Desk) -> None:
    body = {"request_id": "of-guest", "product_id": 4, "feedback_type": "dismissed", "event_id": "x"}
    assert send(shown, body, visit="visit")["stored"] == 1
    assert send(shown, body, visit="visit")["duplicates"] == 1
    assert shown.redis.smembers("interactions:recent:session:visit") == {b"4", b"d4"}
    # what the guest takes back of the user's stays taken back
    send(shown, {"product_id": 2, "feedback_type": "dismissed", "user_id": 1})
    back = {"request_id": "of-guest", "product_id": 2, "feedback_type": "restored"}
    assert send(shown, back, visit="visit")["stored"] == 1
    shown.log_in("ada", X_Session_Id=with_signature("visit"))
    assert shown.redis.smembers(keys.recent_interactions(1)) == {b"2", b"4", b"d4"}
    assert not shown.redis.exists("interactions:recent:session:visit")
    assert placed(shown)[0][0] == 1
    # a late one was the guest's before the log-in, too
    late = {"request_id": "of-guest", "product_id": 2, "feedback_type": "clicked"}
    moment = (clock.now() - timedelta(minutes=5)).isoformat()
    send(shown, late | {"created_at": moment}, visit="visit")
    assert [row[0] for row in placed(shown)] == [1, 1, 1]


def test_feedback_that_is_quicker_than_its_answer_waits_for_it(shown: Desk) -> None:
    one = {"request_id": "not-yet-1", "product_id": 5, "feedback_type": "dismissed", "user_id": 1}
    answer = send(shown, [one, {"product_id": 1, "feedback_type": "clicked", "user_id": 1}], 202)
    assert [each["status"] for each in answer["verdicts"]] == ["queued", "stored"]
    # the very next answer knows of it all the same
    assert b"d5" in shown.redis.smembers(keys.recent_interactions(1))
    drain.run(threading.Event(), once=True)
    assert placed(shown) == []
    ((_, waiting),) = shown.redis.xrange("posts:waiting")
    shown.redis.xadd("exposures:waiting", {"data": pack([answered("not-yet-1", [1, 5], user_id=1)])})
    drain.run(threading.Event(), once=True)
    # stored, and not removed in time by somebody who was killed
    shown.redis.xadd("posts:waiting", waiting)
    drain.run(threading.Event(), once=True)
    assert [row[:3] for row in placed(shown)] == [(1, 5, None)]
    assert shown.redis.xlen("posts:waiting") == shown.redis.xlen("exposures:waiting") == 0
    kinds = shown.rows("SELECT interaction_type FROM recommendations_db.user_interactions")
    assert kinds == [("dismissed",)]


def test_an_answer_on_its_way_is_found_in_redis(shown: Desk) -> None:
    pipeline = shown.redis.pipeline()
    impressions.remember(pipeline, [answered("on-its-way", [2, 5], user_id=1)])
    pipeline.execute()
    one = {"request_id": "on-its-way", "product_id": 5, "feedback_type": "clicked", "user_id": 1}
    assert send(shown, [one, one | {"product_id": 1}])["stored"] == 1
    assert placed(shown)[0][6] == 2


def test_feedback_on_an_answer_that_never_was_becomes_a_dead_letter(
    shown: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(drain.get_settings().intake, "patience_seconds", 1e-9)
    send(shown, {"request_id": "never-was", "product_id": 5, "feedback_type": "clicked", "user_id": 1}, 202)
    drain.run(threading.Event(), once=True)
    (letter,) = drain.dead_letters()
    assert letter["reason"] == "request_id: no response with this id was stored"
    assert "never-was" in letter["data"]
    assert shown.redis.xlen("posts:waiting") == 0


def test_a_dead_letter_is_replayed_and_nothing_is_applied_twice(
    shown: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(drain.get_settings().intake, "patience_seconds", 1e-9)
    late = {"product_id": 5, "feedback_type": "dismissed", "user_id": 1, "event_id": "of-late"}
    moment = clock.now().timestamp()
    post = write_buffer.Post("feedback", late | {"request_id": "late-answer"}, moment)
    write_buffer.to_redis([write_buffer.pack(post), write_buffer.pack(post), b"no post"])
    drain.run(threading.Event(), once=True)
    third, first, second = drain.dead_letters()
    put(answered("late-answer", [5], user_id=1))

    run = shown.shop.run
    unknown = run("serve", "intake", "--replay", "posts:waiting/1-1")
    assert (unknown.returncode, unknown.stderr.count("\n")) == (2, 1)
    assert f"posts:waiting/{first['entry']}" in run("serve", "intake", "--dead").stdout
    one = run("serve", "intake", "--replay", f"posts:waiting/{first['entry']}", "--json")
    assert one.stdout == '{"replayed": 1}\n', one.stderr
    assert [letter["entry"] for letter in drain.dead_letters()] == [third["entry"], second["entry"]]
    drain.run(threading.Event(), once=True)
    assert placed(shown)[0][:2] == (1, 5)

    with ThreadPoolExecutor(2) as pool:
        both = [pool.submit(drain.replay, "all") for _ in range(2)]
        errors = [each.exception() for each in both]
        moved = [each.result() for each, error in zip(both, errors, strict=True) if error is None]
    assert all(error is None or isinstance(error, NotFound) for error in errors)
    assert sum(moved) == 2
    drain.run(threading.Event(), once=True)
    assert len(placed(shown)) == 1
    assert shown.rows("SELECT count(*) FROM recommendations_db.user_interactions") == [(1,)]
    # what is wrong whenever it is tried stays a dead letter
    assert [letter["data"] for letter in drain.dead_letters()] == ["no post"]
