"""Erasures during a training: its models, registered afterwards, are marked to be trained again."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from models.registry import registry
from models.registry.registry import Registration
from recsys import clock
from recsys.database.session import unit_of_work
from recsys.domains.recommendations.stored_lists import locks
from recsys.privacy import erasure, tombstones, trained_models
from recsys.privacy import person as people
from recsys.privacy.receipts import ErasureReceipt
from recsys.settings import get_settings
from tests.support.shop import Shop
from tests.training.shops import fill_shop
from training import lock, pipeline
from training.experiment import Experiment, load_all
from training.progress import Steps

PLAN = """
[split]
test_days = 12
[evaluation]
ks = [5, 10]
primary_k = 10
draws = 200
"""


@pytest.fixture
def experiments(shop: Shop, tmp_path: Path) -> list[Experiment]:
    fill_shop()
    sources = []
    for name in ("popularity", "similar_items"):
        (tmp_path / f"{name}.toml").write_text(
            f'name = "{name}"\nalgorithm = "{name}"\npromotable = {str(name == "popularity").lower()}\n{PLAN}'
        )
        sources.append(str(tmp_path / f"{name}.toml"))
    return load_all(sources)


def train(experiments: list[Experiment]) -> list[str]:
    pipeline.train(experiments, command="recsys train run", actor="tester", steps=Steps())
    with unit_of_work() as session:
        return [model.name for model in registry.list_models(session)]


def marked() -> dict[str, Any]:
    with unit_of_work() as session:
        return {each.name: each for each in trained_models.marked(session)}


def erase(user: int) -> ErasureReceipt:
    return erasure.erase(user, by=None, requested_by="test")


def before(step: str, action: Callable[[], object], monkeypatch: pytest.MonkeyPatch) -> None:
    """Act once, right before a step of the training."""
    whole, waiting = getattr(pipeline, step), [action]

    def acts(*given: Any, **named: Any) -> Any:
        if waiting:
            waiting.pop()()
        return whole(*given, **named)

    monkeypatch.setattr(pipeline, step, acts)


@pytest.mark.parametrize(
    "step", ["_snapshot", "plan_training", "train_item_models", "_refit_all", "register"]
)
def test_models_of_a_training_know_of_an_erasure_meanwhile(
    experiments: list[Experiment], monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    receipts: list[ErasureReceipt] = []
    before(step, lambda: receipts.append(erase(7)), monkeypatch)
    names = train(experiments)
    assert len(names) == 2
    (receipt,) = receipts
    assert receipt.models == [] or step in ("_refit_all", "register")
    assert any("A training ran meanwhile" in note for note in receipt.notes)
    found = marked()
    assert set(found) == set(names), "marked by the erasure, or at the registration"
    days = get_settings().privacy.retrain_days
    assert {(each.erased_at - receipt.erased_at).total_seconds() for each in found.values()} == {0.0}
    assert {(each.retrain_by - each.erased_at).days for each in found.values()} == {days}
    # trained again, on data without the person, they replace them
    again = set(train(experiments)) - set(names)
    assert set(marked()) == set(names)
    with unit_of_work() as session:
        assert set(trained_models.delete_replaced(session)) <= set(names)
    assert not again & set(marked())


def test_a_training_after_an_erasure_or_without_one_marks_nothing(experiments: list[Experiment]) -> None:
    train(experiments)
    assert marked() == {}
    receipt = erase(7)
    assert not any("A training ran" in note for note in receipt.notes)
    assert len(marked()) == 2
    train(experiments)
    assert len(marked()) == 2


def test_data_that_still_has_an_erased_user_is_seen_however_old_the_erasure(shop: Shop) -> None:
    fill_shop()
    erase(7)
    with unit_of_work() as session:
        everybody = tombstones.everybody(session)
        locks.only_one_promotion(session)
        none = trained_models.mark_registered(session, ["m-v1"], [1, 2, 3], everybody)
        found = trained_models.mark_registered(session, ["n-v1"], iter(range(1, 30_000)), everybody)
    assert none is None
    assert found is not None
    assert list(marked()) == ["n-v1"]


def test_whichever_of_a_registration_and_an_erasure_commits_first_the_model_is_marked(shop: Shop) -> None:
    fill_shop()
    users = list(range(1, 13))

    def registers(user: int, gate: threading.Barrier) -> None:
        with unit_of_work() as session:
            erased_before = tombstones.everybody(session)
        gate.wait()
        with unit_of_work() as session:
            locks.only_one_promotion(session)
            name = f"race-v{user}"
            row = Registration(name, user, "t", "popularity", "0" * 64, "", {}, None, None, None, 1)
            registry.register(session, row)
            trained_models.mark_registered(session, [name], [user], erased_before)

    def erases(user: int, gate: threading.Barrier) -> None:
        gate.wait()
        with unit_of_work() as session:
            person = people.find(session, user)
            moment = clock.now()
            trained_models.mark(session, person, moment)
            tombstones.bury(session, person.identifiers, moment)
            session.execute(text("SELECT pg_sleep(0.02)"))

    for user in users:
        gate = threading.Barrier(2)
        threads = [threading.Thread(target=each, args=(user, gate)) for each in (registers, erases)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert set(marked()) >= {f"race-v{user}" for user in users}


def test_the_lock_of_trainings_is_the_one_that_erasures_look_for(shop: Shop) -> None:
    assert trained_models.TRAINING_LOCK == lock.TRAINING_LOCK
    with unit_of_work() as session:
        assert not trained_models.training_runs(session)
    with lock.training_lock(), unit_of_work() as session:
        assert trained_models.training_runs(session)
