"""A command ends when its threads and its exit handlers are done, and loses nothing that it wrote."""

from __future__ import annotations

import subprocess
import sys

import pytest

PROGRAM = """
import sys
from recsys.processes.fast_exit import FastExit
fast_exit = FastExit()
import atexit, threading, time
class Late:
    def __del__(self):
        print("taken apart")
late = Late()
atexit.register(lambda: print("handler"))
def work():
    time.sleep(0.2)
    print("thread")
threading.Thread(target=work).start()
{end}
"""


def ended(end: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", PROGRAM.format(end=end)]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)


@pytest.mark.parametrize("code", [0, 2, 130])
def test_all_is_done_and_written_before_the_end(code: int) -> None:
    done = ended(f"fast_exit.leave({code})")
    assert (done.returncode, done.stdout.split(), done.stderr) == (code, ["thread", "handler"], "")


@pytest.mark.parametrize(("end", "code"), [("sys.exit(3)", 3), ("raise OSError", 1), ("pass", 0)])
def test_any_other_end_is_that_of_python(end: str, code: int) -> None:
    done = ended(end)
    assert (done.returncode, done.stdout.split()) == (code, ["thread", "handler", "taken", "apart"])
    assert ("OSError" in done.stderr) is (end == "raise OSError")


def test_a_reader_that_is_gone_is_no_error() -> None:
    command = f"{sys.executable} -m recsys --help | head -c 1"
    done = subprocess.run(["/bin/sh", "-c", command], capture_output=True, text=True, check=False, timeout=60)
    assert (len(done.stdout), done.stderr) == (1, "")
