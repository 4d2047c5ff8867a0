"""`recsys train tune` on a real shop: honest about the test, going on after a kill, one at a time."""

from __future__ import annotations

import json
import signal
import sqlite3
import subprocess
import time
from contextlib import closing
from pathlib import Path

import pytest
from rich.console import Console

from features.build.builder import build
from recsys.errors import Conflict, Invalid
from recsys.settings import get_settings
from tests.support import warm
from tests.support.shop import Shop
from tests.training.shops import fill_shop
from training.evaluation.splits import MICROSECONDS_PER_DAY
from training.experiment import load
from training.lock import training_lock, tuning_lock
from training.tuning.run import Tuning, run
from training.tuning.search import folds_of

FILE = """
name = "knn"
algorithm = "item_knn"
[parameters]
neighbours = 3
[split]
test_days = 10
[evaluation]
ks = [5, 10]
primary_k = 10
draws = 200
[tune]
trials = 5
minutes = 5
folds = 2
[tune.space.neighbours]
low = 1
high = 30
"""


@pytest.fixture
def file(shop: Shop, tmp_path: Path) -> Path:
    fill_shop(name="Product 3")
    build(get_settings())
    path = tmp_path / "knn.toml"
    path.write_text(FILE)
    return path


def tuned(file: Path, **more: object) -> Tuning:
    options: dict[str, object] = {"minutes": None, "trials": None, "storage": None, "look": True, **more}
    return run(str(file), console=Console(quiet=True), **options)  # type: ignore[arg-type]


def test_validation_lies_before_the_test_and_never_sees_it(file: Path) -> None:
    from features.build.builder import current

    dataset = current(get_settings())
    test, folds = folds_of(dataset, load(str(file)))
    assert len(folds) == 2
    assert test.cutoff == dataset.moment - 10 * MICROSECONDS_PER_DAY
    for fold in folds:
        assert fold.until <= test.cutoff
        assert fold.train.events.time.max() <= fold.cutoff < fold.until
    assert folds[0].until <= folds[1].cutoff


def test_a_search_ends_in_a_file_and_looks_at_the_test_once(file: Path, shop: Shop) -> None:
    answer = shop.run("train", "tune", file, "--json")
    assert answer.returncode == 0, answer.stderr
    output = json.loads(answer.stdout)
    assert len(output["trials"]) == 5
    # the first trial is the experiment's own point
    assert output["trials"][0]["parameters"] == {"neighbours": 3}
    whole = [trial for trial in output["trials"] if trial["state"] == "complete"]
    assert output["best"]["value"] == max(trial["value"] for trial in whole)
    for trial in whole:
        assert trial["value"] == pytest.approx(sum(trial["periods"]) / 2)
    assert output["forecast"]["trials_left"] == 4
    assert output["forecast"]["bytes"] > 0
    assert "Forecast: 4 trials of" in answer.stderr
    found = load(output["file"])
    assert found.parameters == output["best"]["parameters"]
    assert found.tune is None
    assert (output["looked_before"], output["tested"]["number"]) == (False, output["best"]["number"])
    again = json.loads(shop.run("train", "tune", file, "--trials", 7, "--json").stdout)
    assert len(again["trials"]) == 7
    assert again["trials"][:5] == output["trials"]
    assert again["looked_before"] is True
    assert again["tested"] == output["tested"]
    shown = shop.run("train", "tune", file, "--trials", 7)
    assert "(looked at before, after 5 trials)" in shown.stdout
    # another metric is another search, whose values and look are its own
    file.write_text(FILE.replace("primary_k = 10", "primary_k = 5"))
    other = json.loads(shop.run("train", "tune", file, "--trials", 2, "--json").stdout)
    assert (len(other["trials"]), other["looked_before"], other["looks_elsewhere"]) == (2, False, 1)
    assert other["tested"]["metric"].startswith("ndcg@5")


def test_the_same_seed_and_data_try_the_same(file: Path) -> None:
    first = tuned(file, storage="sqlite://", look=False)
    second = tuned(file, storage="sqlite://", look=False)
    assert [one.parameters for one in first.found.trials] == [one.parameters for one in second.found.trials]
    assert [one.value for one in first.found.trials] == [one.value for one in second.found.trials]
    assert first.found.tested is None


def test_a_search_may_be_kept_in_postgresql(file: Path, shop: Shop) -> None:
    first = tuned(file, storage="postgresql", trials=2, look=False)
    assert len(tuned(file, storage="postgresql", trials=3, look=False).found.trials) == 3
    assert len(first.found.trials) == 2
    with pytest.raises(Invalid, match="not an address of SQLAlchemy"):
        tuned(file, storage="no address")


def test_a_killed_search_goes_on_where_it_was(file: Path, shop: Shop) -> None:
    command = ("-m", "recsys", "train", "tune", str(file), "--trials", "500", "--json")
    studies = shop.var / "tuning" / "studies.db"
    with warm.start(*command, stderr=subprocess.PIPE) as searching:
        deadline = time.monotonic() + 90
        while not (studies.is_file() and _finished(studies) >= 3):
            assert searching.poll() is None, searching.stderr.read() if searching.stderr else ""
            assert time.monotonic() < deadline
            time.sleep(0.1)
        with pytest.raises(Conflict, match=r"the search .+ is running already"):
            tuned(file)
        with training_lock():  # a nightly training is not kept waiting
            assert searching.poll() is None
        searching.send_signal(signal.SIGKILL)
    before = _finished(studies)
    after = tuned(file, trials=before + 3, look=False)
    # the trial that the kill cut off counts as failed, and is among them
    assert before <= len(after.found.trials) <= before + 4
    assert sum(trial.state == "failed" for trial in after.found.trials) <= 1


def _finished(studies: Path) -> int:
    with closing(sqlite3.connect(studies)) as connection:
        try:
            ((count,),) = connection.execute(
                "SELECT count(*) FROM trials WHERE state IN ('COMPLETE', 'PRUNED', 'FAIL')"
            )
        except sqlite3.OperationalError:  # the tables are only being made
            return 0
    return int(count)


def test_what_cannot_be_searched_is_reported_before_anything_runs(file: Path) -> None:
    with pytest.raises(Invalid, match=r"has no \[tune\] section"):
        run("popularity", minutes=None, trials=None, storage=None, look=True, console=Console(quiet=True))
    file.write_text(FILE.replace("[tune.space.neighbours]", "[tune.space.neighbors]"))
    with pytest.raises(Invalid, match=r"\[tune.space\] names neighbors, which this algorithm does not know"):
        tuned(file)
    file.write_text(FILE.replace("folds = 2", "folds = 10"))
    with pytest.raises(Invalid, match=r"\[tune\]: rolling fold"):
        tuned(file)


def test_a_budget_of_time_ends_the_search_and_a_trial_that_can_not_be_fitted_is_noted(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from training.tuning import search

    real = search.create

    def create(experiment: object) -> object:
        if experiment.parameters["neighbours"] > 15:  # type: ignore[attr-defined]
            raise Invalid("fitting item_knn is forecast to take 9 GiB, and 1 is free")
        return real(experiment)  # type: ignore[arg-type]

    monkeypatch.setattr(search, "create", create)
    found = tuned(file, trials=12, look=False).found
    states = {trial.state for trial in found.trials}
    assert "failed" in states
    assert {trial.problem for trial in found.trials if trial.state == "failed"} == {
        "fitting item_knn is forecast to take 9 GiB, and 1 is free"
    }
    assert found.best.parameters["neighbours"] <= 15
    short = tuned(file, trials=500, minutes=0.0001, look=False).found
    assert len(short.trials) < 20


def test_searches_of_other_studies_do_not_exclude_each_other(shop: Shop) -> None:
    refused = pytest.raises(Conflict, match="the search a is running")
    with tuning_lock("a"), tuning_lock("b"), refused, tuning_lock("a"):
        pytest.fail("two worked on one study")
    with tuning_lock("a"):  # free again
        pass
