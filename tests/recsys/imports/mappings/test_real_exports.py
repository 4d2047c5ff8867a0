"""Files of the shapes that shops really have; each of these was once lost, refused wrongly or crashed."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import polars as pl
import pytest

from recsys.errors import Invalid
from recsys.imports.readers.source import ReadOptions
from tests.recsys.imports.desk import Desk, counts

HEADER = "user,product,interaction_type,created_at"
USERS = "SELECT username FROM users_db.users ORDER BY username"
PRODUCTS = "SELECT sku FROM products_db.products ORDER BY sku"
EVENTS = """SELECT coalesce(username, ''), sku, interaction_type, interaction_value FROM
    recommendations_db.user_interactions i JOIN products_db.products p ON p.id = product_id
    LEFT JOIN users_db.users u ON u.id = user_id ORDER BY i.id"""


@pytest.mark.parametrize(
    "content",
    [
        f"{HEADER}\ru0,p0,view,2024-03-01\ru1,p1,view,2024-03-02\r",
        f"\n{HEADER}\nu0,p0,view,2024-03-01\nu1,p1,view,2024-03-02\n",
        "sep=;\r\nuser;product;interaction_type;created_at\r\nu0;p0;view;2024-03-01\r\nu1;p1;view;2024-03-02\r\n",
        "user, product, interaction_type, created_at\nu0, p0, view, 2024-03-01\nu1, p1, view, 2024-03-02\n",
        "\ufeff\ufeffuser\tproduct\tinteraction_type\tcreated_at\nu0\tp0\tView\t2024-03-01\nu1\tp1\tVIEW\t2024-03-02",
        "".join(
            json.dumps(
                {"user": f"u{i}", "product": f"p{i}", "interaction_type": "view", "created_at": "2024-03-01"}
            )
            + "\n"
            for i in range(2)
        ),
    ],
    ids=[
        "CR line ends",
        "blank first line",
        "Excel's sep=",
        "blanks after commas",
        "TSV, two marks",
        "JSON lines",
    ],
)
def test_every_text_shape_gives_the_same_ids(desk: Desk, content: str) -> None:
    report = desk.take(interactions=content, create_missing=True)
    assert counts(report, "user_interactions") == (2, 2, 0, 0, 0)
    assert (desk.rows(USERS), desk.rows(PRODUCTS)) == ([("u0",), ("u1",)], [("p0",), ("p1",)])


def test_a_description_of_hundreds_of_lines_is_stored_whole(desk: Desk) -> None:
    html = "<p>" + "\n".join(f"<li>row {i}</li>" for i in range(300)) + "</p>"
    desk.take(products=f'product,name,price,description\nhl1,Tea,3.5,"{html}"\nhl2,Mug,4,short\n')
    assert desk.rows("SELECT sku, description FROM products_db.products ORDER BY sku") == [
        ("hl1", html),
        ("hl2", "short"),
    ]


def test_quotes_escaped_by_backslash_are_read(desk: Desk) -> None:
    rows = "".join(f'b{i},"Pan {i}\\" steel, black",0.5\n' for i in range(50))
    report = desk.take(products="product,name,price\n" + rows)
    assert counts(report, "products") == (50, 50, 0, 0, 0)
    assert desk.rows("SELECT name FROM products_db.products WHERE sku = 'b7'") == [('Pan 7" steel, black',)]


def test_a_quote_that_is_never_closed_ends_where_the_number_of_columns_says(desk: Desk) -> None:
    """Such as a tool writes that escapes quotes and forgets the last one."""
    open_rows = [f'bqx{i},"Pan {i}\\" steel, black,{i}.5' for i in range(1000)]
    good = ['ok1,"Pot ""10"", red",2.5', "ok2,Lid,3", 'ok3,"two\nlines",4']
    unclear = [
        'no1,"Pan 1\\" steel',
        'no2,"Pan 2\\" steel" black,2',
        'no3,"Pan 3, black,3',
        'no4,"Pan 4\\",4"',
    ]
    lines = [good[0], *open_rows[:500], good[1], *unclear, *open_rows[500:], good[2]]
    report = desk.take(products="\n".join(["product,name,price", *lines]) + "\n")
    assert counts(report, "products") == (1007, 1003, 0, 0, 4)
    found = desk.rows("SELECT sku, name, price::float FROM products_db.products")
    assert sorted(found) == sorted(
        [("ok1", 'Pot "10", red', 2.5), ("ok2", "Lid", 3.0), ("ok3", "two\nlines", 4.0)]
        + [(f"bqx{i}", f'Pan {i}" steel, black', i + 0.5) for i in range(1000)]
    )
    # nothing else is lost: each row as it stands in the file, with its line
    refused = desk.refused_rows()
    assert [row["row"] for row in refused] == unclear
    assert [int(row["line"]) for row in refused] == [lines.index(row) + 2 for row in unclear]
    assert [note for note in report.notes if "1,000 rows open a quote and never close it" in note]


@pytest.mark.one_server
def test_dismissals_follow_the_rule_of_the_api(desk: Desk) -> None:
    report = desk.take(
        interactions=f"{HEADER},interaction_value\nu,p,dismissed,2024-01-01,\nu,p,dismissed,2024-01-02,-1\n",
        create_missing=True,
    )
    assert counts(report, "user_interactions") == (2, 2, 0, 0, 0)
    assert desk.rows(EVENTS) == [("u", "p", "dismissed", None), ("u", "p", "dismissed", Decimal(-1))]


def test_the_letters_of_a_zero_character_are_no_zero_character(desk: Desk) -> None:
    contexts = [
        '{"path":"C:\\\\u0000x"}',
        '{"big":123456789012345678901234567890}',
        "{}",
        '{"nul":"\\u0000"}',
    ]
    quoted = ['"' + text.replace('"', '""') + '"' for text in contexts]
    rows = "".join(f"u,p{i},view,2024-01-01,{text}\n" for i, text in enumerate(quoted))
    report = desk.take(interactions=f"{HEADER},context\n{rows}", create_missing=True)
    assert counts(report, "user_interactions") == (4, 3, 0, 0, 1)
    assert [(row["line"], row["column"]) for row in desk.refused_rows()] == [("5", "context")]
    stored = "SELECT context->>'path' FROM recommendations_db.user_interactions WHERE context ? 'path'"
    assert desk.rows(stored) == [("C:\\u0000x",)]


def test_digits_that_read_as_a_date_are_no_unix_time(desk: Desk) -> None:
    report = desk.take(
        interactions=f"{HEADER}\nu,p,view,202403011005\nu,p,view,20240301100559\nu,p,view,1709287200\n",
        create_missing=True,
    )
    assert counts(report, "user_interactions") == (3, 1, 0, 0, 2)
    assert {row["column"] for row in desk.refused_rows()} == {"created_at"}
    assert all("--date-format" in row["reason"] for row in desk.refused_rows())


def test_words_of_interactions_are_named_when_unknown(desk: Desk) -> None:
    words = ["view", "PURCHASE", " purchase ", "transaction", "addtocart", "click"]
    rows = "".join(f"u,p{i},{word},2024-01-01\n" for i, word in enumerate(words))
    report = desk.take(interactions=f"{HEADER}\n{rows}", create_missing=True)
    assert counts(report, "user_interactions") == (6, 3, 0, 0, 3)
    assert [row["reason"] for row in desk.refused_rows()] == [
        f"unknown interaction_type '{word}'" for word in ("transaction", "addtocart", "click")
    ]
    assert any("view, like, add_to_cart" in note and "--type" in note for note in report.notes)


def test_a_file_of_nothing_but_a_header_is_reported(desk: Desk) -> None:
    report = desk.take(interactions=HEADER + "\n")
    assert any("no rows" in note for note in report.notes)


def test_text_of_excel_in_latin_1_is_stored_and_reported(desk: Desk) -> None:
    content = "product,name,price\nlatp1,Café crème,3.5\nlatp2,Plain tea,2\n".encode("latin-1")
    report = desk.take(products=content)
    assert counts(report, "products") == (2, 2, 0, 0, 0)
    assert any("Windows-1252" in note for note in report.notes)
    assert desk.rows("SELECT name FROM products_db.products WHERE sku = 'latp1'") == [("Café crème",)]


def test_doubtful_ids_are_counted(desk: Desk) -> None:
    users = [
        "nan",
        "NaN",
        "NULL",
        "(not set)",
        "\\N",
        "undefined",
        "17850.0",
        "17850",
        "1.23E+10",
        "Zoe\u0301",
        "Zoé",
    ]
    rows = "".join(f"{user},idn_p,view,2024-01-01\n" for user in users)
    report = desk.take(interactions=f"{HEADER}\n{rows},22423.0,view,2024-01-02\n", create_missing=True)
    assert report.doubtful_ids == {
        "interactions.csv": {
            "user": {
                "placeholder": 6,
                "whole number with decimals": 1,
                "also without decimals": 1,
                "rounded by a spreadsheet": 1,
                "same letters composed otherwise": 1,
            },
            "product": {"whole number with decimals": 1},
        }
    }
    assert report.as_json()["doubtful_ids"] == report.doubtful_ids
    assert sum("doubtful ids" in note for note in report.notes) == 2


def test_several_files_and_patterns_are_all_read(desk: Desk) -> None:
    files = [desk.write(f"day-{day}.csv", f"{HEADER}\nu{day},p,view,2024-03-0{day}\n") for day in (1, 2, 3)]
    other = desk.write("other.csv", f"{HEADER}\nu4,p,view,2024-03-04\n")
    pattern = Path(str(files[0]).replace("day-1", "day-*"))
    report = desk.take(interactions=[pattern, other, files[0]], create_missing=True)
    assert counts(report, "user_interactions") == (4, 4, 0, 0, 0)
    assert len(desk.rows(USERS)) == 4
    with pytest.raises(Invalid, match="matches no file"):
        desk.take(interactions=[desk.folder / "no-*.csv"])


def test_a_wrong_later_file_leaves_everything_unwritten(desk: Desk) -> None:
    good = desk.write("good.csv", f"{HEADER}\nu,p,view,2024-03-01\n")
    bad = desk.write("bad.csv", "user,item\nu,p\n")
    with pytest.raises(Invalid, match="has no column product"):
        desk.take(interactions=[good, bad], create_missing=True)
    assert desk.rows(USERS) == []


def test_a_given_separator_and_encoding_are_used(desk: Desk) -> None:
    content = "user^product^interaction_type^created_at\nJosé^p^view^2024-01-01\n".encode("cp1250")
    options = ReadOptions(separator="^", encoding="cp1250")
    desk.take(interactions=content, create_missing=True, options=options)
    assert desk.rows(USERS) == [("José",)]


def test_ids_stored_as_floats_null_columns_and_binary_columns_of_parquet(desk: Desk) -> None:
    path = desk.folder / "events.parquet"
    pl.DataFrame(
        {
            "user": [17851.0, None],
            "product": [5001.0, 5002.0],
            "interaction_type": ["view", "view"],
            "created_at": [datetime(2024, 3, 1, 10, tzinfo=UTC)] * 2,
            "session_id": [None, "s"],
            "event_id": pl.Series([None, None], dtype=pl.Null),
            "payload": [b"\x00\x01", None],
        }
    ).write_parquet(path)
    report = desk.take(interactions=path, create_missing=True)
    assert counts(report, "user_interactions") == (2, 2, 0, 0, 0)
    assert (desk.rows(USERS), desk.rows(PRODUCTS)) == ([("17851",)], [("5001",), ("5002",)])


def test_users_that_are_binary_uuids_are_uuids(desk: Desk) -> None:
    path = desk.folder / "events.parquet"
    pl.DataFrame(
        {
            "user": [bytes.fromhex("0001fffe" * 4)],
            "product": ["p"],
            "interaction_type": ["view"],
            "created_at": [datetime(2024, 3, 1, tzinfo=UTC)],
        }
    ).write_parquet(path)
    desk.take(interactions=path, create_missing=True)
    assert desk.rows(USERS) == [("0001fffe-0001-fffe-0001-fffe0001fffe",)]


def test_an_ascii_terminal_gets_its_summary(desk: Desk) -> None:
    events = desk.write("évents.csv", f"{HEADER}\nu,p,view,2024-01-01\nu,p,stäre,2024-01-01\n")
    done = desk.shop.run(
        "import", "csv", "--interactions", events, "--create-missing", PYTHONIOENCODING="ascii", LC_ALL="C"
    )
    assert done.returncode == 0, done.stderr
    assert "user_interactions" in done.stdout
    assert done.stdout.isascii()


def test_standard_input_is_read(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    import io
    import sys

    content = f"{HEADER}\nu,p,view,2024-01-01\nu,p,stare,2024-01-01\n".encode()
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(content)))
    report = desk.take(interactions=Path("-"), create_missing=True)
    assert counts(report, "user_interactions") == (2, 1, 0, 0, 1)
    assert desk.refused_rows()[0]["file"] == "standard input"
