"""What both embedded servers share: found if it runs, started if not, on a free port, and stopped."""

from __future__ import annotations

import secrets
import signal
import subprocess
import time
from abc import ABC, abstractmethod
from pathlib import Path
from typing import ClassVar

import psutil

from recsys import clock
from recsys.embedded.account import Account
from recsys.embedded.processes import disown, end, find, free_port, is_free, last_lines, wait_a_moment
from recsys.embedded.state import EmbeddedState, Record, hand_over
from recsys.errors import Unavailable

__all__ = ["NotReady", "Server", "WrongPassword"]

_READY_WITHIN = 180.0
"""Seconds; recovery after a crash of a large database takes its time, and progress is safe."""
_ANSWER_WITHIN = 30.0
_ATTEMPTS = 5


class NotReady(Exception):
    """The server does not answer yet."""


class WrongPassword(Exception):
    """A server answers that does not know our password."""


class Server(ABC):
    """One kind of embedded server, for one home folder."""

    name: ClassVar[str]
    title: ClassVar[str]
    executable: ClassVar[str]
    stop_signal: ClassVar[signal.Signals]
    kill_signal: ClassVar[signal.Signals]

    def __init__(self, home: Path, account: Account | None) -> None:
        self.home = home
        self.account = account
        self.folder = home / self.name
        self.data = self.folder / "data"
        self.log = self.folder / "server.log"

    # --- what each kind does its own way ---------------------------------------------------------

    @abstractmethod
    def prepare(self, record: Record, *, known: bool) -> None:
        """Make the data folder ready. `known` is false when the data may carry a password that was lost."""

    @abstractmethod
    def launch(self, record: Record) -> subprocess.Popen[bytes]:
        """Start the process for `record.port`."""

    @abstractmethod
    def answers(self, record: Record) -> str:
        """The version of the server that answers. Raises NotReady or WrongPassword."""

    @abstractmethod
    def url(self, record: Record) -> str:
        """Its address, with the password."""

    # --- the same for all ------------------------------------------------------------------------

    def process(self, record: Record | None) -> psutil.Process | None:
        """The running process, or None."""
        return find(self.executable, self.data, record)

    def ensure(self, state: EmbeddedState, *, throwaway: bool) -> bool:
        """Have the server running and noted in `state`; true when this call started it."""
        record = state.records.get(self.name)
        known = record is not None
        running = self.process(record)
        if running is not None:
            if record is not None and self._adopt(record, running, state):
                return False
            self.stop(running)
        self._make_folders()
        if record is None:
            record = Record(free_port(), secrets.token_urlsafe(24), throwaway)
        elif not is_free(record.port):
            record.port = free_port()
        record.throwaway = throwaway
        self._start(record, state, known=known)
        return True

    def stop(self, process: psutil.Process) -> None:
        """Stop it cleanly; insist where it does not listen."""
        end(process, politely=self.stop_signal, patience=60, firmly=self.kill_signal)

    def _adopt(self, record: Record, running: psutil.Process, state: EmbeddedState) -> bool:
        """Whether the running process answers to our record; a starting process gets time for it."""
        deadline = time.monotonic() + _ANSWER_WITHIN
        while running.is_running() and time.monotonic() < deadline:
            try:
                version = self.answers(record)
            except NotReady:
                wait_a_moment()
                continue
            except WrongPassword:
                return False
            if record.pid != running.pid or record.version != version:
                self._note(record, running.pid, version, state)
            return True
        return False

    def _start(self, record: Record, state: EmbeddedState, *, known: bool) -> None:
        """Start on the record's port, on another one if somebody takes it meanwhile."""
        reset = not known
        for _ in range(_ATTEMPTS):
            # Written first: should this command be killed now, the next one knows port and password.
            record.pid = record.created = None
            state.records[self.name] = record
            state.save()
            self.prepare(record, known=not reset)
            process = self.launch(record)
            try:
                version = self._wait(record, process)
            except WrongPassword:
                self._end_started(process)
                reset = True
                continue
            if version is not None:
                pid = process.pid
                disown(process)
                self._note(record, pid, version, state)
                return
            if is_free(record.port):
                wait_a_moment()
            else:
                record.port = free_port()
        raise Unavailable(
            f"{self.title} does not start; its log {self.log} ends with: {last_lines(self.log)}"
        )

    def _wait(self, record: Record, process: subprocess.Popen[bytes]) -> str | None:
        """The version once it answers; None when it ended instead."""
        deadline = time.monotonic() + _READY_WITHIN
        while time.monotonic() < deadline:
            if process.poll() is not None:
                return None
            try:
                return self.answers(record)
            except NotReady:
                wait_a_moment()
            except WrongPassword:
                # Somebody else may have taken the port in between; then ours has ended or is about to.
                wait_a_moment()
                if process.poll() is None:
                    raise
                return None
        self._end_started(process)
        raise Unavailable(
            f"{self.title} did not answer within {_READY_WITHIN:.0f} s; its log {self.log} ends with: "
            f"{last_lines(self.log)}"
        )

    def _end_started(self, process: subprocess.Popen[bytes]) -> None:
        self.stop(psutil.Process(process.pid))
        disown(process)

    def _note(self, record: Record, pid: int, version: str, state: EmbeddedState) -> None:
        created = psutil.Process(pid).create_time()
        if record.pid != pid or record.started_at is None:
            record.started_at = clock.now().isoformat()
        record.pid, record.created, record.version = pid, created, version
        state.records[self.name] = record
        state.save()

    def _make_folders(self) -> None:
        if not self.folder.is_dir():
            self.folder.mkdir(mode=0o755)
            self.folder.chmod(0o755)
            hand_over(self.folder, self.home)
