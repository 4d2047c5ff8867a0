"""Server processes: started apart from the command, found again by what they are, and ended."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import psutil

from recsys.embedded.account import Account
from recsys.embedded.state import Record, hand_over
from recsys.errors import Unavailable

__all__ = ["disown", "end", "find", "free_port", "is_free", "last_lines", "spawn"]

_LOG_LIMIT = 10 * 2**20


def spawn(
    command: Sequence[str], *, folder: Path, log: Path, account: Account | None, stdin: bytes | None = None
) -> subprocess.Popen[bytes]:
    """Start a server in its own session, so that neither Ctrl-C nor the end of the terminal reaches it."""
    if log.exists() and log.stat().st_size > _LOG_LIMIT:
        log.replace(log.with_suffix(".log.1"))
    made = not log.exists()
    with open(os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), "ab") as output:
        if made:
            hand_over(log, log.parent)
        process = subprocess.Popen(
            command,
            cwd=folder,
            stdin=subprocess.DEVNULL if stdin is None else subprocess.PIPE,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=clean_environment(),
            start_new_session=True,
            umask=0o077,
            user=account.uid if account else None,
            group=account.gid if account else None,
            extra_groups=[] if account else None,
        )
    if stdin is not None and process.stdin is not None:
        # A broken pipe means that it ended at once; the caller sees that and shows its log.
        with suppress(BrokenPipeError), process.stdin:
            process.stdin.write(stdin)
    return process


def clean_environment() -> dict[str, str]:
    """The environment without what would steer PostgreSQL's programs and without our own secrets."""
    return {name: value for name, value in os.environ.items() if not name.startswith(("PG", "RECSYS_"))}


def disown(process: subprocess.Popen[bytes]) -> None:
    """The server outlives us: Popen shall not call it a forgotten child when the object goes."""
    process.returncode = 0


def find(executable: str, folder: Path, record: Record | None) -> psutil.Process | None:
    """The running process of that program that was started for `folder`.

    A pid alone proves nothing (it may be reused), so the process must carry the folder in its arguments, or
    be of exactly the recorded age. Without a valid record, all processes are searched: a command that was
    killed while starting a server leaves a process without a record.
    """
    if record is not None and record.pid is not None:
        try:
            process = psutil.Process(record.pid)
            same_age = record.created is not None and abs(process.create_time() - record.created) < 1.0
            if _is(process, executable) and (same_age or str(folder) in process.cmdline()):
                return process
        except psutil.Error:
            pass
    for process in psutil.process_iter():
        try:
            if _is(process, executable) and str(folder) in process.cmdline():
                return process
        except psutil.Error:
            continue
    return None


def _is(process: psutil.Process, executable: str) -> bool:
    name = process.name().removesuffix(".exe")
    return name == executable and process.status() != psutil.STATUS_ZOMBIE


def end(
    process: psutil.Process, *, politely: signal.Signals, patience: float, firmly: signal.Signals
) -> None:
    """Ask the process to end, insist after `patience` seconds, and return when it is gone."""
    for number in (politely, firmly, getattr(signal, "SIGKILL", firmly)):
        try:
            process.send_signal(number)
        except psutil.NoSuchProcess:
            return
        except psutil.AccessDenied as error:
            raise Unavailable(
                f"process {process.pid} belongs to another user; stop it as that user"
            ) from error
        if _gone_within(process, patience):
            return
    raise Unavailable(f"process {process.pid} does not end; end it by hand, then run the command again")


def _gone_within(process: psutil.Process, patience: float) -> bool:
    """Whether it ends in time; a zombie has ended, though its parent (maybe not we) did not notice."""
    deadline = time.monotonic() + patience
    while time.monotonic() < deadline:
        try:
            if not process.is_running() or process.status() == psutil.STATUS_ZOMBIE:
                with suppress(psutil.Error):
                    process.wait(0)
                return True
        except psutil.NoSuchProcess:
            return True
        wait_a_moment()
    return False


def free_port() -> int:
    """A free port of the loopback interface, chosen by the operating system."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def is_free(port: int) -> bool:
    """Whether a server could listen on this loopback port now."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        if os.name == "posix":
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def last_lines(log: Path, count: int = 6) -> str:
    """The end of a server's log, for a message to the user."""
    try:
        lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return "(no log)"
    return " | ".join(line.strip() for line in lines[-count:] if line.strip()) or "(empty log)"


def wait_a_moment() -> None:
    """Between two looks at a server that is starting."""
    time.sleep(0.03)
