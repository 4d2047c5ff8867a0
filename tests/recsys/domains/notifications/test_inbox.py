"""What a user finds in the shop: newest first, counted, marked, wanted, and never stale."""

from __future__ import annotations

from typing import Any

import pytest
import redis

from recsys.database.session import unit_of_work
from recsys.domains.notifications import inbox, service
from tests.journeys.conftest import Counter
from tests.recsys.domains.users.conftest import Person


def tell(counter: Counter, user: Person, number: int, **more: Any) -> Any:
    body = {
        "user_id": user.id,
        "template": "order_delivered",
        "values": {"order_number": str(number)},
        "channels": ["in_app"],
    }
    return counter.send("POST", "/admin/notifications", who=counter.admin, json={**body, **more}, status=201)


def titles(page: Any) -> list[str]:
    return [one["title"].removeprefix("Order ").removesuffix(": delivered") for one in page["items"]]


def test_pages_reach_past_what_redis_holds(counter: Counter) -> None:
    ada = counter.desk.person("ada")
    for number in range(60):
        tell(counter, ada, number)
    page = counter.send("GET", "/notifications?limit=25", who=ada)
    seen = titles(page)
    assert counter.redis.llen(f"notifications:{ada.id}") == 50
    while page["next_cursor"]:
        page = counter.send("GET", f"/notifications?limit=25&cursor={page['next_cursor']}", who=ada)
        seen += titles(page)
    assert seen == [str(number) for number in range(59, -1, -1)]


def test_reading_counts_down_and_redis_never_shows_what_was(counter: Counter) -> None:
    ada, bob = counter.desk.person("ada"), counter.desk.person("bob")
    for number in range(3):
        tell(counter, ada, number)
    first = counter.send("GET", "/notifications", who=ada)["items"][0]["id"]
    counter.send("POST", f"/notifications/{first}/read", who=bob, status=404)
    counter.send("POST", f"/notifications/{first}/read", who=ada)
    counter.send("POST", f"/notifications/{first}/read", who=ada)
    assert [one["is_read"] for one in counter.send("GET", "/notifications", who=ada)["items"]] == [
        True,
        False,
        False,
    ]
    assert counter.send("GET", "/notifications/unread-count", who=ada) == {"count": 2}
    assert len(counter.send("GET", "/notifications?unread=true", who=ada)["items"]) == 2
    assert counter.send("POST", "/notifications/read-all", who=ada) == {"count": 2}
    assert counter.send("GET", "/notifications/unread-count", who=ada) == {"count": 0}
    assert all(one["is_read"] for one in counter.send("GET", "/notifications", who=ada)["items"])
    counter.settle_events()
    assert counter.stream("notification_events").count("notification.read") == 3


def test_what_a_user_does_not_want_is_not_sent(counter: Counter) -> None:
    ada = counter.desk.person("ada")
    assert counter.send("GET", "/notification-preferences", who=ada) == {
        "email": True,
        "sms": False,
        "push": True,
        "in_app": True,
        "kinds": {},
    }
    wanted = {"kinds": {"promotion": {"in_app": False}}}
    counter.send("PUT", "/notification-preferences", who=ada, json=wanted)
    assert tell(counter, ada, 1)["messages"] == {}
    assert set(tell(counter, ada, 2, kind="order_update")["messages"]) == {"in_app"}
    counter.send("PUT", "/notification-preferences", who=ada, json={"in_app": False})
    assert tell(counter, ada, 3, kind="order_update")["messages"] == {}
    wrong = {"kinds": {"promotion": {"pigeon": True}}}
    counter.send("PUT", "/notification-preferences", who=ada, json=wrong, status=422)


def test_a_repeated_event_notifies_nobody_twice(counter: Counter) -> None:
    ada = counter.desk.person("ada")
    for _ in range(2):
        with unit_of_work() as session:
            service.notify(session, ada.id, "welcome", {"name": "x"}, once="event-1")
    assert len(counter.send("GET", "/notifications", who=ada)["items"]) == 1


def test_templates_are_edited_previewed_and_switched_off(counter: Counter) -> None:
    ada = counter.desk.person("ada")
    path = "/admin/notification-templates"
    assert {one["name"] for one in counter.send("GET", path, who=counter.admin)} >= {"welcome", "order_paid"}
    mine = {"subject": "Hi {{ name }}", "body_text": "You!", "variables": {"name": "text"}}
    counter.send("PUT", f"{path}/welcome", who=counter.admin, json=mine)
    shown = counter.send(
        "POST", f"{path}/welcome/preview", who=counter.admin, json={"values": {"name": "Ann"}}
    )
    assert shown == {"subject": "Hi Ann", "html": None, "text": "You!"}
    wrong = {**mine, "subject": "Hi {{ nam }}"}
    answer = counter.send("PUT", f"{path}/welcome", who=counter.admin, json=wrong, status=422)
    assert answer["detail"] == "subject uses variables that are not declared: nam."
    new = {"name": "sale", "body_text": "Sale!", "variables": {}}
    counter.send("POST", path, who=counter.admin, json=new, status=201)
    counter.send("POST", path, who=counter.admin, json=new, status=409)
    counter.send("PUT", f"{path}/welcome", who=counter.admin, json={**mine, "is_active": False})
    body = {"user_id": ada.id, "template": "welcome", "values": {"name": "x"}}
    counter.send("POST", "/admin/notifications", who=counter.admin, json=body, status=404)
    missing = {"user_id": ada.id, "template": "sale", "values": {"name": "x"}}
    counter.send("POST", "/admin/notifications", who=counter.admin, json=missing, status=422)


def test_notifications_come_from_the_table_while_redis_is_away(counter: Counter) -> None:
    ada = counter.desk.person("ada")
    tell(counter, ada, 7)

    class Away:
        def pipeline(self, **_: object) -> object:
            raise redis.ConnectionError("away")

    with pytest.MonkeyPatch.context() as patch, unit_of_work() as session:
        patch.setattr(inbox, "get_redis", Away)
        assert [one.title for one in inbox.newest(session, ada.id)] == ["Order 7: delivered"]
