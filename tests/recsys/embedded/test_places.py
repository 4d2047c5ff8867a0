"""Where the servers' files lie and who runs them: root, ordinary users, closed folders, long paths."""

from __future__ import annotations

import errno
import json
import os
import shutil
import stat
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from recsys import embedded
from recsys.embedded.account import Account, enters
from recsys.embedded.binaries import runnable
from recsys.embedded.state import exclusive
from recsys.errors import Unavailable
from recsys.private_folder import keep_private
from recsys.settings import Settings
from tests.recsys.embedded.conftest import AS_ROOT, pids
from tests.support.servers import ROOT, temporary_var
from tests.support.shop import run_recsys

only_root = pytest.mark.skipif(not AS_ROOT, reason="only root can become another user")


def _nobody() -> Account:
    import pwd

    entry = pwd.getpwnam("nobody")
    return Account(entry.pw_name, entry.pw_uid, entry.pw_gid)


def _recsys_as(account: Account, *args: str, var: Path) -> subprocess.CompletedProcess[str]:
    """The command as that user; where our own interpreter is closed to it, by the system's."""
    packages = Path(psutil.__file__).parents[1]
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    environment = {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": f"{ROOT}{os.pathsep}{packages}",
        "RECSYS_VAR": str(var),
        "HOME": "/nonexistent",
        # an interpreter with a shared library outside the system's folders needs it
        "LD_LIBRARY_PATH": os.environ.get("LD_LIBRARY_PATH", ""),
    }

    def run(*command: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            command,
            user=account.uid,
            group=account.gid,
            extra_groups=[],
            cwd="/",
            env=environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )

    for python in (sys.executable, f"/usr/bin/python{version}"):
        try:
            if run(python, "-c", "import psycopg, redis, recsys").returncode == 0:
                return run(python, "-m", "recsys", *args)
        except (PermissionError, FileNotFoundError):
            continue
    pytest.skip(f"'{account.name}' can run no Python that has what recsys needs")


def test_secrets_are_readable_by_their_owner_only(durable: Settings) -> None:
    path = durable.var / "run" / "embedded.json"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE((durable.var / "servers" / "postgres" / "data").stat().st_mode) == 0o700
    assert stat.S_IMODE((durable.var / "servers" / "valkey" / "data").stat().st_mode) == 0o700
    passwords = [record["password"] for record in json.loads(path.read_text()).values()]
    assert len(set(passwords)) == 2
    for found in durable.var.rglob("*"):
        if found.is_file() and found != path and "postgres/data/" not in str(found):
            assert not any(password.encode() in found.read_bytes() for password in passwords), found


@only_root
def test_other_accounts_of_the_machine_enter_neither_var_nor_the_servers_files(durable: Settings) -> None:
    stranger = Account("a stranger", 54321, 54321)
    assert enters(stranger, durable.var.parent)
    assert not enters(stranger, durable.var)
    assert not enters(stranger, (durable.var / "servers").resolve())


def test_var_of_an_earlier_version_is_closed(tmp_path: Path) -> None:
    var = tmp_path / "var"
    var.mkdir(mode=0o755)
    var.chmod(0o755)
    keep_private(var)
    assert stat.S_IMODE(var.stat().st_mode) == 0o700
    # a folder that is everybody's stays so
    shared = tmp_path / "shared"
    shared.mkdir()
    shared.chmod(0o1777)
    keep_private(shared)
    assert stat.S_IMODE(shared.stat().st_mode) == 0o1777


def test_passwords_are_in_no_process_list(durable: Settings) -> None:
    state = json.loads((durable.var / "run" / "embedded.json").read_text())
    for pid in pids(durable).values():
        shown = " ".join(psutil.Process(pid).cmdline() + list(psutil.Process(pid).environ().values()))
        assert not any(record["password"] in shown for record in state.values())


def test_env_alone_prints_passwords(durable: Settings) -> None:
    state = json.loads((durable.var / "run" / "embedded.json").read_text())
    passwords = [record["password"] for record in state.values()]
    for command in (["up"], ["status", "--json"], ["doctor", "--json"], ["env", "--json"]):
        done = run_recsys(*command, folder=durable.var, RECSYS_VAR=str(durable.var), RECSYS_LOG_LEVEL="DEBUG")
        shown = [password in done.stdout for password in passwords]
        assert shown == [command[0] == "env"] * 2, command
        assert not any(password in done.stderr for password in passwords), command


@only_root
def test_root_lends_the_servers_another_user(durable: Settings) -> None:
    for pid in pids(durable).values():
        assert psutil.Process(pid).uids().effective != 0


@only_root
def test_below_a_closed_folder_the_data_goes_elsewhere_and_nothing_is_opened() -> None:
    with temporary_var() as parent:
        closed = parent / "closed"
        closed.mkdir(mode=0o700)
        settings = Settings(var=closed / "var", environment="test")
        try:
            found = embedded.start(settings, throwaway=True)
            assert any("lie in" in note for note in found.notes)
            assert stat.S_IMODE(closed.stat().st_mode) == 0o700
            assert stat.S_IMODE(parent.stat().st_mode) == 0o755
            assert embedded.start(settings).started == ()
            home = (closed / "var" / "servers").resolve()
            assert closed not in home.parents
        finally:
            embedded.remove(settings)
        assert not home.exists()


@only_root
def test_binaries_that_the_servers_user_cannot_run_are_copied(fresh_var: Path) -> None:
    closed = fresh_var / "closed"
    package = closed / "package" / "bin"
    package.mkdir(parents=True)
    library = closed / "package.libs"
    library.mkdir()
    (library / "words").write_text("from the library")
    program = package / "program"
    program.write_text('#!/bin/sh\ncat "$(dirname "$0")/../../package.libs/words"\n')
    program.chmod(0o700)
    closed.chmod(0o700)
    home = fresh_var / "home"
    home.mkdir(mode=0o755)

    copy = runnable(program, [closed / "package", library], _nobody(), home)
    assert home in copy.parents
    assert stat.S_IMODE(closed.stat().st_mode) == 0o700
    copied = subprocess.run([copy], user="nobody", cwd="/", capture_output=True, text=True, check=True)
    assert copied.stdout == "from the library"
    assert runnable(program, [closed / "package", library], _nobody(), home) == copy
    assert runnable(program, [closed / "package", library], None, home) == program


@only_root
def test_an_ordinary_user_needs_no_root(fresh_var: Path) -> None:
    account = _nobody()
    if not enters(account, ROOT):
        pytest.skip("the checkout is closed to other users")
    os.chown(fresh_var, account.uid, account.gid)

    def recsys(*args: str) -> subprocess.CompletedProcess[str]:
        return _recsys_as(account, *args, var=fresh_var)

    up = recsys("up", "--throwaway")
    assert up.returncode == 0, up.stderr
    servers = json.loads(recsys("status", "--json").stdout)
    assert {psutil.Process(each["pid"]).uids().real for each in servers} == {account.uid}
    # Root may look after them too, and leaves them to their user.
    settings = Settings(var=fresh_var, environment="test")
    embedded.stop(settings)
    assert len(embedded.start(settings).started) == 2
    assert {psutil.Process(pid).uids().real for pid in pids(settings).values()} == {account.uid}
    down = recsys("down")
    assert (down.returncode, down.stdout.count("stopped")) == (0, 2), down.stderr
    again = recsys("up")
    assert (again.returncode, again.stdout.count("started")) == (0, 2), again.stderr


@only_root
def test_another_users_servers_are_refused_in_one_line(durable: Settings) -> None:
    account = _nobody()
    if not enters(account, ROOT):
        pytest.skip("the checkout is closed to other users")
    for command in ("up", "status", "env", "down"):
        done = _recsys_as(account, command, var=durable.var)
        assert done.returncode == 1, command
        assert len(done.stderr.splitlines()) == 1, done.stderr
        assert "RECSYS_VAR" in done.stderr


def test_a_long_path_with_spaces_and_quotes_will_do(fresh_var: Path) -> None:
    deep = fresh_var / 'it\'s a "long" path' / ("x" * 150) / ("y" * 100)
    settings = Settings(var=deep, environment="test")
    try:
        assert len(embedded.start(settings, throwaway=True).started) == 2
    finally:
        embedded.remove(settings)
        shutil.rmtree(fresh_var / 'it\'s a "long" path')


def test_a_var_that_cannot_be_made_is_reported(fresh_var: Path) -> None:
    file = fresh_var / "file"
    file.write_text("")
    with pytest.raises(ValueError, match="a file is in its way"):
        Settings(var=file / "var")


@pytest.mark.parametrize("number", [errno.EROFS, errno.ENOSPC])
def test_a_place_that_cannot_be_written_is_one_clear_line(tmp_path: Path, number: int) -> None:
    with pytest.raises(Unavailable, match="RECSYS_VAR"), exclusive(tmp_path):
        raise OSError(number, os.strerror(number), str(tmp_path / "postgres"))


def test_a_var_below_a_file_is_a_clear_line(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for command in ("status", "up"):
        done = run_recsys(command, folder=tmp_path, RECSYS_VAR=str(tmp_path / "file" / "var"))
        assert done.returncode == 2
        (line,) = done.stderr.strip().splitlines()
        assert line.startswith("recsys: RECSYS_VAR: expected a folder")
