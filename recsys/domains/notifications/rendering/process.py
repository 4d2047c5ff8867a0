"""A warm process that fills templates (`worker`), started at its first job and again after a fault."""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping
from multiprocessing.connection import Connection
from typing import Any

from recsys.domains.notifications.rendering.worker import CPU_SECONDS
from recsys.errors import Unavailable

__all__ = ["RenderingProcess", "TemplateFault"]

_REPLY_SECONDS = 10.0
"""A job takes at most CPU_SECONDS of a processor; on a busy machine the start and the job take longer."""
_WAIT_SECONDS = 5.0
_ENVIRONMENT = ("PATH", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH")
_START = (
    "import json, sys; sys.path[:] = json.loads(sys.argv[2]); "
    "from recsys.domains.notifications.rendering.worker import serve; serve(int(sys.argv[1]))"
)


class TemplateFault(Exception):
    """Why a template cannot be used; `part` is None when the process ended, else the part of the message."""

    def __init__(self, reason: str, part: str | None = None, line: int | None = None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.part = part
        self.line = line


class _EndedError(Exception):
    """The process ended during a job; `code` is how, as `subprocess` gives it."""

    def __init__(self, code: int) -> None:
        super().__init__(code)
        self.code = code


class RenderingProcess:
    """One job at a time; threads wait for each other.

    A job that reaches a limit ends the process, and the next one is started at once.
    """

    def __init__(self) -> None:
        self._forget()
        # a forked process would write into the same socket
        os.register_at_fork(after_in_child=self._forget)

    def _forget(self) -> None:
        self._lock = threading.Lock()
        self._connection: Connection[Any, Any] | None = None
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int | None:
        """The id of the process, None while there is none."""
        return None if self._process is None else self._process.pid

    def run(self, parts: Mapping[str, str], values: Mapping[str, Any] | None) -> dict[str, Any]:
        """The filled parts, or with `values` None the undeclared variables of each part.

        Raises
        ------
        TemplateFault
            A part cannot be filled.
        Unavailable
            The process cannot start, or too many jobs are waiting.
        """
        job = json.dumps({"parts": parts, "values": values}).encode()
        if not self._lock.acquire(timeout=_WAIT_SECONDS):
            busy = "Too many templates are being filled; try again in a moment."
            raise Unavailable(busy, public=busy)
        try:
            try:
                reply = self._reply(job)
            except _EndedError as error:
                if error.code == -signal.SIGPROF:
                    raise
                # somebody else may have ended the process, perhaps before it read this job
                reply = self._reply(job)
        except _EndedError as error:
            raise _fault_of(error.code) from None
        finally:
            self._lock.release()
        if "results" in reply:
            results: dict[str, Any] = reply["results"]
            return results
        raise TemplateFault(reply["reason"], reply["part"], reply.get("line"))

    def _reply(self, job: bytes) -> dict[str, Any]:
        connection = self._sent(job)
        try:
            if not connection.poll(_REPLY_SECONDS):
                raise TemplateFault("it takes too long")
            reply: dict[str, Any] = json.loads(connection.recv_bytes())
        except (EOFError, OSError):
            raise _EndedError(self._end()) from None
        except TemplateFault:
            self._end()
            raise
        if reply.get("last"):
            self._end()
        return reply

    def _sent(self, job: bytes) -> Connection[Any, Any]:
        """Send a job to the process, or to a new one when that has ended since the last job."""
        if self._connection is not None:
            try:
                self._connection.send_bytes(job)
                return self._connection
            except OSError:
                self._end()
        connection = self._connection or self._start()
        try:
            connection.send_bytes(job)
        except OSError:
            raise _EndedError(self._end()) from None
        return connection

    def _start(self) -> Connection[Any, Any]:
        ours, theirs = multiprocessing.Pipe()
        command = [sys.executable, "-I", "-c", _START, str(theirs.fileno()), json.dumps(sys.path)]
        try:
            self._process = subprocess.Popen(
                command,
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                # the settings, and the secrets among them, stay here
                env={name: os.environ[name] for name in _ENVIRONMENT if name in os.environ},
                start_new_session=True,
            )
        except OSError as error:
            ours.close()
            raise Unavailable(f"the process that fills templates cannot start: {error}") from error
        finally:
            theirs.close()
        self._connection = ours
        return ours

    def _end(self) -> int:
        """End the process, start the next one, and return how the old one ended."""
        process, connection = self._process, self._connection
        self._process = self._connection = None
        assert process is not None
        assert connection is not None
        connection.close()
        try:
            # a process that a limit has ended is gone in a moment
            code = process.wait(timeout=0.2)
        except subprocess.TimeoutExpired:
            process.kill()
            code = process.wait()
        self._start()
        return code


def _fault_of(code: int) -> TemplateFault | Unavailable:
    if code == -signal.SIGPROF:
        return TemplateFault(f"it takes more than {CPU_SECONDS:g} s of processor time")
    if code < 0:
        return TemplateFault(f"it ended the process that fills templates ({signal.Signals(-code).name})")
    return Unavailable(f"the process that fills templates ended by itself, with code {code}")
