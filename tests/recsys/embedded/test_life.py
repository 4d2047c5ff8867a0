"""The embedded servers start once, survive what machines do to them, and stop."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
import psycopg
import pytest
import redis

from recsys import embedded
from recsys.cache.client import connect
from recsys.embedded.account import server_account
from recsys.errors import Unavailable
from recsys.settings import Settings
from tests.recsys.embedded.conftest import gone, pids
from tests.support.servers import ROOT
from tests.support.shop import run_recsys


def _remember(found: embedded.Addresses, rows: int = 1000) -> None:
    with psycopg.connect(found.database_url) as connection:
        connection.execute("CREATE TABLE IF NOT EXISTS kept (n integer)")
        connection.execute("TRUNCATE kept")
        connection.execute("INSERT INTO kept SELECT generate_series(1, %s)", [rows])
    with redis.Redis.from_url(found.redis_url) as client:
        client.flushall()
        client.config_set("appendfsync", "always")
        client.set("kept", rows)


def _remembered(found: embedded.Addresses) -> tuple[int, int]:
    with psycopg.connect(found.database_url) as connection:
        row = connection.execute("SELECT count(*) FROM kept").fetchone()
        assert row is not None
    with redis.Redis.from_url(found.redis_url) as client:
        return row[0], int(client.get("kept") or 0)


def test_killed_servers_come_back_with_their_data(durable: Settings) -> None:
    _remember(embedded.addresses(durable), 5000)
    before = pids(durable)
    for pid in before.values():
        os.kill(pid, signal.SIGKILL)
    while not all(map(gone, before.values())):
        time.sleep(0.01)
    with pytest.raises(Unavailable, match="recsys up"):
        embedded.addresses(durable)
    assert {each.state for each in embedded.status(durable)} == {"stopped"}

    again = embedded.start(durable)
    assert len(again.started) == 2
    assert _remembered(again) == (5000, 5000)


def test_a_clean_stop_keeps_data_ports_and_passwords(durable: Settings) -> None:
    before = embedded.addresses(durable)
    _remember(before)
    running = pids(durable)
    assert len(embedded.stop(durable)) == 2
    assert all(map(gone, running.values()))
    assert embedded.stop(durable) == []
    again = embedded.start(durable)
    assert (again.database_url, again.redis_url) == (before.database_url, before.redis_url)
    assert _remembered(again) == (1000, 1000)


def test_starting_again_changes_nothing(durable: Settings) -> None:
    before, addresses = pids(durable), embedded.addresses(durable)
    again = embedded.start(durable)
    assert again.started == ()
    assert pids(durable) == before
    assert again == addresses


def test_durability_is_on_and_nothing_listens_beyond_the_loopback(durable: Settings) -> None:
    found = embedded.addresses(durable)
    with psycopg.connect(found.database_url) as connection:
        for name in ("fsync", "synchronous_commit", "full_page_writes"):
            assert connection.execute(f"SHOW {name}").fetchone() == ("on",)
        assert connection.execute("SHOW unix_socket_directories").fetchone() == ("",)
    with redis.Redis.from_url(found.redis_url) as client:
        assert client.config_get("appendonly") == {"appendonly": "yes"}
    for pid in pids(durable).values():
        listening = [
            each for each in psutil.Process(pid).net_connections() if each.status == psutil.CONN_LISTEN
        ]
        assert {each.laddr.ip for each in listening} == {"127.0.0.1"}


def test_only_who_knows_the_password_gets_in(durable: Settings) -> None:
    ports = {each.name: each.port for each in embedded.status(durable)}
    with pytest.raises(psycopg.OperationalError, match="authentication failed"):
        psycopg.connect(f"postgresql://recsys:wrong@127.0.0.1:{ports['postgres']}/recsys")
    with connect(f"redis://127.0.0.1:{ports['valkey']}") as client, pytest.raises(redis.AuthenticationError):
        client.ping()


def test_ports_that_were_taken_meanwhile_are_left_to_their_owners(durable: Settings) -> None:
    _remember(embedded.addresses(durable))
    ports = [each.port for each in embedded.status(durable)]
    embedded.stop(durable)
    others = []
    try:
        for port in ports:
            assert port is not None
            other = socket.create_server(("127.0.0.1", port))
            others.append(other)
        again = embedded.start(durable)
        assert not set(ports) & {each.port for each in embedded.status(durable)}
        assert _remembered(again) == (1000, 1000)
    finally:
        for other in others:
            other.close()


def test_two_commands_at_once_start_one_pair(fresh_var: Path) -> None:
    def up(_: int) -> subprocess.CompletedProcess[str]:
        return run_recsys("up", "--throwaway", "--json", folder=fresh_var, RECSYS_VAR=str(fresh_var))

    with ThreadPoolExecutor(3) as pool:
        results = list(pool.map(up, range(3)))
    assert [each.returncode for each in results] == [0, 0, 0], [each.stderr for each in results]
    answers = [json.loads(each.stdout) for each in results]
    assert sorted(len(each["started"]) for each in answers) == [0, 0, 2]
    assert len({tuple(server["pid"] for server in each["servers"]) for each in answers}) == 1


@pytest.mark.parametrize("moment", ["servers/postgres/data.new", "servers/valkey/data"])
def test_a_command_killed_while_starting_does_no_harm(fresh_var: Path, moment: str) -> None:
    settings = Settings(var=fresh_var, environment="test")
    command = subprocess.Popen(
        [sys.executable, "-m", "recsys", "up", "--throwaway"],
        cwd=ROOT,
        env={**os.environ, "RECSYS_VAR": str(fresh_var)},
    )
    while not (fresh_var / moment).exists() and command.poll() is None:
        time.sleep(0.002)
    command.kill()
    command.wait()
    found = embedded.start(settings, throwaway=True)
    with psycopg.connect(found.database_url) as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)
    processes = [
        each.pid
        for each in psutil.process_iter(["name", "cmdline"])
        if each.info["name"] in {"postgres", "valkey-server", "initdb"}
        and str(fresh_var) in " ".join(each.info["cmdline"] or [])
    ]
    assert sorted(processes) == sorted(pids(settings).values())


def test_a_folder_that_was_made_but_not_given_away_is_no_obstacle(fresh_var: Path) -> None:
    settings = Settings(var=fresh_var, environment="test")
    embedded.start(settings, throwaway=True)
    embedded.stop(settings)
    data = fresh_var / "servers" / "valkey" / "data"
    shutil.rmtree(data)
    # What a command leaves that was killed right after making it: empty, and owned by the caller.
    data.mkdir(mode=0o700)
    found = embedded.start(settings, throwaway=True)
    with connect(found.redis_url) as client:
        assert client.ping()


def test_a_reused_process_id_is_not_taken_for_a_server(durable: Settings) -> None:
    _remember(embedded.addresses(durable))
    embedded.stop(durable)
    account = server_account(durable.var)
    other = subprocess.Popen(
        ["/bin/sleep", "60"], cwd="/", user=account.uid if account else None, start_new_session=True
    )
    try:
        path = durable.var / "run" / "embedded.json"
        state = json.loads(path.read_text())
        for record in state.values():
            record["pid"] = other.pid
        path.write_text(json.dumps(state))
        stale = durable.var / "servers" / "postgres" / "data" / "postmaster.pid"
        stale.write_text(f"{other.pid}\n{stale.parent}\n1\n1\n\n127.0.0.1\n\nready\n")
        assert {each.state for each in embedded.status(durable)} == {"stopped"}
        assert embedded.stop(durable) == []
        assert _remembered(embedded.start(durable)) == (1000, 1000)
        assert other.poll() is None, "a process that is not ours was ended"
    finally:
        other.kill()
        other.wait()


@pytest.mark.parametrize(
    "text", ["", "{", "[]", '{"postgres": {"port": "x"}}', '{"postgres": 3}', "\x00\xff"]
)
def test_a_damaged_state_file_is_mended_and_the_data_kept(durable: Settings, text: str) -> None:
    _remember(embedded.addresses(durable))
    path = durable.var / "run" / "embedded.json"
    path.write_text(text, encoding="latin-1")
    with pytest.raises(Unavailable, match="recsys up"):
        embedded.addresses(durable)
    again = embedded.start(durable)
    assert any("damaged" in note for note in again.notes)
    assert _remembered(again) == (1000, 1000)


def test_a_lost_state_file_is_made_again_and_the_data_kept(durable: Settings) -> None:
    _remember(embedded.addresses(durable))
    embedded.stop(durable)
    (durable.var / "run" / "embedded.json").unlink()
    assert _remembered(embedded.start(durable)) == (1000, 1000)


def test_a_server_that_cannot_start_says_why(durable: Settings) -> None:
    embedded.stop(durable)
    control = durable.var / "servers" / "postgres" / "data" / "global" / "pg_control"
    content = control.read_bytes()
    control.write_bytes(b"")
    try:
        with pytest.raises(Unavailable, match=r"PostgreSQL does not start.*pg_control"):
            embedded.start(durable)
    finally:
        control.write_bytes(content)
    assert embedded.start(durable)


def test_deleting_the_data_leaves_a_clean_slate(fresh_var: Path) -> None:
    settings = Settings(var=fresh_var, environment="test")
    embedded.start(settings, throwaway=True)
    running = pids(settings)
    assert embedded.remove(settings) is not None
    assert all(map(gone, running.values()))
    assert not (fresh_var / "servers").exists()
    assert embedded.remove(settings) is None
