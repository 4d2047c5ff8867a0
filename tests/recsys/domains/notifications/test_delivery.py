"""Messages that leave the house: a real SMTP server, its refusals, its silence, and what the logs say."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from datetime import timedelta
from email import message_from_bytes
from email.policy import default
from typing import Any

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, Envelope, Session

from recsys import clock
from recsys.domains.notifications.delivery import backoff, deliver_due
from recsys.settings import get_settings
from tests.journeys.conftest import Counter
from tests.recsys.domains.users.conftest import Person


class Postbox:
    """Takes mails, refuses `nobody@…` for good and `later@…` for now."""

    def __init__(self) -> None:
        self.mails: list[Any] = []
        self.recipients: list[str] = []

    async def handle_RCPT(
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        if address.startswith("nobody@"):
            return "550 no such mailbox"
        if address.startswith("later@"):
            return "450 try again later"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:
        assert isinstance(envelope.content, bytes)
        self.recipients += envelope.rcpt_tos
        self.mails.append(message_from_bytes(envelope.content, policy=default))
        return "250 taken"


@pytest.fixture
def postbox(monkeypatch: pytest.MonkeyPatch) -> Iterator[Postbox]:
    box = Postbox()
    server = Controller(box, hostname="127.0.0.1", port=0)
    # its start asks the port it was given; with 0 the system chooses one
    server.port = _free_port()
    server.start()
    monkeypatch.setenv("RECSYS_NOTIFICATIONS__SMTP_HOST", "127.0.0.1")
    monkeypatch.setenv("RECSYS_NOTIFICATIONS__SMTP_PORT", str(server.port))
    monkeypatch.setenv("RECSYS_NOTIFICATIONS__MAIL_FROM", "shop@example.org")
    monkeypatch.setenv("RECSYS_NOTIFICATIONS__MAX_ATTEMPTS", "2")
    get_settings.cache_clear()
    try:
        yield box
    finally:
        server.stop()


def _free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port: int = one.getsockname()[1]
    return port


@pytest.fixture
def ada(counter: Counter) -> Person:
    """Ada; what was queued for the accounts so far is gone."""
    person = counter.desk.person("ada")
    counter.settle_events()
    with_rows(counter, "DELETE FROM notifications_db.email_logs")
    return person


def with_rows(counter: Counter, statement: str, *values: object) -> None:
    with counter.desk.shop.connect() as connection:
        connection.execute(statement.encode(), values)


def tell(counter: Counter, user: int, **more: Any) -> Any:
    body = {"user_id": user, "template": "welcome", "values": {"name": "Ada <3"}, **more}
    return counter.send("POST", "/admin/notifications", who=counter.admin, json=body, status=201)["messages"]


def log_of(counter: Counter) -> list[tuple[object, ...]]:
    return counter.desk.rows("SELECT status, error_message FROM notifications_db.email_logs ORDER BY id")


def test_a_mail_arrives_whole_and_once(counter: Counter, ada: Person, postbox: Postbox) -> None:
    message_ids = tell(counter, ada.id, channels=["email"])
    assert log_of(counter) == [("queued", None)]
    # a command for cron: it ends by itself
    sent = counter.shop.run("notifications", "send", "--json")
    assert json.loads(sent.stdout) == {"sent": 1, "retried": 0, "failed": 0}, sent.stderr
    (mail,) = postbox.mails
    assert (mail["To"], mail["From"], mail["Subject"]) == (
        "ada@example.org",
        "shop@example.org",
        "Welcome",
    )
    assert mail["Message-ID"] == f"<mail-{message_ids['email']}@example.org>"
    assert mail.get_body(("html",)).get_content().strip() == "<p>Your account is ready.</p>"
    assert log_of(counter) == [("sent", None)]
    assert deliver_due() == {"sent": 0, "retried": 0, "failed": 0}
    counter.settle_events()
    assert counter.stream("notification_events").count("notification.email_sent") == 1
    assert counter.one("SELECT count(*) FROM notifications_db.outgoing_messages") == 0


def test_an_address_that_is_refused_is_given_up_and_can_be_tried_by_hand(
    counter: Counter, ada: Person, postbox: Postbox
) -> None:
    with_rows(counter, "UPDATE users_db.users SET email = 'nobody@example.org' WHERE id = %s", ada.id)
    log = tell(counter, ada.id, channels=["email"])["email"]
    assert deliver_due()["failed"] == 1
    assert log_of(counter) == [("failed", "the server refused the address (550)")]
    assert deliver_due() == {"sent": 0, "retried": 0, "failed": 0}
    with_rows(counter, "UPDATE notifications_db.email_logs SET to_email = 'ada@example.org'")
    counter.send("POST", f"/admin/email-logs/{log}/retry", who=counter.admin)
    assert deliver_due()["sent"] == 1
    counter.send("POST", f"/admin/email-logs/{log}/retry", who=counter.admin, status=409)


def test_a_server_that_is_busy_or_away_is_tried_again_later_then_given_up(
    counter: Counter, ada: Person, postbox: Postbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    with_rows(counter, "UPDATE users_db.users SET email = 'later@example.org' WHERE id = %s", ada.id)
    tell(counter, ada.id, channels=["email"])
    assert deliver_due()["retried"] == 1
    ((status, why),) = log_of(counter)
    assert (status, why) == ("queued", "The SMTP server does not take the address now (450).")
    assert deliver_due() == {"sent": 0, "retried": 0, "failed": 0}
    due = counter.one("SELECT due_at FROM notifications_db.outgoing_messages")
    assert timedelta(0) < due - clock.now() <= backoff(1)
    monkeypatch.setenv("RECSYS_NOTIFICATIONS__SMTP_PORT", str(_free_port()))
    get_settings.cache_clear()
    with_rows(counter, "UPDATE notifications_db.outgoing_messages SET due_at = now()")
    assert deliver_due()["failed"] == 1
    ((status, why),) = log_of(counter)
    assert (status, why) == ("failed", "The SMTP server can't be reached: ConnectionRefusedError.")


def test_without_a_server_mails_wait(counter: Counter, ada: Person) -> None:
    tell(counter, ada.id, channels=["email"])
    assert deliver_due()["retried"] == 1
    ((status, why),) = log_of(counter)
    assert status == "queued"
    assert "RECSYS_NOTIFICATIONS__SMTP_HOST" in str(why)


def test_copies_of_a_mail_arrive_and_blind_ones_stay_blind(
    counter: Counter, ada: Person, postbox: Postbox
) -> None:
    tell(counter, ada.id, channels=["email"], cc=["team@example.org"], bcc=["archive@example.org"])
    deliver_due()
    (mail,) = postbox.mails
    assert (mail["To"], mail["Cc"], mail["Bcc"]) == ("ada@example.org", "team@example.org", None)
    assert sorted(postbox.recipients) == ["ada@example.org", "archive@example.org", "team@example.org"]


def test_text_messages_go_to_who_wants_them(counter: Counter, ada: Person) -> None:
    counter.send("PUT", "/notification-preferences", who=ada, json={"sms": True, "email": False})
    assert tell(counter, ada.id, channels=["sms"]) == {}, "no number is known"
    # the last four digits say what the sandbox does
    for number, status in (("+4930901820", "sent"), ("+493090000", "failed"), ("+493099999", "queued")):
        with_rows(counter, "DELETE FROM notifications_db.sms_logs")
        with_rows(counter, "DELETE FROM users_db.user_profiles WHERE user_id = %s", ada.id)
        with_rows(
            counter, "INSERT INTO users_db.user_profiles (user_id, phone) VALUES (%s, %s)", ada.id, number
        )
        assert set(tell(counter, ada.id, channels=["sms", "email"])) == {"sms"}
        deliver_due()
        assert counter.one("SELECT status FROM notifications_db.sms_logs") == status


def test_waits_double_up_to_a_day() -> None:
    assert [backoff(one) for one in (1, 2, 3)] == [timedelta(minutes=one) for one in (1, 2, 4)]
    assert backoff(12) == backoff(10**6) == timedelta(days=1)
