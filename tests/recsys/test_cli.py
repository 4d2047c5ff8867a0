"""The command's manners: quick help, one line for each mistake, exit codes, and no secret in any output."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
import traceback
from collections.abc import Iterator
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psutil
import psycopg
import pytest
import redis
import typer

from recsys import cli, plugins
from recsys.diagnosis.setting_names import variable_names
from recsys.errors import Conflict, Invalid, Unavailable
from recsys.settings import Settings, get_settings
from tests.support.servers import ROOT
from tests.support.shop import Shop, run_recsys

HEAVY = (
    "numpy",
    "scipy",
    "pandas",
    "polars",
    "fastapi",
    "mlflow",
    "implicit",
    "sklearn",
    "sqlalchemy",
    "psycopg",
    "redis",
)


def test_help_imports_nothing_heavy() -> None:
    program = (
        "import sys\nfrom recsys.cli import run\ncode = run(['--help'])\n"
        f"print('HEAVY', sorted(set({HEAVY!r}) & set(sys.modules)), code)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert "HEAVY [] 0" in done.stdout
    for name in (
        "up",
        "down",
        "status",
        "doctor",
        "env",
        "demo",
        "migrate",
        "import",
        "features",
        "train",
        "serve",
    ):
        assert f" {name} " in done.stdout


@pytest.mark.parametrize("command", ["up", "down", "status", "doctor", "env", "demo", "migrate", "simulate"])
def test_each_command_explains_itself_with_an_example(
    command: str, capfd: pytest.CaptureFixture[str]
) -> None:
    assert cli.run([command, "--help"]) == 0
    assert "Example: " in capfd.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["up", "--sideways"], "--sideways"),
        (["nonsense"], "nonsense"),
        (["dwon"], "'down'"),
        (["status", "extra"], "extra"),
        (["demo", "--json"], "--json"),
    ],
)
def test_a_usage_error_is_one_line_and_code_2(
    arguments: list[str], message: str, capfd: pytest.CaptureFixture[str]
) -> None:
    assert cli.run(arguments) == 2
    error = capfd.readouterr().err
    assert message in error
    assert len(error.splitlines()) == 1


def _with(monkeypatch: pytest.MonkeyPatch, error: BaseException) -> None:
    def fail(*_args: object, **_options: object) -> None:
        raise error

    monkeypatch.setattr("recsys.embedded.status", fail)


@pytest.mark.parametrize(("error", "code"), [(Conflict("taken"), 2), (Unavailable("gone"), 1)])
def test_our_errors_are_one_line_and_bring_their_code(
    error: Exception, code: int, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    _with(monkeypatch, error)
    assert cli.run(["status"]) == code
    assert capfd.readouterr().err == f"recsys: {error}\n"


def test_an_unexpected_error_is_one_line_and_its_trace_is_there_on_request(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    _with(monkeypatch, KeyError("first line\nsecond line"))
    assert cli.run(["status"]) == 1
    error = capfd.readouterr().err
    assert len(error.splitlines()) == 1
    assert "KeyError" in error
    assert "RECSYS_LOG_LEVEL=DEBUG" in error
    monkeypatch.setenv("RECSYS_LOG_LEVEL", "DEBUG")
    assert cli.run(["status"]) == 1
    assert "Traceback" in capfd.readouterr().err


def test_a_database_without_its_schema_names_the_migration(
    shop: Shop, capfd: pytest.CaptureFixture[str]
) -> None:
    with shop.connect(autocommit=True) as connection:
        connection.execute("DROP SCHEMA products_db CASCADE")
    assert cli.run(["features", "build"]) == 1
    assert capfd.readouterr().err.splitlines()[-1] == (
        "recsys: the database lacks a table that is needed; run `recsys migrate` first"
    )


def test_ctrl_c_is_quiet(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
    _with(monkeypatch, KeyboardInterrupt())
    assert cli.run(["status"]) == 130
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("RECSYS_API__PORT", "70000"),
        ("RECSYS_LOG_LEVEL", "LOUD"),
        ("RECSYS_ENVIRONMENT", "production"),
        ("RECSYS_REDIS__URL", "nonsense"),
        ("RECSYS_API__PROT", "8000"),
    ],
)
def test_wrong_settings_are_named_in_one_line(shop: Shop, variable: str, value: str) -> None:
    empty = {"RECSYS_DATABASE__URL": "", "RECSYS_REDIS__URL": ""} if value == "production" else {}
    environment = {
        **{name: value for name, value in os.environ.items() if name not in empty},
        variable: value,
    }
    done = subprocess.run(
        [sys.executable, "-m", "recsys", "status"],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1
    assert "RECSYS_" in done.stderr


def test_an_unknown_variable_is_refused_and_the_nearest_is_named(shop: Shop) -> None:
    done = shop.run("status", RECSYS_SERVING__STORED_PER_USERS="7")
    assert done.returncode == 2
    assert "RECSYS_SERVING__STORED_PER_USERS" in done.stderr
    assert "nearest is RECSYS_SERVING__STORED_PER_USER;" in done.stderr


@pytest.mark.parametrize("name", variable_names(Settings))
def test_every_setting_is_a_known_variable(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """Whatever is wrong with its value, it is not called unknown."""
    monkeypatch.setenv(name, "\x01")
    get_settings.cache_clear()
    fault = ""
    try:
        get_settings()
    except Exception as error:  # noqa: BLE001 - any judgement of the value will do
        fault = str(error)
    assert "is no setting" not in fault
    monkeypatch.delenv(name)
    get_settings.cache_clear()


def test_a_wrong_setting_is_not_repeated(shop: Shop) -> None:
    done = shop.run("status", RECSYS_DATABASE='{"url": 7, "pool_size": "topsecret"}')
    assert done.returncode == 2
    assert "topsecret" not in done.stderr
    done = shop.run("status", RECSYS_REDIS__URL="topsecret@host")
    assert (done.returncode, "topsecret" in done.stderr) == (2, False)
    assert done.stderr.startswith("recsys: RECSYS_REDIS__URL: expected redis://")


SECRET = "zqjx7kwv-zqjx7kwv"


@pytest.mark.parametrize(
    "value",
    [
        SECRET,
        f'"{SECRET}"',
        f'["{SECRET}"]',
        f'{{"url": "{SECRET}"',
        f"postgresql://shop:pass@{SECRET}@host:5432/shop",
        f"postgresql://shop:pass@host:{SECRET}/shop",
        f"redis://:pass/{SECRET}@host:6379/0",
        f"redis://:{SECRET}#x@host:6379/0",
    ],
)
def test_no_setting_repeats_its_value(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    """Every variable, a group's own and one level too deep; message, cause and trace."""
    names = variable_names(Settings)
    groups = sorted({name.partition("__")[0] for name in names if "__" in name})
    refused = 0
    for name in [*names, *groups, *(f"{name}__0" for name in names)]:
        monkeypatch.setenv(name, value)
        get_settings.cache_clear()
        try:
            get_settings()
        except Invalid as error:
            refused += 1
            text = "".join(traceback.format_exception(error))
            # a name that the environment gave is no value
            assert not any(part in text for part in (SECRET, SECRET[:5], SECRET[-5:])), (name, text)
        monkeypatch.delenv(name)
    get_settings.cache_clear()
    assert refused > len(names) / 2


def test_another_package_plugs_in_a_group_that_is_imported_when_called(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "plugged_shop.py").write_text(
        '"""`recsys other`: commands of somebody else."""\n'
        "import typer\nimport colorsys\napp = typer.Typer()\n"
        "@app.command()\ndef one() -> None:\n    typer.echo('one ran')\n"
        "@app.command()\ndef two() -> None:\n    typer.echo('two ran')\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    entries = {
        "other": EntryPoint("other", "plugged_shop:app", plugins.GROUP),
        "lost": EntryPoint("lost", "not_there_at_all:app", plugins.GROUP),
    }
    monkeypatch.setattr(plugins, "_plugged", lambda: entries)
    assert cli.run(["--help"]) == 0
    assert "Commands of somebody else." in capfd.readouterr().out
    assert "plugged_shop" not in sys.modules
    assert cli.run(["other", "two"]) == 0
    assert capfd.readouterr().out == "two ran\n"
    assert cli.run(["lost", "two"]) == 1
    assert "recsys lost" in capfd.readouterr().err
    sys.modules.pop("plugged_shop")


def test_servers_of_ones_own_are_used_and_nothing_is_started(shop: Shop) -> None:
    up = shop.run("up")
    assert up.returncode == 0, up.stderr
    assert up.stdout.count("nothing is started for it") == 2
    states = [each["state"] for each in json.loads(shop.run("status", "--json").stdout)]
    assert states == ["external", "external"]
    assert not (shop.var / "servers").exists()
    assert "no embedded server" in shop.run("down").stdout


def test_env_prints_addresses_that_work(shop: Shop) -> None:
    found = json.loads(shop.run("env", "--json").stdout)
    assert found["api_url"] is None
    with psycopg.connect(found["database_url"]) as connection:
        assert connection.execute("SELECT count(*) FROM users_db.users").fetchone() == (0,)
    with redis.Redis.from_url(found["redis_url"]) as client:
        assert client.ping()


def test_env_takes_the_drivers_name_out_of_an_address(shop: Shop) -> None:
    url = shop.database_url.replace("postgresql://", "postgresql+psycopg://")
    found = json.loads(shop.run("env", "--json", RECSYS_DATABASE__URL=url).stdout)
    assert found["database_url"] == shop.database_url


def test_envs_lines_can_be_evaluated_by_a_shell(shop: Shop) -> None:
    note = shop.var / "run" / "api.json"
    note.parent.mkdir()
    own = {"pid": os.getpid(), "created": psutil.Process().create_time()}
    note.write_text(json.dumps({"url": "http://127.0.0.1:1", **own}))
    lines = shop.run("env").stdout
    script = f'{lines}\nprintf "%s\\n" "$DATABASE_URL" "$REDIS_URL" "$API_URL"'
    done = subprocess.run(["/bin/sh", "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.split() == [shop.database_url, shop.redis_url, "http://127.0.0.1:1"]


def test_env_does_not_believe_the_note_of_a_killed_api(shop: Shop) -> None:
    note = shop.var / "run" / "api.json"
    note.parent.mkdir()
    # the pid lives, but it is another process, which was given the number later
    note.write_text(json.dumps({"url": "http://127.0.0.1:1", "pid": os.getpid(), "created": 1.0}))
    assert json.loads(shop.run("env", "--json").stdout)["api_url"] is None


def test_no_other_command_prints_a_password(shop: Shop) -> None:
    secrets = [urlsplit(url).password or "" for url in (shop.database_url, shop.redis_url)]
    assert all(secrets)
    for command in (["up", "--json"], ["status"], ["doctor"], ["migrate"], ["down"]):
        done = shop.run(*command, RECSYS_LOG_LEVEL="DEBUG")
        assert not any(secret in done.stdout + done.stderr for secret in secrets), command
    wrong = shop.database_url.rsplit(":", 1)[0] + ":1/nothing"
    for name in ("migrate", "doctor"):
        done = shop.run(name, RECSYS_DATABASE__URL=wrong, RECSYS_LOG_LEVEL="DEBUG")
        assert done.returncode == 1
        assert secrets[0] not in done.stdout + done.stderr


def test_migrate_can_be_repeated(shop: Shop) -> None:
    done = shop.run("migrate")
    assert (done.returncode, "stands already" in done.stdout) == (0, True), done.stderr


def test_sigint_ends_a_waiting_command_without_a_trace(fresh_lock: tuple[Settings, Path]) -> None:
    settings, var = fresh_lock
    command = subprocess.Popen(
        [sys.executable, "-m", "recsys", "up"],
        cwd=ROOT,
        env={**os.environ, "RECSYS_VAR": str(var)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    # It waits for the lock that we hold; the open file tells that it got there.
    lock = str(var / "run" / "embedded.lock")
    while command.poll() is None and lock not in _open_files(command.pid):
        time.sleep(0.02)
    command.send_signal(signal.SIGINT)
    out, err = command.communicate(timeout=30)
    assert (command.returncode, out, err) == (130, "", "")
    assert not (settings.var / "servers").exists()


def _open_files(pid: int) -> list[str]:
    import psutil

    try:
        return [each.path for each in psutil.Process(pid).open_files()]
    except psutil.Error:
        return []


@pytest.fixture
def fresh_lock(tmp_path: Path) -> object:
    """A `var/` whose lock another command (we) holds."""
    from recsys.embedded.state import exclusive

    var = tmp_path / "var"
    var.mkdir()
    with exclusive(var):
        yield Settings(var=var, environment="test"), var


def test_the_program_runs_by_its_module_from_any_folder(tmp_path: Path) -> None:
    done = run_recsys("--version", folder=tmp_path)
    assert (done.returncode, done.stdout[:7]) == (0, "recsys "), done.stderr


def _leaves(command: Any, context: Any, path: tuple[str, ...]) -> Iterator[tuple[str, Any]]:
    """Every command below a group, as `recsys` finds them."""
    if not hasattr(command, "list_commands"):
        yield " ".join(path), command
        return
    if command.invoke_without_command and path:
        yield " ".join(path), command
    for name in command.list_commands(context):
        _, found, _ = command.resolve_command(context, [name])
        yield from _leaves(found, found.make_context(name, [], resilient_parsing=True), (*path, name))


def test_every_command_has_an_example_and_paragraphs_that_fill_their_lines() -> None:
    root = typer.main.get_command(cli.app)
    commands = dict(_leaves(root, root.make_context("recsys", [], resilient_parsing=True), ()))
    assert len(commands) > 80
    texts = {path: f"{command.help}\n\n{command.epilog or ''}" for path, command in commands.items()}
    assert [path for path, text in texts.items() if not re.search("Examples?: ", text)] == []
    paragraphs = [(path, each) for path, text in texts.items() for each in text.strip().split("\n\n")]
    assert [path for path, each in paragraphs if "\n" in each.strip() and not each.startswith("\b")] == []


def test_lines_in_a_pipe_are_wider_than_80_columns_unless_asked_otherwise() -> None:
    def widest(**environment: str) -> int:
        kept = {name: value for name, value in os.environ.items() if name != "COLUMNS"}
        done = subprocess.run(
            [sys.executable, "-m", "recsys", "--help"],
            capture_output=True,
            text=True,
            check=True,
            env=kept | environment,
            timeout=100,
        )
        return max(map(len, done.stdout.splitlines()))

    assert widest() > 100
    assert widest(COLUMNS="80") <= 80
