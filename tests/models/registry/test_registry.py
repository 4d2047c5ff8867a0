"""The registry: rows and artifacts agree, one model is active whatever happens at once, damage is refused."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from pathlib import Path

import numpy as np
import pytest
from sqlalchemy import Select, func, select

from models import factory
from models.registry import registry
from models.registry.registry import RegisteredModel, Registration
from recsys.database.session import unit_of_work
from recsys.domains.recommendations.tables import RecommendationModel
from recsys.errors import Conflict, NotFound, Unavailable
from tests.support.shop import Shop
from tests.training.shops import dataset_of


def _registration(name: str, version: int, checksum: str = "", dataset: str = "d") -> Registration:
    return Registration(
        name=name,
        version=version,
        type="collaborative_filtering",
        algorithm="popularity",
        checksum=checksum,
        dataset=dataset,
        parameters={"seed": 3},
        accuracy=0.81234,
        precision=0.2,
        recall=1.0,
        events=7,
    )


def _stored() -> RegisteredModel:
    data = dataset_of([(1, 10, 0.0, "purchase"), (2, 11, 1.0, "purchase")])
    model = factory.create("popularity").fit(data)
    checksum = model.save(registry.artifact_folder("popularity-v1"))
    with unit_of_work() as session:
        return registry.register(session, _registration("popularity-v1", 1, checksum, data.fingerprint))


def test_register_get_and_versions(shop: Shop) -> None:
    with unit_of_work() as session:
        assert registry.next_version(session, "als") == 1
        registry.register(session, _registration("als-v1", 1))
        registry.register(session, _registration("als-v10", 10))
        registry.register(session, _registration("als_big-v30", 30))
        assert registry.next_version(session, "als") == 11
        assert registry.active(session) is None
    with unit_of_work() as session:
        model = registry.get(session, "als-v10")
        row = session.get(RecommendationModel, model.id)
        assert [one.name for one in registry.list_models(session)] == ["als_big-v30", "als-v10", "als-v1"]
        with pytest.raises(NotFound, match="als_big-v30, als-v10, als-v1"):
            registry.get(session, "nothing")
    assert (model.version, model.folder) == ("10", shop.var / "models" / "als-v10")
    assert model.parameters["seed"] == 3
    assert not model.is_active
    assert row is not None
    assert row.accuracy == Decimal("0.8123")


def test_a_name_is_taken_once(shop: Shop) -> None:
    with unit_of_work() as session:
        registry.register(session, _registration("als-v1", 1))
    with pytest.raises(Conflict, match="als-v1 is registered already"), unit_of_work() as session:
        registry.register(session, _registration("als-v1", 1))


def test_one_is_active_however_many_are_promoted_at_once(shop: Shop) -> None:
    names = [f"m-v{i}" for i in range(1, 9)]
    with unit_of_work() as session:
        for i, name in enumerate(names, start=1):
            registry.register(session, _registration(name, i))

    def promote(name: str) -> str:
        with unit_of_work() as session:
            registry.activate(session, name, actor="test", reason="race")
            # what a reader sees inside the transaction is already one
            assert session.scalar(_active_count()) == 1
        return name

    with ThreadPoolExecutor(8) as pool:
        assert sorted(pool.map(promote, names * 3)) == sorted(names * 3)
    with unit_of_work() as session:
        assert session.scalar(_active_count()) == 1
        history = registry.history(session)
        active = registry.active(session)
    assert active is not None
    assert active.name == history[0].to_name
    # the audit rows are a chain: each began where the one before it ended
    chain = [(row.from_name, row.to_name) for row in reversed(history)]
    assert len(chain) == 24
    assert [before for before, _ in chain] == [None, *(after for _, after in chain[:-1])]


def test_a_promotion_that_fails_changes_nothing(shop: Shop) -> None:
    with unit_of_work() as session:
        registry.register(session, _registration("a-v1", 1))
        registry.register(session, _registration("b-v1", 1))
        registry.activate(session, "a-v1")
    with pytest.raises(NotFound):
        _promote_both("b-v1", "c-v1")
    with unit_of_work() as session:
        active, history = registry.active(session), registry.history(session)
    assert active is not None
    assert active.name == "a-v1"
    assert len(history) == 1


def test_load_gives_the_fitted_model(shop: Shop) -> None:
    model = registry.load(_stored())
    assert model.algorithm == "popularity"
    assert model.recommend([1], 2).products.shape == (1, 2)


def test_a_damaged_artifact_is_refused_by_name(shop: Shop) -> None:
    registered = _stored()
    file = registered.folder / "fitted_popularity.npy"
    whole = file.read_bytes()
    file.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    with pytest.raises(Unavailable, match=r"popularity-v1.*fitted_popularity\.npy"):
        registry.load(registered)
    file.unlink()
    with pytest.raises(Unavailable, match=r"popularity-v1.*missing"):
        registry.load(registered)
    (registered.folder / "model.json").unlink()
    with pytest.raises(Unavailable, match="popularity-v1"):
        registry.load(registered)


def test_another_artifact_in_its_place_is_refused(shop: Shop) -> None:
    registered = _stored()
    other = dataset_of([(1, 10, 0.0, "purchase"), (2, 10, 1.0, "purchase")])
    factory.create("popularity").fit(other).save(registered.folder)
    with pytest.raises(Unavailable, match="its checksum is"):
        registry.load(registered)


def test_annotate_adds_and_keeps(shop: Shop) -> None:
    _stored()
    with unit_of_work() as session:
        registry.annotate(session, "popularity-v1", {"mlflow": {"run": "r"}})
    with unit_of_work() as session:
        parameters = registry.get(session, "popularity-v1").parameters
    assert parameters["mlflow"] == {"run": "r"}
    assert parameters["seed"] == 3


def _promote_both(first: str, second: str) -> None:
    with unit_of_work() as session:
        registry.activate(session, first)
        registry.activate(session, second)


def _active_count() -> Select[tuple[int]]:
    active = RecommendationModel.is_active.is_(True)
    return select(func.count()).select_from(RecommendationModel).where(active)


def test_folder_follows_var(shop: Shop, tmp_path: Path) -> None:
    registered = _stored()
    assert registered.folder == shop.var / "models" / "popularity-v1"
    assert np.load(registered.folder / "users.npy").tolist() == [1, 2]
