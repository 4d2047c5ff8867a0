"""The guide of integration as it stands: its files, commands and snippets, and a shell that runs them."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from tests.support.servers import ROOT

__all__ = [
    "BLOCKS",
    "EXPORTS",
    "FILES",
    "ITEMS",
    "PAGE",
    "RUNNERS",
    "SHELL",
    "SNIPPETS",
    "free_port",
    "output_of",
    "run_snippet",
    "script_line",
    "shell",
    "wait_for_commands",
    "wait_for_port",
    "write_pages",
]

PAGE = (ROOT / "docs/guides/integrate.md").read_text(encoding="utf-8")
FILES = dict(re.findall(r"^`([\w.]+)`:\n\n```(?:html)?\n(.*?)```$", PAGE, re.DOTALL | re.MULTILINE))
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE)
SHELL = [text for language, text in BLOCKS if language == "sh"]
(EXPORTS,) = (text for language, text in BLOCKS if language == "bash")
"""The imports of a shop system's own exports, in the place of the files that the guide shows."""
SNIPPETS = [text for language, text in BLOCKS if language == "html" and text not in FILES.values()]
RUNNERS = {"python": [sys.executable], "js": ["node"], "php": ["php"]}
ITEMS = "recsys-list[state=ready] li[part=item]"


def free_port() -> int:
    """A port that was free a moment ago."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


@contextmanager
def shell(
    folder: Path, commands: Sequence[str], ports: Mapping[str, str]
) -> Iterator[subprocess.Popen[bytes]]:
    """Run commands one after the other in one shell; what they leave in the background ends with it.

    The file `done` is written after the last; `steps.txt` gets the moment (Unix time) before each and after
    the last. `ports` are those of the guide with those to use.
    """
    mark = "date +%s.%N >> steps.txt"
    script = "\n".join(
        ["set -eu", *(f"{mark}\n{command}" for command in commands), mark, "touch done", "wait\n"]
    )
    for port, actual in ports.items():
        script = script.replace(port, actual)
    programs = folder / "bin"
    programs.mkdir()
    wrapper = programs / "recsys"
    wrapper.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m recsys "$@"\n')
    wrapper.chmod(0o755)
    environment = {
        **os.environ,
        "PATH": f"{programs}:{os.environ['PATH']}",
        "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]),
    }
    with (folder / "output.txt").open("wb") as output:
        process = subprocess.Popen(
            ["bash", "-c", script],
            cwd=folder,
            env=environment,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            yield process
        finally:
            os.killpg(process.pid, signal.SIGTERM)
            process.wait(timeout=30)


def output_of(folder: Path) -> str:
    """What the commands have printed so far."""
    return (folder / "output.txt").read_text(encoding="utf-8", errors="replace")


def wait_for_commands(folder: Path, process: subprocess.Popen[bytes]) -> None:
    """Wait until all commands have run; an AssertionError with their output where one failed."""
    for _ in range(1200):
        if (folder / "done").exists() or process.poll() is not None:
            break
        time.sleep(0.25)
    assert (folder / "done").exists(), output_of(folder)


def wait_for_port(port: int) -> None:
    """Wait until something listens on the port."""
    for _ in range(400):
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.25)
    raise AssertionError(f"nothing listens on {port}")


def script_line(folder: Path, api: int) -> str:
    """The line of HTML with the key that the commands have made."""
    key = (folder / "page.key").read_text().strip()
    return f'<script type="module" src="http://127.0.0.1:{api}/recsys.js" data-key="{key}"></script>'


def write_pages(folder: Path, api: int) -> None:
    """Write the guide's pages, with the line of HTML that its command prints."""
    line = script_line(folder, api)
    assert line in output_of(folder)
    for name in ("index.html", "product.html"):
        key = (folder / "page.key").read_text().strip()
        text = FILES[name].replace("8000", str(api)).replace("pk_…", key)
        assert line in text
        (folder / name).write_text(text, encoding="utf-8")


def run_snippet(language: str, code: str, folder: Path) -> str:
    """Run a snippet of the guide in a file of its own; return what it prints."""
    file = folder / f"token.{'cjs' if language == 'js' else language}"
    file.write_text(code, encoding="utf-8")
    done = subprocess.run(
        [*RUNNERS[language], str(file)],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    return done.stdout.strip()
