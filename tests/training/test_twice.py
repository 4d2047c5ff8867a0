"""The nightly job started twice or killed in the middle, and an artifact of an older format."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest
from sqlalchemy import text

from models.registry import registry
from models.registry.artifact import FORMAT
from recsys.cli import run
from recsys.database.session import unit_of_work
from recsys.errors import Unavailable
from tests.support import warm
from tests.support.shop import Shop
from tests.training.shops import fill_shop
from training.lock import TRAINING_LOCK
from training.tracking.runs import Tracked

FILE = """
name = "popularity"
algorithm = "popularity"
[split]
test_days = 12
[evaluation]
ks = [5, 10]
primary_k = 10
draws = 200
"""
TRAIN = "import sys; from recsys.cli import run; sys.exit(run(sys.argv[1:]))"
DIE = (
    "import os, signal, training.pipeline as p; "
    "p.register = lambda *a: os.kill(os.getpid(), signal.SIGKILL); " + TRAIN
)
NO_MLFLOW = (
    "import training.pipeline as p; from training.tracking.runs import Tracked; "
    "p.track = lambda r: Tracked('-'); "
)
HOLD = (
    "import os, time, training.pipeline as p; register = p.register\n"
    "def held(*given, **named):\n"
    "    while not os.path.exists({release!r}):\n"
    "        time.sleep(0.02)\n"
    "    return register(*given, **named)\n"
    "p.register = held\n"
)


@pytest.fixture
def experiment(shop: Shop, tmp_path: Path) -> str:
    fill_shop()
    path = tmp_path / "popularity.toml"
    path.write_text(FILE)
    return str(path)


def _start(program: str, *arguments: str) -> subprocess.Popen[str]:
    streams = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    return warm.start("-c", program, *arguments, text=True, **streams)


def _wait_for_lock(process: subprocess.Popen[str]) -> None:
    while process.poll() is None:
        with unit_of_work() as session:
            held = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND objid = :key AND granted"
            if session.scalar(text(held), {"key": TRAINING_LOCK}):
                return
        time.sleep(0.02)
    pytest.fail(f"it never trained: {process.communicate()[1]}")


def _whole(names: list[str]) -> None:
    """Exactly these versions are there, each with a row and an artifact that fit each other."""
    with unit_of_work() as session:
        models = registry.list_models(session)
        serving = registry.active(session)
    assert sorted(model.name for model in models) == names
    assert sorted(path.name for path in registry.artifact_folder("x").parent.iterdir()) == names
    for model in models:
        registry.load(model)
    assert serving is not None
    assert serving.name in names


def test_of_two_at_once_one_trains_and_the_other_is_refused_in_one_line(
    shop: Shop, experiment: str, tmp_path: Path
) -> None:
    # it stays in the middle until the second has answered
    release = tmp_path / "release"
    first = _start(
        HOLD.format(release=str(release)) + NO_MLFLOW + TRAIN, "train", "run", experiment, "--json"
    )
    try:
        _wait_for_lock(first)
        second = _start(NO_MLFLOW + TRAIN, "train", "run", experiment, "--json")
        printed, errors = second.communicate(timeout=60)
        release.touch()
        done, first_errors = first.communicate(timeout=60)
    finally:
        first.kill()
    assert (second.returncode, printed) == (2, "")
    assert "another training is running" in errors
    assert errors.strip().count("\n") == 0
    assert first.returncode == 0, first_errors
    assert json.loads(done)["active"] == "popularity-v1"
    _whole(["popularity-v1"])


def test_one_that_is_killed_before_it_registers_leaves_nothing_that_the_next_trips_over(
    shop: Shop, experiment: str
) -> None:
    died = _start(DIE, "train", "run", experiment)
    _, errors = died.communicate(timeout=60)
    assert died.returncode == -signal.SIGKILL, errors
    with unit_of_work() as session:
        assert registry.list_models(session) == []
    assert registry.artifact_folder("popularity-v1").is_dir()  # it was in the middle
    again = _start(NO_MLFLOW + TRAIN, "train", "run", experiment)
    _, errors = again.communicate(timeout=60)
    assert again.returncode == 0, errors
    _whole(["popularity-v1"])


def test_an_artifact_of_an_older_format_is_refused_by_name(
    shop: Shop, experiment: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("training.pipeline.track", lambda runs: Tracked("-"))
    assert run(["train", "run", experiment]) == 0
    with unit_of_work() as session:
        model = registry.get(session, "popularity-v1")
    header = model.folder / "model.json"
    older = json.loads(header.read_text())
    older["header"]["format"] = FORMAT - 1
    header.write_text(json.dumps(older))
    with pytest.raises(Unavailable, match=f"popularity-v1 .* format {FORMAT - 1}; this version reads"):
        registry.load(model)
    capsys.readouterr()
    assert run(["train", "promote", "popularity-v1", "--force", "--reason", "try"]) == 1
    errors = capsys.readouterr().err
    assert "popularity-v1" in errors
    assert f"format {FORMAT - 1}" in errors
    assert errors.strip().count("\n") == 0
    shutil.rmtree(model.folder)
    assert run(["train", "run", experiment]) == 0  # a lost artifact is no reason to stop training
    with unit_of_work() as session:
        registry.load(registry.get(session, "popularity-v2"))
