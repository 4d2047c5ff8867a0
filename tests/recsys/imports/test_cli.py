"""The commands as a person or a script runs them."""

from __future__ import annotations

import json

from tests.recsys.imports.desk import EVENTS, HEADER, PRODUCTS, USERS, Desk


def test_json_for_scripts_and_the_refused_file_under_var(desk: Desk) -> None:
    files = (
        "--users",
        desk.write("u.csv", USERS),
        "--products",
        desk.write("p.csv", PRODUCTS),
        "--interactions",
        desk.write("i.csv", EVENTS + "eve,tea,view,2024-03-01,,,,\n"),
    )
    done = desk.shop.run("import", "csv", *files, "--json")
    assert done.returncode == 0, done.stderr
    summary = json.loads(done.stdout)
    assert summary["tables"]["user_interactions"]["added"] == 4
    assert summary["refused"]["by_reason"] == {"i.csv": {"unknown user": 1}}
    [refused] = (desk.shop.var / "imports").glob("*-refused.csv")
    assert summary["refused"]["file"] == str(refused)
    assert summary["peak_memory_mib"] > 0


def test_a_person_reads_a_table(desk: Desk) -> None:
    events = desk.write("i.csv", EVENTS + "ann,tea,stare,2024-03-01,,,,\n")
    done = desk.shop.run(
        "import", "csv", "--interactions", events, "--create-missing", "--rejects", desk.refused_file
    )
    assert done.returncode == 0, done.stderr
    for words in ("user_interactions", "unknown interaction_type", str(desk.refused_file), "peak memory"):
        assert words in done.stdout
    assert [line for _, line, _, _ in desk.refused()] == [6]


def test_bad_input_is_one_line_and_exit_code_2(desk: Desk) -> None:
    file = desk.write("i.csv", "user,item\n1,2\n")
    done = desk.shop.run("import", "csv", "--interactions", file)
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.strip().endswith(
        "i.csv has no column product, interaction_type, created_at; it has: user, item; "
        "name columns with --map THEIRS=OURS, or add --no-times if the file has none"
    )
    assert desk.shop.run("import", "csv").returncode == 2


def test_an_import_that_stores_nothing_does_not_pretend_to_succeed(desk: Desk) -> None:
    done = desk.shop.run(
        "import", "csv", "--interactions", desk.write("i.csv", HEADER + "a,b,view,2024-01-01,,,,\n")
    )
    assert done.returncode == 1
    assert "unknown user" in done.stdout


def test_help_shows_an_example(desk: Desk) -> None:
    for command in ("csv", "complete-journey"):
        done = desk.shop.run("import", command, "--help")
        assert done.returncode == 0
        assert f"recsys import {command}" in done.stdout
