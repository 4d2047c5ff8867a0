"""`recsys users` as a real process: passwords by stdin, one clear line for what is wrong."""

from __future__ import annotations

import json
import os
import subprocess
import sys

from tests.recsys.domains.users.conftest import PASSWORD, Desk
from tests.support.servers import ROOT

# joined by hand, so that the test needs no new installation after a change of the entry points
_PROGRAM = """
import sys
from recsys import cli
from recsys.domains.users.cli import app
cli.app.add_typer(app, name="users")
sys.exit(cli.run(["users", *sys.argv[1:]]))
"""


def _run(*args: str, password: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", _PROGRAM, *args],
        env={**os.environ, "PYTHONPATH": str(ROOT), "COLUMNS": "200"},
        input=f"{password}\n",
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_an_administrator_is_made_and_an_imported_user_gets_a_password(desk: Desk) -> None:
    made = _run("create-admin", "Root@example.org", "--json", password=PASSWORD)
    assert made.returncode == 0, made.stderr
    assert json.loads(made.stdout)["username"] == "root"
    token = desk.log_in("root").json()["token"]
    me = desk.client.get("/api/v1/users/me", headers={"Authorization": f"Bearer {token}"}).json()
    assert me["is_admin"] is True

    with desk.shop.connect() as connection:
        connection.execute(
            "INSERT INTO users_db.users (email, username, full_name, password_hash) "
            "VALUES ('H-1@example.invalid', 'H-1', 'H', '!')"
        )
    done = _run("set-password", "h-1", password="another long one")
    assert done.returncode == 0, done.stderr
    desk.log_in("h-1", password="another long one")
    assert PASSWORD not in made.stdout + made.stderr + done.stdout + done.stderr


def test_what_is_wrong_is_one_line_and_changes_nothing(desk: Desk) -> None:
    desk.register("ada")
    for args, password, message in (
        (("create-admin", "no-address"), PASSWORD, "email"),
        (("create-admin", "ada@example.org"), PASSWORD, "taken"),
        (("create-admin", "bob@example.org"), "short", "password"),
        (("set-password", "nobody"), PASSWORD, "nobody"),
        (("set-password", "ada"), "short", "8 to 200"),
    ):
        done = _run(*args, password=password)
        assert (args, done.returncode) == (args, 2), done.stderr
        assert message in done.stderr
        assert len(done.stderr.strip().splitlines()) == 1
        assert password not in done.stderr
    assert desk.rows("SELECT count(*) FROM users_db.users") == [(1,)]
    desk.log_in("ada")
