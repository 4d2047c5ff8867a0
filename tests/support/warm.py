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
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from importlib import import_module
from pathlib import Path
from pkgutil import walk_packages
from typing import IO

ROOT = Path(__file__).resolve().parents[2]
_FILES = 3
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


def fits(environment: Mapping[str, str]) -> bool:
    """Whether a fork differs from a new process: what imports read must be unchanged since then."""
    kept = {name for name in {*environment, *os.environ} if name.startswith(_READ_AT_START)}
    return all(environment.get(name) == os.environ.get(name) for name in kept - {"PYTHONPATH"})


def run(
    arguments: Sequence[str], *, folder: Path, environment: Mapping[str, str], timeout: float
) -> subprocess.CompletedProcess[str]:
    """`python -m recsys ARGUMENTS`, forked; raises TimeoutExpired as `subprocess.run` does."""
    address = template()
    assert address is not None
    command = [sys.executable, "-m", "recsys", *arguments]
    with (
        open(os.devnull, "rb") as nothing,
        tempfile.TemporaryFile() as out,
        tempfile.TemporaryFile() as error,
        _connected(address, timeout) as connection,
    ):
        request = {"arguments": arguments, "folder": str(folder), "environment": dict(environment)}
        body = json.dumps(request).encode()
        files = [nothing.fileno(), out.fileno(), error.fileno()]
        socket.send_fds(connection, [struct.pack("!I", len(body))], files)
        connection.sendall(body)
        (child,) = struct.unpack("!i", _exactly(connection, 4))
        try:
            (code,) = struct.unpack("!i", _exactly(connection, 4))
        except TimeoutError:
            os.kill(child, signal.SIGKILL)
            raise subprocess.TimeoutExpired(command, timeout, _text(out), _text(error)) from None
        return subprocess.CompletedProcess(command, code, _text(out), _text(error))


def _text(file: IO[bytes]) -> str:
    file.seek(0)
    return file.read().decode()


@contextlib.contextmanager
def _connected(address: Path, timeout: float) -> Iterator[socket.socket]:
    import time

    with socket.socket(socket.AF_UNIX) as connection:
        for _ in range(1200):
            with contextlib.suppress(FileNotFoundError, ConnectionRefusedError):
                connection.connect(str(address))
                break
            time.sleep(0.05)
        else:
            raise RuntimeError("the template of commands has not started within a minute")
        connection.settimeout(timeout)
        yield connection


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
        _become(request, files)
        return
    connection.sendall(struct.pack("!i", child))
    _, status = os.waitpid(child, 0)
    with contextlib.suppress(BrokenPipeError):
        connection.sendall(struct.pack("!i", os.waitstatus_to_exitcode(status)))
    os._exit(0)


def _become(request: dict[str, object], files: list[int]) -> None:
    for number, file in enumerate(files):
        os.dup2(file, number)
        os.close(file)
    environment = request["environment"]
    assert isinstance(environment, dict)
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(str(request["folder"]))
    arguments = request["arguments"]
    assert isinstance(arguments, list)
    sys.argv = ["recsys", *arguments]
    sys.path[0] = str(request["folder"])
    more = [each for each in environment.get("PYTHONPATH", "").split(os.pathsep) if each not in sys.path]
    sys.path[1:1] = more
    runpy.run_module("recsys", run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    serve(Path(sys.argv[1]), int(sys.argv[2]))
