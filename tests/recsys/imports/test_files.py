"""Files of one's own: what is stored, what is refused and why, and that nothing is stored twice."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import polars as pl
import pytest
import redis

from recsys import clock
from recsys.cache import keys
from recsys.database.session import unit_of_work
from recsys.domains.products import listing
from recsys.errors import Invalid
from recsys.imports import files
from recsys.imports.loading import interactions as merging
from recsys.imports.readers import source_file as reading
from recsys.imports.readers.source import ReadOptions
from tests.recsys.imports.desk import EVENTS, HEADER, PRODUCTS, USERS, Desk, counts
from tests.support.shop import forget_connections

INTERACTIONS = "recommendations_db.user_interactions"
MOMENTS = "SELECT DISTINCT created_at FROM recommendations_db.user_interactions"
ALL = "SELECT * FROM recommendations_db.user_interactions ORDER BY id"


@pytest.mark.one_server
def test_everything_that_a_file_says_is_stored(desk: Desk) -> None:
    report = desk.take(users=USERS, products=PRODUCTS, interactions=EVENTS)
    assert counts(report, "users") == (2, 2, 0, 0, 0)
    assert counts(report, "products") == (2, 2, 0, 0, 0)
    assert counts(report, "user_interactions") == (4, 4, 0, 0, 0)
    assert not desk.refused_file.exists()
    assert desk.rows("SELECT username, full_name, password_hash FROM users_db.users ORDER BY 1") == [
        ("ann", "Ann Ant", "!"),
        ("bob", "Bob Bee", "!"),
    ]
    assert desk.rows(
        """SELECT p.sku, p.name, p.price, c.name, parent.name, b.name, p.tags, p.description, p.created_at,
            v.inventory_quantity, v.inventory_policy, v.inventory_tracking
        FROM products_db.products p JOIN products_db.categories c ON c.id = p.category_id
            LEFT JOIN products_db.categories parent ON parent.id = c.parent_id
            LEFT JOIN products_db.brands b ON b.id = p.brand_id
            JOIN products_db.product_variants v ON v.product_id = p.id ORDER BY p.sku"""
    ) == [
        (
            *("mug", "Mug", Decimal(8), "Kitchen", None, None, None, None),
            *(datetime(2024, 1, 2, 8, tzinfo=UTC), 0, "continue", False),
        ),
        (
            *(
                "tea",
                "Green Tea",
                Decimal("3.50"),
                "Tea",
                "Drinks",
                "Leafy",
                ["green", "loose"],
                "From hills",
            ),
            *(datetime(2024, 1, 1, tzinfo=UTC), 7, "deny", True),
        ),
    ]
    assert desk.rows(
        """SELECT username, sku, interaction_type, interaction_value, session_id, i.created_at, context
        FROM recommendations_db.user_interactions i JOIN products_db.products p ON p.id = product_id
            LEFT JOIN users_db.users u ON u.id = user_id ORDER BY i.created_at"""
    ) == [
        ("ann", "tea", "view", None, "s1", datetime(2024, 3, 1, 10, tzinfo=UTC), {}),
        ("bob", "mug", "like", None, None, datetime(2024, 3, 1, 10, tzinfo=UTC), {}),
        ("ann", "tea", "purchase", Decimal(2), "s1", datetime(2024, 3, 1, 10, 5, tzinfo=UTC), {}),
        (None, "mug", "view", None, "guest-1", datetime(2024, 3, 2, 8, tzinfo=UTC), {}),
    ]


def test_users_without_a_date_were_there_at_the_first_event(desk: Desk) -> None:
    desk.take(users=USERS, products="product,name,price\ntea,Tea,1\nmug,Mug,2\n", interactions=EVENTS)
    first = datetime(2024, 3, 1, 10, tzinfo=UTC)
    assert desk.rows("SELECT DISTINCT created_at FROM users_db.users") == [(first,)]
    assert desk.rows("SELECT DISTINCT created_at FROM products_db.products") == [(first,)]


def test_a_second_import_adds_nothing(desk: Desk) -> None:
    desk.take(users=USERS, products=PRODUCTS, interactions=EVENTS)
    before = desk.rows(ALL)
    report = desk.take(users=USERS, products=PRODUCTS, interactions=EVENTS)
    assert counts(report, "users") == (2, 0, 0, 2, 0)
    assert counts(report, "products") == (2, 0, 0, 2, 0)
    assert counts(report, "user_interactions") == (4, 0, 0, 4, 0)
    assert desk.rows(ALL) == before
    assert desk.number("products_db.product_variants") == 2


def test_an_overlapping_file_adds_only_what_is_new(desk: Desk) -> None:
    desk.take(users=USERS, products=PRODUCTS, interactions=EVENTS)
    more = EVENTS + "bob,tea,view,2024-03-05,,,,\n"
    report = desk.take(interactions=more)
    assert counts(report, "user_interactions") == (5, 1, 0, 4, 0)


def test_events_without_times_are_stored_once_and_as_of_their_import(desk: Desk) -> None:
    desk.take(users=USERS, products=PRODUCTS)
    untimed, header = ReadOptions(no_times=True), "user,product,interaction_type\n"
    first = header + "ann,tea,purchase\nann,tea,purchase\nbob,mug,view\n"
    with pytest.raises(Invalid, match=r"no column created_at; .* add --no-times if the file has none"):
        desk.take(interactions=first)
    before = clock.now()
    report = desk.take(interactions=first, options=untimed)
    assert counts(report, "user_interactions") == (3, 3, 0, 0, 0)
    assert any("its events have no times" in note for note in report.notes)
    [(moment,)] = desk.rows(MOMENTS)
    assert before <= moment <= clock.now()
    report = desk.take(interactions=first + "bob,tea,view\n", options=untimed)
    assert counts(report, "user_interactions") == (4, 1, 0, 3, 0)
    assert len(desk.rows(MOMENTS)) == 2


def test_a_repeated_purchase_stays_two_and_a_repeated_event_id_one(desk: Desk) -> None:
    desk.take(users=USERS, products=PRODUCTS)
    twice = HEADER + "ann,tea,purchase,2024-03-01,1,s,,\n" * 2 + "ann,tea,purchase,2024-03-01,1,s,e1,\n" * 2
    assert counts(desk.take(interactions=twice), "user_interactions") == (4, 3, 0, 1, 0)
    assert counts(desk.take(interactions=twice), "user_interactions") == (4, 0, 0, 4, 0)


def test_occurrences_count_across_batches(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "BATCH_LINES", 2)
    desk.take(users=USERS, products=PRODUCTS)
    same = "ann,tea,purchase,2024-03-01,1,s,,\n"
    assert counts(desk.take(interactions=HEADER + same * 5), "user_interactions") == (5, 5, 0, 0, 0)
    assert counts(desk.take(interactions=HEADER + same * 7), "user_interactions") == (7, 2, 0, 5, 0)


def test_a_changed_product_is_updated_and_absent_columns_stay(desk: Desk) -> None:
    desk.take(products=PRODUCTS)
    report = desk.take(products="product,name,price,stock\ntea,Black Tea,4,9\nmug,Mug,8,\n")
    assert counts(report, "products") == (2, 0, 1, 1, 0)
    assert desk.rows(
        """SELECT p.name, p.price, p.tags, c.name, v.price, v.inventory_quantity FROM products_db.products p
        JOIN products_db.categories c ON c.id = category_id
        JOIN products_db.product_variants v ON v.product_id = p.id WHERE p.sku = 'tea'"""
    ) == [("Black Tea", Decimal(4), ["green", "loose"], "Tea", Decimal(4), 9)]
    report = desk.take(products="product,name,price,category,tags\ntea,Black Tea,4,Other > Tea,\n")
    assert counts(report, "products") == (1, 0, 1, 0, 0)
    assert desk.rows(
        """SELECT c.name, p.tags FROM products_db.products p JOIN products_db.categories c
        ON c.id = category_id WHERE sku = 'tea'"""
    ) == [("Tea (Other)", None)]


def test_a_picture_a_status_and_the_price_before_are_stored(desk: Desk) -> None:
    header = "product,name,price,compare_price,status,image\n"
    stored = """SELECT sku, compare_price, status, src, is_primary FROM products_db.products p
        LEFT JOIN products_db.product_images i ON i.product_id = p.id ORDER BY sku, i.id"""
    tea, mug = "https://x.example/tea.jpg", "https://x.example/mug.jpg"
    rows = f"tea,Tea,3,4.5,Active,{tea}\nmug,Mug,8,,draft,\n"
    assert counts(desk.take(products=header + rows), "products") == (2, 2, 0, 0, 0)
    before = [("mug", None, "draft", None, None), ("tea", Decimal("4.5"), "active", tea, True)]
    assert desk.rows(stored) == before
    assert counts(desk.take(products=header + rows), "products") == (2, 0, 0, 2, 0)
    assert desk.rows(stored) == before
    # columns that a later file lacks stay as they are
    desk.take(products="product,name,price\ntea,Tea,2\n")
    assert desk.rows(stored) == before
    desk.take(products=header + f'mug,Mug,8,9,archived,"{mug}, {tea}"\ntea,Tea,2,x,gone,\n')
    assert desk.rows(stored)[0] == ("mug", Decimal(9), "archived", mug, True)
    assert desk.refused()[-1][2] == "compare_price is not a number"


def test_categories_of_one_name_under_two_parents_are_two_and_found_again(desk: Desk) -> None:
    header = "product,name,price,category\n"
    desk.take(products=header + "a,A,1,Adult > Snacks\nb,B,1,Baby > Snacks\nc,C,1,baby >  SNACKS\n")
    stored = """SELECT c.name, p.name FROM products_db.categories c
        JOIN products_db.categories p ON p.id = c.parent_id"""
    expected = [("Snacks", "Adult"), ("Snacks (Baby)", "Baby")]
    assert sorted(desk.rows(stored)) == expected
    desk.take(products=header + "d,D,1,Baby > Snacks\ne,E,1,Adult > Snacks\n")
    assert sorted(desk.rows(stored)) == expected
    assert desk.rows(
        """SELECT c.name, array_agg(sku ORDER BY sku)
        FROM products_db.products p JOIN products_db.categories c ON c.id = category_id
        GROUP BY 1 ORDER BY 1"""
    ) == [("Snacks", ["a", "e"]), ("Snacks (Baby)", ["b", "c", "d"])]


def test_refused_events_say_why_and_where(desk: Desk) -> None:
    desk.take(users=USERS, products=PRODUCTS)
    bad = {
        "ann,,view,2024-03-01,,,,": "no product",
        ",tea,view,2024-03-01,,,,": "neither user nor session_id",
        f"{'u' * 101},tea,view,2024-03-01,,,,": "user longer than 100 characters",
        f"ann,{'p' * 101},view,2024-03-01,,,,": "product longer than 100 characters",
        f"ann,tea,view,2024-03-01,,{'s' * 256},,": "session_id longer than 255 characters",
        "ann,tea,,2024-03-01,,,,": "no interaction_type",
        "ann,tea,stare,2024-03-01,,,,": "unknown interaction_type 'stare'",
        "ann,tea,view,,,,,": "no created_at",
        "ann,tea,view,soon,,,,": "created_at is not an ISO 8601 or Unix time",
        "ann,tea,view,1969-12-31,,,,": "created_at is before 1970",
        "ann,tea,view,2999-01-01,,,,": "created_at is in the future",
        "ann,tea,view,2024-03-01,much,,,": "interaction_value is not a number",
        "ann,tea,view,2024-03-01,NaN,,,": "interaction_value is not a number",
        "ann,tea,view,2024-03-01,inf,,,": "interaction_value is not a number",
        "ann,tea,view,2024-03-01,-100000000,,,": "interaction_value is larger than 99999999.99",
        "ann,tea,view,2024-03-01,100000000,,,": "interaction_value is larger than 99999999.99",
        "ann,tea,view,2024-03-01,,,,{oops": "context is not a JSON object",
        "ann,tea,view,2024-03-01,,,,3": "context is not a JSON object",
        "eve,tea,view,2024-03-01,,,,": "unknown user",
        "ann,cup,view,2024-03-01,,,,": "unknown product",
        "ann,tea,view": "not 8 fields",
        'ann,tea,view,2024-03-01,,,,"{': "quote never closed",
    }
    good = 'ann,tea,view,2024-03-01,99999999.99,,,"{""a"": [1, ""é""]}"\n'
    report = desk.take(interactions=HEADER + "\n".join(bad) + "\n" + good)
    assert counts(report, "user_interactions") == (len(bad) + 1, 1, 0, 0, len(bad))
    expected = [("interactions.csv", line, reason, row) for line, (row, reason) in enumerate(bad.items(), 2)]
    assert desk.refused() == expected
    assert desk.refused_file.stat().st_mode & 0o077 == 0
    assert desk.rows("SELECT context, interaction_value FROM recommendations_db.user_interactions") == [
        ({"a": [1, "é"]}, Decimal("99999999.99"))
    ]
    by_reason = report.as_json()["refused"]["by_reason"]["interactions.csv"]
    assert by_reason["interaction_value is not a number"] == 3
    assert any("--create-missing" in note for note in report.notes)


def test_refused_products_say_why(desk: Desk) -> None:
    bad = {
        ",Tea,1,,,,,,": "no product",
        f"{'p' * 101},Tea,1,,,,,,": "product longer than 100 characters",
        "tea,Tea again,1,,,,,,": "duplicate product",
        "a1,,1,,,,,,": "no name",
        f"a2,{'n' * 256},1,,,,,,": "name longer than 255 characters",
        "a3,Tea,,,,,,,": "no price",
        "a4,Tea,cheap,,,,,,": "price is not a number",
        "a5,Tea,-0.01,,,,,,": "price is negative",
        "a6,Tea,100000000,,,,,,": "price is larger than 99999999.99",
        "a7,Tea,1,A > > B,,,,,": "empty level in category",
        f"a8,Tea,1,{'c' * 101},,,,,": "level of category longer than 100 characters",
        f"a9,Tea,1,,{'b' * 101},,,,": "brand longer than 100 characters",
        "b1,Tea,1,,,,,never,": "created_at is not an ISO 8601 or Unix time",
        "b2,Tea,1,,,,,,1.5": "stock is not a whole number",
        "b3,Tea,1,,,,,,-1": "stock is negative",
        "b4,Tea,1,,,,,,2147483648": "stock is larger than 2147483647",
    }
    report = desk.take(products=PRODUCTS + "\n".join(bad) + "\n")
    assert [(line, reason) for _, line, reason, _ in desk.refused()] == list(enumerate(bad.values(), 4))
    assert counts(report, "products") == (2 + len(bad), 2, 0, 0, len(bad))


def test_refused_users_say_why(desk: Desk) -> None:
    desk.take(users="user,email\nzoe,zoe@shop.example\n")
    report = desk.take(
        users="user,email,username,full_name\n"
        "ann,ann@shop.example,annie,\n"
        ",x@y.example,,\n"
        f"{'u' * 101},,,\n"
        "ann,,,\n"
        "b,nonsense,,\n"
        f"c,{'c' * 250}@x.example,,\n"
        "d,ann@shop.example,,\n"
        "e,zoe@shop.example,,\n"
        f"f,,{'n' * 101},\n"
        f"g,,,{'n' * 256}\n"
    )
    assert [reason for _, _, reason, _ in desk.refused()] == [
        "no user",
        "user longer than 100 characters",
        "duplicate user",
        "email is not an address",
        "email longer than 255 characters",
        "email belongs to another user",
        "email belongs to another user",
        "username longer than 100 characters",
        "full_name longer than 255 characters",
    ]
    assert counts(report, "users") == (10, 1, 0, 0, 9)
    assert desk.rows("SELECT full_name FROM users_db.users WHERE username = 'ann'") == [("annie",)]


def test_what_is_missing_is_created_when_asked_for(desk: Desk) -> None:
    report = desk.take(interactions=EVENTS, create_missing=True)
    assert counts(report, "user_interactions") == (4, 4, 0, 0, 0)
    assert report.tables["users"].added == 2
    assert desk.rows("SELECT name, price, sku FROM products_db.products ORDER BY sku") == [
        ("mug", Decimal(0), "mug"),
        ("tea", Decimal(0), "tea"),
    ]
    assert any("2 users and 2 products" in note for note in report.notes)
    report = desk.take(interactions=EVENTS, create_missing=True)
    assert counts(report, "user_interactions") == (4, 0, 0, 4, 0)
    assert desk.number("users_db.users") == 2


def test_parquet_is_stored_as_csv_is(desk: Desk, tmp_path: Path) -> None:
    frame = pl.DataFrame(
        {
            "user": [1, None, 3, 1],
            "product": [10, 10, 11, 10],
            "interaction_type": ["view", "view", "like", "view"],
            "created_at": [datetime(2024, 3, day, tzinfo=UTC) for day in (1, 2, 3, 1)],
            "interaction_value": [1.5, None, 2.0, 1.5],
            "session_id": ["s", "g", None, "s"],
        }
    )
    frame.write_csv(desk.folder / "events.csv", datetime_format="%Y-%m-%dT%H:%M:%SZ")
    frame.write_parquet(desk.folder / "events.parquet")
    first = desk.take(interactions=desk.folder / "events.csv", create_missing=True)
    assert counts(first, "user_interactions") == (4, 4, 0, 0, 0)
    again = desk.take(interactions=desk.folder / "events.parquet")
    assert counts(again, "user_interactions") == (4, 0, 0, 4, 0)


def test_a_folder_is_all_the_files_in_it(desk: Desk, tmp_path: Path) -> None:
    folder = tmp_path / "lake"
    empty = tmp_path / "empty"
    (folder / "day=2").mkdir(parents=True)
    empty.mkdir()
    head = "user_id,product_id,interaction_type,created_at\n"
    (folder / "part-0.csv").write_text(f"{head}1,1,view,2026-01-01T00:00:00Z\n")
    (folder / "day=2" / "part-1.csv").write_text(f"{head}1,1,view,2026-01-02T00:00:00Z\n")
    (folder / "_delta_log").mkdir()
    for written_by_others in ("_SUCCESS", ".part-0.csv.crc", "_delta_log/0.json"):
        (folder / written_by_others).write_text("x")
    assert [path.name for path in files._expanded([folder, folder / "part-0.csv"])] == [
        "part-1.csv",
        "part-0.csv",
    ]
    with pytest.raises(Invalid, match=r"the folder .*empty has no files"):
        files._expanded([empty])


def test_refused_rows_of_parquet_have_their_row_number(desk: Desk) -> None:
    pl.DataFrame(
        {"product": ["a", "b\0", "c"], "name": ["A", "B", None], "price": [1.0, 2.0, 3.0]}
    ).write_parquet(desk.folder / "p.parquet")
    desk.take(products=desk.folder / "p.parquet")
    assert [(line, reason) for _, line, reason, _ in desk.refused()] == [(2, "NUL character"), (3, "no name")]
    assert desk.refused()[1][3] == '{"product":"c","name":null,"price":3.0}'


def test_missing_columns_write_nothing(desk: Desk) -> None:
    with pytest.raises(Invalid, match=r"has no column price; it has: product, name; name columns with --map"):
        desk.take(users=USERS, products="product,name\na,A\n")
    assert desk.number("users_db.users") == 0


def test_two_imports_at_once_store_everything_once(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "BATCH_LINES", 10)
    lines = [f"u{i % 7},p{i % 11},view,2024-03-01T00:00:{i % 60:02d}Z,,,e{i},\n" for i in range(120)]
    files = [
        desk.write("one.csv", HEADER + "".join(lines)),
        desk.write("two.csv", HEADER + "".join(lines[::-1])),
    ]
    with ThreadPoolExecutor(max_workers=2) as both:
        reports = list(both.map(lambda file: desk.take(interactions=file, create_missing=True), files))
    assert sum(report.tables["user_interactions"].added for report in reports) == 120
    assert [report.refusals.total for report in reports] == [0, 0]
    assert desk.number(INTERACTIONS) == desk.number("recommendations_db.interaction_events") == 120
    assert desk.number("users_db.users") == 7
    assert desk.number("products_db.products") == desk.number("products_db.product_variants") == 11


def test_an_interrupted_import_is_finished_by_the_next(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "BATCH_LINES", 10)
    content = HEADER + "".join(f"ann,tea,view,2024-03-01T00:00:{i:02d}Z,,,,\n" for i in range(60))
    desk.take(users=USERS, products=PRODUCTS)
    calls = 0

    def stop(stage: str, done: int, total: int) -> None:
        nonlocal calls
        calls += stage == "user_interactions"
        if calls == 3:
            raise KeyboardInterrupt

    from recsys.imports.files import import_files

    with pytest.raises(KeyboardInterrupt):
        import_files(
            interactions=[desk.write("interactions.csv", content)],
            create_missing=False,
            refused_file=desk.refused_file,
            progress=stop,
        )
    stored = desk.number(INTERACTIONS)
    assert 0 < stored < 60
    assert counts(desk.take(interactions=content), "user_interactions") == (60, 60 - stored, 0, stored, 0)


def test_an_event_that_the_api_stored_meanwhile_wins(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    desk.take(users=USERS, products=PRODUCTS, interactions=EVENTS)
    before = desk.rows(ALL)
    # blind to what is stored, as if it had been stored right after the look
    monkeypatch.setattr(merging, "_FRESH", merging._FRESH.partition(b"WHERE NOT EXISTS")[0])
    more = EVENTS + "bob,tea,view,2024-03-05,,,,\n"
    assert counts(desk.take(interactions=more), "user_interactions") == (5, 1, 0, 4, 0)
    assert desk.rows(ALL)[:4] == before
    assert desk.number(INTERACTIONS) == desk.number("recommendations_db.interaction_events") == 5


def test_the_future_counts_from_our_clock(desk: Desk) -> None:
    desk.take(users=USERS, products=PRODUCTS)
    row = HEADER + "ann,tea,view,2017-06-01,,,,\n"
    with clock.frozen_at(datetime(2017, 1, 1, tzinfo=UTC)):
        assert desk.take(interactions=row).refusals.total == 1
    assert desk.take(interactions=row).refusals.total == 0


def test_what_redis_holds_of_a_changed_product_is_dropped(desk: Desk, redis_client: redis.Redis) -> None:
    desk.take(products=PRODUCTS)
    ids = dict(desk.rows("SELECT sku, id FROM products_db.products"))

    def price(sku: str) -> Decimal:
        with unit_of_work() as session:
            return listing.shown(session, ids[sku]).price

    assert (price("tea"), price("mug")) == (Decimal("3.50"), Decimal(8))
    redis_client.set(keys.product_inventory(ids["tea"]), 7)
    desk.take(products=PRODUCTS.replace("3.50", "4.75"))
    assert price("tea") == Decimal("4.75")
    assert not redis_client.exists(keys.product_inventory(ids["tea"]))
    # what stayed the same stays there, and so does what is only new
    assert redis_client.exists(keys.product(ids["mug"]))
    epochs = {key.decode() for key in redis_client.scan_iter("product:epoch:*")}
    assert epochs == {keys.product_epoch(ids["tea"], keys.product(ids["tea"]))}


def test_an_import_needs_no_redis(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    desk.take(products=PRODUCTS)
    monkeypatch.setenv("RECSYS_REDIS__URL", "redis://127.0.0.1:1/0")
    forget_connections()
    report = desk.take(products=PRODUCTS.replace("3.50", "4.75"))
    assert counts(report, "products")[2] == 1
    assert desk.rows("SELECT price FROM products_db.products WHERE sku = 'tea'") == [(Decimal("4.75"),)]
