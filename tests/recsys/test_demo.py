"""The demo's course, on short stages: figures, the API, and that nothing is left behind however it ends."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from itertools import takewhile
from pathlib import Path

import psutil
import pytest

from recsys import embedded
from recsys.demo.run import API, CHECK, STAGES
from recsys.settings import Settings
from tests.support.servers import ROOT, temporary_var
from tests.support.shop import Shop

SHORT = (("servers", ("up", "--throwaway")), ("schema", ("migrate",)))


@pytest.fixture
def stages(tmp_path: Path) -> list[object]:
    """From nothing to a shop of three products, so small that all of them are popular."""
    products, interactions, users = (
        tmp_path / f"{name}.csv" for name in ("products", "interactions", "users")
    )
    products.write_text("product,name,price\n" + "".join(f"p{n},Product {n},1.50\n" for n in range(3)))
    users.write_text("user\nann\nbob\n")
    rows = [f"{user},p{n},purchase,2026-01-0{n + 1}T00:00:00Z" for user in ("ann", "bob") for n in range(3)]
    interactions.write_text("user,product,interaction_type,created_at\n" + "\n".join(rows) + "\n")
    files = ("--interactions", str(interactions), "--products", str(products), "--users", str(users))
    return [*SHORT, ("import", ("import", "csv", *files))]


@contextmanager
def _demo(var: Path, stages: Sequence[object], *arguments: str) -> Iterator[subprocess.Popen[str]]:
    """`recsys demo` with these stages, as the leader of a process group of its own."""
    program = (
        "import sys, recsys.demo.run\nfrom recsys.cli import run\n"
        f"sys.modules['recsys.demo.run'].STAGES = {tuple(stages)!r}\n"
        f"sys.exit(run(['demo', *{list(arguments)!r}]))"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", program],
        cwd=ROOT,
        env={**os.environ, "RECSYS_VAR": str(var), "RECSYS_EVENTS__INSIDE_API": "false", "COLUMNS": "120"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        process_group=0,
    )
    try:
        yield process
    finally:
        if process.poll() is None:
            process.terminate()
        process.communicate()


def _left_behind(var: Path) -> list[str]:
    """What still runs on this `var/`: servers by their arguments, commands by their environment."""
    found = []
    for process in psutil.process_iter(["cmdline", "environ"]):
        command = " ".join(process.info["cmdline"] or [])
        ours = (process.info["environ"] or {}).get("RECSYS_VAR") == str(var) or str(var) in command
        if ours and "tests.support.watchdog" not in command:
            found.append(command)
    return found


def test_it_serves_until_it_is_ended_and_leaves_nothing_behind(stages: list[object], tmp_path: Path) -> None:
    figures = tmp_path / "figures.json"
    with temporary_var() as var, _demo(var, stages, "--json", str(figures)) as demo:
        assert demo.stdout is not None
        shown = list(takewhile(lambda line: not line.startswith("Serving."), demo.stdout))
        text = "".join(shown)
        curls = [
            line.split("curl ")[1].strip("' \n")
            for line in shown
            if "curl http" in line or "curl 'http" in line
        ]
        assert curls, text
        for url in curls:
            with urllib.request.urlopen(url, timeout=10) as answer:
                assert answer.status == 200
        os.killpg(demo.pid, signal.SIGINT)
        rest, errors = demo.communicate(timeout=60)
        assert demo.returncode == 0, errors
        assert "Traceback" not in text + rest + errors
        assert rest.count("stopped") == 2
        assert _left_behind(var) == []

        written = json.loads(figures.read_text())
        assert [each["stage"] for each in written["stages"]] == ["servers", "schema", "import", "API"]
        for each in written["stages"]:
            assert each["seconds"] > 0
            assert each["peak_mib"] > 10
        assert written["stages"][1]["servers_mib"].keys() >= {"PostgreSQL"}
        assert "what it took" in text


def test_a_trained_shop_ends_with_the_lists_as_served_beside_those_of_its_model(tmp_path: Path) -> None:
    events, figures = tmp_path / "events.csv", tmp_path / "figures.json"
    begin = datetime(2026, 1, 1, 10, tzinfo=UTC)
    rows = [
        f"user{user},p{(user * 7 + day * day) % 30},purchase,{(begin + timedelta(days=day)).isoformat()}"
        for user in range(60)
        for day in range(user % 5, 112, 5)
    ]
    events.write_text("user,product,interaction_type,created_at\n" + "\n".join(rows) + "\n")
    stages = (
        *SHORT,
        ("import", ("import", "csv", "--interactions", str(events), "--create-missing")),
        ("features", ("features", "build")),
        ("training", ("train", "run", "popularity")),
        ("scoring", ("serve", "score")),
    )
    with temporary_var() as var, _demo(var, stages, "--no-serve", "--json", str(figures)) as demo:
        out, errors = demo.communicate(timeout=180)
        assert demo.returncode == 0, out + errors
    compared = out.partition(f"9/9  {CHECK[0]}")[2]
    assert "0 of 7,200 differ for an unknown reason" in compared, compared
    last = json.loads(figures.read_text())["stages"][-1]
    assert last["stage"] == CHECK[0]
    assert last["command"].startswith("recsys train evaluate --served --api http://127.0.0.1:")


def test_a_stage_that_fails_is_named_and_everything_stops() -> None:
    broken = ("import", ("import", "csv", "--interactions", "/no/such/file.csv"))
    with temporary_var() as var, _demo(var, [*SHORT, broken]) as demo:
        _, errors = demo.communicate(timeout=60)
        assert demo.returncode == 1
        last = errors.strip().splitlines()[-1]
        assert "'import'" in last
        assert "`recsys import csv --interactions /no/such/file.csv`" in last
        assert "Traceback" not in errors
        assert _left_behind(var) == []


def test_servers_that_ran_before_go_on_running(stages: list[object]) -> None:
    with temporary_var() as var:
        settings = Settings(var=var, environment="test")
        before = embedded.start(settings, throwaway=True)
        with _demo(var, stages, "--no-serve") as demo:
            out, errors = demo.communicate(timeout=180)
            assert demo.returncode == 0, errors
        assert "Serving." not in out
        assert embedded.addresses(settings) == embedded.Addresses(before.database_url, before.redis_url)
        embedded.stop(settings)
        assert _left_behind(var) == []


def test_ended_in_the_middle_of_a_stage_it_leaves_nothing_behind() -> None:
    long = ("long", ("demo-does-not-know-this",))
    with temporary_var() as var, _demo(var, [*[SHORT[0]] * 50, long]) as demo:
        while not any(each.state == "running" for each in embedded.status(Settings(var=var))):
            time.sleep(0.05)
        demo.send_signal(signal.SIGTERM)
        _, errors = demo.communicate(timeout=60)
        assert demo.returncode == 0, errors
        assert "Traceback" not in errors
        assert _left_behind(var) == []


def test_the_stages_are_those_of_the_manual() -> None:
    commands = [" ".join(arguments) for _, arguments in (*STAGES, API, CHECK)]
    assert commands == [
        "up",
        "migrate",
        "import complete-journey",
        "search reindex",
        "features build",
        "train run --all --if-needed",
        "serve score --if-needed",
        "serve api",
        "train evaluate --served --api",
    ]


def test_figures_into_a_folder_that_is_not_there_are_refused_before_any_work(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "recsys", "demo", "--json", str(tmp_path / "no" / "file.json")],
        cwd=ROOT,
        env={**os.environ, "RECSYS_VAR": str(tmp_path / "var")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, len(done.stderr.splitlines())) == (2, 1)
    assert not (tmp_path / "var" / "servers").exists()


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a process that its parent was killed")
def test_a_killed_demo_leaves_no_api_behind(shop: Shop) -> None:
    program = (
        "from recsys.demo.stages import start_process; process = start_process(['serve', 'api'])\n"
        "print(process.pid, flush=True); process.wait()"
    )
    demo = subprocess.Popen([sys.executable, "-c", program], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    try:
        assert demo.stdout is not None
        api = psutil.Process(int(demo.stdout.readline()))
        note = shop.var / "run" / "api.json"
        deadline = time.monotonic() + 60
        while not note.exists() and time.monotonic() < deadline:
            time.sleep(0.05)
        assert json.loads(note.read_text())["pid"] == api.pid
    finally:
        demo.kill()
        demo.communicate()
    api.wait(30)
    assert not note.exists()
