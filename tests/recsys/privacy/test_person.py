"""What leads to a person: addresses of their own, and never those of somebody else."""

from __future__ import annotations

from pathlib import Path

import pytest

from recsys.database.session import unit_of_work
from recsys.privacy import person as people
from recsys.privacy.person import Person
from recsys.privacy.places.files import FILE_PLACES
from recsys.privacy.places.tables import TABLE_PLACES
from recsys.settings import get_settings
from tests.support.shop import Shop

EVE, ADA = 11, 12
GUEST = "guest@example.org"


@pytest.fixture
def eve(shop: Shop) -> Person:
    """Someone who typed the addresses and the telephone of others wherever the shop takes them."""
    with shop.connect() as connection:
        for number, name in ((EVE, "eve"), (ADA, "ada")):
            connection.execute(
                "INSERT INTO users_db.users (id, username, full_name, email, password_hash) "
                "VALUES (%s, %s, 'Somebody', %s, 'x')",
                (number, name, f"{name}@example.org"),
            )
            connection.execute(
                "INSERT INTO users_db.user_profiles (user_id, phone) VALUES (%s, '+49301234567')", (number,)
            )
        for place, (owner, address) in enumerate(
            [(EVE, "ada@example.org"), (EVE, "Old@example.org"), (EVE, GUEST), (None, GUEST)]
        ):
            connection.execute(
                "INSERT INTO orders_db.orders "
                "(order_number, user_id, email, status, subtotal_price, total_price) "
                "VALUES (%s, %s, %s, 'pending', 1, 1)",
                (f"N-{place}", owner, address),
            )
        for place, (address, used) in enumerate(
            [
                ("asked@example.org", None),
                ("used@example.org", "2024-01-02"),
                ("ada@example.org", "2024-01-02"),
            ]
        ):
            connection.execute(
                "INSERT INTO users_db.account_tokens (user_id, purpose, token_hash, email, created_at, "
                "expires_at, used_at) VALUES (%s, 'change_email', %s, %s, '2024-01-01', '2024-01-03', %s)",
                (EVE, f"hash-{place}", address, used),
            )
        for address in ("ada@example.org", GUEST, "asked@example.org", "eve@example.org"):
            connection.execute(
                "INSERT INTO notifications_db.email_logs (to_email, cc_email, subject, status) "
                "VALUES (%s, ARRAY['Eve@example.org', 'root@example.org'], 'Hello', 'sent')",
                (address,),
            )
        connection.execute(
            "INSERT INTO notifications_db.sms_logs (phone_number, message, status) "
            "VALUES ('+49301234567', 'for Ada', 'sent')"
        )
        connection.execute(
            "INSERT INTO notifications_db.sent_notices (key) VALUES "
            "('welcome:mail:old@example.org'), ('welcome:mail:0ld@example.org')"
        )
    with unit_of_work() as session:
        return people.find(session, EVE)


def test_an_address_of_others_is_not_the_persons(eve: Person) -> None:
    assert eve.emails == ("eve@example.org", "old@example.org", "used@example.org")
    assert eve.phones == ()


def test_mails_and_texts_of_others_are_neither_exported_nor_erased(eve: Person, shop: Shop) -> None:
    places = [place for place in TABLE_PLACES if place.table.startswith("notifications_db.")]
    with unit_of_work() as session:
        exported = [row for place in places for row in place.rows(session, eve)]
        assert [row["to_email"] for row in exported if "to_email" in row] == ["eve@example.org"]
        assert not any("phone_number" in row for row in exported)
        for place in places:
            place.erase(session, eve)
    with shop.connect() as connection:
        mails = connection.execute("SELECT to_email, cc_email FROM notifications_db.email_logs").fetchall()
        texts = connection.execute("SELECT message FROM notifications_db.sms_logs").fetchall()
        notices = connection.execute("SELECT key FROM notifications_db.sent_notices").fetchall()
    others = ("ada@example.org", GUEST, "asked@example.org")
    assert sorted(mails) == sorted((address, ["root@example.org"]) for address in others)
    assert texts == [("for Ada",)]
    assert notices == [("welcome:mail:0ld@example.org",)]


@pytest.mark.parametrize("username", ["view", "order.paid", "click", "5", "true"])
def test_a_username_that_is_an_ordinary_word_names_nobody(username: str) -> None:
    person = Person(7, is_known=True, emails=("ada@example.org",), usernames=(username,))
    entry = {"name": username, "data": {"interaction_type": username, "user_id": 8, "who": [username]}}
    assert not person.is_named_in(entry)
    assert person.is_named_in({"data": {"username": username.upper()}})
    assert person.is_named_in({"to": "Ada@example.org"})
    assert person.is_named_in({"user_id": 7})


ORDINARY = Person(
    7,
    is_known=True,
    emails=("ada@example.org",),
    usernames=("name",),
    phones=("2024", "20240102", "+49 30 1234567"),
    sessions=("s1", "purchase", "20240102", "c0ffee-4711"),
    words=("user", "model", "5", "Ada Byron", "hit rate"),
)
"""Somebody whose names are words and numbers of any file."""


@pytest.mark.parametrize(
    "text",
    [
        '{"user": 8, "model": "model", "name": "name", "hit rate": 0.5, "k": 5, "day": 20240102}',
        '{"year": "2024", "type": "purchase", "hit rate" : 5}',
        "name,model,user\nname,5,2024\n",
        "step=s1 5,model",
    ],
)
def test_words_and_numbers_of_a_file_are_not_taken_for_a_person(text: str) -> None:
    assert ORDINARY.pattern.findall(text.encode()) == []


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("mail to Ada@example.org failed", b"Ada@example.org"),
        ('{"who": "Ada Byron"}', b"Ada Byron"),
        ('{"username": "name"}', b"name"),
        ("Key (username)=(name) already exists", b"name"),
        ("username=name, other=name", b"name"),
        ("sms to +49 30 1234567.", b"+49 30 1234567"),
        ("session c0ffee-4711 ended", b"c0ffee-4711"),
        ('{"user_id": 7, "rank": 7}', b"7"),
    ],
)
def test_what_names_a_person_is_found_once(text: str, named: bytes) -> None:
    assert [match.group() for match in ORDINARY.pattern.finditer(text.encode())] == [named]


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("user,sku\nname,name\nother,name\n", "user,sku\nxxxx,name\nother,name\n"),
        ('sku,"user_id"\n"a,b","Name"\nname,5\n', 'sku,"user_id"\n"a,b","xxxx"\nname,5\n'),
        ("name,sku\nname,name\n", "name,sku\nname,name\n"),
        (
            'file,line,column,reason,row\na.csv,2,name,name,"sku1,name,view"\n',
            'file,line,column,reason,row\na.csv,2,name,name,"sku1,xxxx,view"\n',
        ),
    ],
)
def test_a_username_leaves_the_users_of_a_table_of_text(tmp_path: Path, before: str, after: str) -> None:
    settings = get_settings().model_copy(update={"var": tmp_path})
    file = tmp_path / "exported" / "lists.csv"
    file.parent.mkdir()
    file.write_text(before)
    count = FILE_PLACES["other files of var"].erase(settings, ORDINARY, [])
    assert (count, file.read_text()) == (int(before != after), after)
