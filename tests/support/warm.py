"""Commands as real processes without the seconds of imports: forked from a process that has imported it all.

A test that runs ten commands spends most of its time on importing the same libraries ten times. Here one
process per pytest process imports them once and forks itself for each command, which has a process id, an
environment, a folder, standard streams, an exit code and an end of its own, and leaves nothing to the next.
"""

from __future__ import annotations

import atexit
import contextlib
import gc
import json
import os
import re
import runpy
import select
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time
import traceback
from collections.abc import Callable, Mapping
from functools import cache
from importlib import import_module
from io import BufferedWriter, FileIO, TextIOWrapper
from pathlib import Path
from pkgutil import walk_packages
from typing import IO, Any, NoReturn

ROOT = Path(__file__).resolve().parents[2]
_FILES = 3
_READ_IN_A_FORK = {"PYTHONPATH", "PYTHONUNBUFFERED"}
_READ_AT_START = ("PYTHON", "OMP_", "OPENBLAS_", "MKL_", "NUMBA_", "POLARS_", "LD_", "PROMETHEUS_")
_PACKAGES = ("recsys", "features", "models", "training", "serving")
_ONLY_THEN = re.compile(r".*\.__main__|.*\.migrations.*|serving\.agents.*")
"""Modules that run at their import, or that import what a single command needs."""
_LIBRARIES = (
    "implicit",
    *("matplotlib.backends.backend_svg", "matplotlib.figure"),
    *("mlflow.store.model_registry.sqlalchemy_store", "mlflow.store.tracking.sqlalchemy_store"),
    *("numba", "optuna", "redis.asyncio"),
    *("rich.markdown", "rich.progress", "rich.table"),
    *("sklearn.linear_model", "uvicorn"),
)
"""What the packages import at their first use."""


@cache
def template() -> Path | None:
    """The address of this pytest process's template, started when first asked for; None without fork."""
    if not hasattr(os, "fork") or sys.platform == "darwin":
        return None
    folder = Path(tempfile.mkdtemp(prefix="recsys-warm-"))
    address = folder / "template"
    running = subprocess.Popen(
        [sys.executable, "-m", "tests.support.warm", str(address), str(os.getpid())],
        cwd=ROOT,
        env={**os.environ, "COLUMNS": "200"},
        stdin=subprocess.DEVNULL,
    )
    atexit.register(_end, running, folder)
    return address


def _end(running: subprocess.Popen[bytes], folder: Path) -> None:
    running.kill()
    running.wait()
    shutil.rmtree(folder)


def start(*arguments: str, env: Mapping[str, str] | None = None, **given: Any) -> subprocess.Popen[Any]:
    """`python ARGUMENTS` (`-m MODULE …` or `-c PROGRAM …`) beside this process, forked if it can be.

    Parameters
    ----------
    env
        The whole environment; None: that of this process.
    given
        Of `subprocess.Popen`: cwd, stdin, stdout, stderr, text, start_new_session.
    """
    environment = dict(os.environ if env is None else env)
    kind = subprocess.Popen if template() is None or not _fits(environment) else _Forked
    return kind([sys.executable, *arguments], env=environment, **{"cwd": ROOT, **given})


def run(
    *arguments: str, timeout: float, env: Mapping[str, str] | None = None, cwd: Path = ROOT
) -> subprocess.CompletedProcess[str]:
    """As `start`, to its end, without input; raises TimeoutExpired as `subprocess.run` does."""
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as error:
        running = start(*arguments, env=env, cwd=cwd, stdin=subprocess.DEVNULL, stdout=out, stderr=error)
        try:
            code = running.wait(timeout)
        except subprocess.TimeoutExpired as late:
            running.kill()
            running.wait()
            raise subprocess.TimeoutExpired(late.cmd, timeout, _text(out), _text(error)) from None
        return subprocess.CompletedProcess(running.args, code, _text(out), _text(error))


def _fits(environment: Mapping[str, str]) -> bool:
    """Whether a fork is like a new process: what imports read must be unchanged since then."""
    kept = {name for name in {*environment, *os.environ} if name.startswith(_READ_AT_START)}
    return all(environment.get(name) == os.environ.get(name) for name in kept - _READ_IN_A_FORK)


def _text(file: IO[bytes]) -> str:
    file.seek(0)
    return file.read().decode()


class _Forked(subprocess.Popen[Any]):
    """A process that the template has forked and waits for."""

    def _execute_child(self, *given: Any) -> None:
        # as CPython 3.11 calls it: args, cwd and env are 0, 5 and 6; the child's ends of its streams 10, 13
        # and 15 of all ends, 10 to 15; start_new_session 21
        folder, environment, new_session = given[5], given[6], given[21]
        child_ends = given[10], given[13], given[15]
        address = template()
        assert address is not None
        self._connection = _connected(address)
        request = {
            "arguments": given[0][1:],
            "folder": str(folder),
            "environment": environment,
            "new_session": new_session,
        }
        body = json.dumps(request).encode()
        files = [own if end == -1 else end for own, end in enumerate(child_ends)]
        socket.send_fds(self._connection, [struct.pack("!I", len(body))], files)
        self._connection.sendall(body)
        (self.pid,) = struct.unpack("!i", _exactly(self._connection, 4))
        self._child_created = True
        self._close_pipe_fds(*given[10:16])  # type: ignore[attr-defined]

    def _internal_poll(self, *_: object, **__: object) -> int | None:
        return self._ended(0)

    def _wait(self, timeout: float | None) -> int:
        code = self._ended(timeout)
        if code is None:
            assert timeout is not None
            raise subprocess.TimeoutExpired(self.args, timeout)
        return code

    def _ended(self, seconds: float | None) -> int | None:
        with self._waitpid_lock:  # type: ignore[attr-defined]
            if self.returncode is None and select.select([self._connection], [], [], seconds)[0]:
                (self.returncode,) = struct.unpack("!i", _exactly(self._connection, 4))
                self._connection.close()
        return self.returncode


def _connected(address: Path) -> socket.socket:
    connection = socket.socket(socket.AF_UNIX)
    for _ in range(1200):
        with contextlib.suppress(FileNotFoundError, ConnectionRefusedError):
            connection.connect(str(address))
            return connection
        time.sleep(0.05)
    connection.close()
    raise RuntimeError("the template of commands has not started within a minute")


def _exactly(connection: socket.socket, size: int) -> bytes:
    found = b""
    while len(found) < size:
        more = connection.recv(size - len(found))
        if not more:
            raise RuntimeError("the template of commands has ended")
        found += more
    return found


def _import_everything() -> None:
    for package in _PACKAGES:
        for module in walk_packages(import_module(package).__path__, f"{package}."):
            if not _ONLY_THEN.fullmatch(module.name):
                import_module(module.name)
    for library in _LIBRARIES:
        import_module(library)
    # what numba imports for the first function that it runs
    registry = import_module("numba.core.registry").cpu_target
    registry.typing_context.refresh()
    registry.target_context.refresh()


def serve(address: Path, caller: int) -> None:
    """Fork a command for each connection, until the pytest process that asked for it is gone."""
    gc.disable()
    _import_everything()
    gc.enable()
    # A fork that collects what it did not make would copy every page of it: a second at its end.
    gc.collect()
    gc.freeze()
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(address))
        listener.listen(16)
        listener.settimeout(1)
        while os.getppid() == caller:
            try:
                connection, _ = listener.accept()
            except TimeoutError:
                continue
            if os.fork() == 0:
                listener.close()
                _attend(connection)
                return
            connection.close()
    shutil.rmtree(address.parent, ignore_errors=True)


def _attend(connection: socket.socket) -> None:
    """In a process of its own: fork the command, and tell its process id and its exit code."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    connection.settimeout(None)
    head, files, _, _ = socket.recv_fds(connection, 4, _FILES)
    request = json.loads(_exactly(connection, struct.unpack("!I", head)[0]))
    child = os.fork()
    if child == 0:
        connection.close()
        _end_with(lambda: _become(request, files))
    connection.sendall(struct.pack("!i", child))
    _, status = os.waitpid(child, 0)
    with contextlib.suppress(BrokenPipeError):
        connection.sendall(struct.pack("!i", os.waitstatus_to_exitcode(status)))
    os._exit(0)


def _end_with(program: Callable[[], None]) -> NoReturn:
    """Run it and end as Python does, but for taking all modules apart: .26 s, and a copy of each page."""
    code: object = 0
    try:
        program()
    except SystemExit as end:
        code = end.code
    except BaseException:  # noqa: BLE001 — whatever it is, Python would print it
        traceback.print_exc()
        code = 1
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    if code is not None and not isinstance(code, int):
        sys.stderr.write(f"{code}\n")
        code = 1
    with contextlib.suppress(BrokenPipeError):
        sys.stdout.flush()
        sys.stderr.flush()
    os._exit(code or 0)


def _become(request: dict[str, Any], files: list[int]) -> None:
    for number, file in enumerate(files):
        os.dup2(file, number)
        os.close(file)
    environment = request["environment"]
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(str(request["folder"]))
    if request["new_session"]:
        os.setsid()
    # those of the template were opened for its own files, and know whether these can be sought in
    at_once = bool(environment.get("PYTHONUNBUFFERED"))
    sys.stdout = TextIOWrapper(BufferedWriter(FileIO(1, "w", closefd=False)), write_through=at_once)
    errors = BufferedWriter(FileIO(2, "w", closefd=False))
    sys.stderr = TextIOWrapper(errors, errors="backslashreplace", line_buffering=True)
    kind, subject, *arguments = request["arguments"]
    sys.argv = [subject if kind == "-m" else kind, *arguments]
    sys.path[0] = str(request["folder"])
    more = [each for each in environment.get("PYTHONPATH", "").split(os.pathsep) if each not in sys.path]
    sys.path[1:1] = more
    if kind == "-m":
        runpy.run_module(subject, run_name="__main__", alter_sys=True)
    else:
        exec(compile(subject, "<string>", "exec"), {"__name__": "__main__"})


if __name__ == "__main__":
    serve(Path(sys.argv[1]), int(sys.argv[2]))
