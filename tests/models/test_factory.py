"""Algorithms are found by entry point, and wrong parameters are refused by name, value and range."""

from __future__ import annotations

import threading
from importlib.metadata import EntryPoint
from typing import Any

import pytest
from threadpoolctl import threadpool_info  # type: ignore[import-untyped]

from models import factory
from models.algorithms.content_based.content import PARTS
from models.algorithms.popularity.popularity import Popularity
from models.shared.parallel import in_parallel, one_blas_thread
from recsys.errors import Invalid


def test_create_takes_parameters_by_name() -> None:
    model = factory.create("popularity", {"half_life_days": 3})
    assert isinstance(model, Popularity)
    assert model.parameters.half_life_days == 3.0
    assert isinstance(model.parameters.half_life_days, float), "1 and 1.0 must give the same artifact"


@pytest.mark.parametrize(
    ("algorithm", "parameters", "message"),
    [
        ("magic", {}, "no algorithm is named 'magic'; known: als, "),
        ("als", {"rank": 3}, "no parameter 'rank'; known: alpha, factors, iterations"),
        ("als", {"factors": -1}, "factors of ALS must be a whole number from 0 to 4096, not -1"),
        ("als", {"factors": 2.5}, "factors of ALS must be a whole number"),
        ("als", {"iterations": True}, "iterations of ALS must be a whole number"),
        ("als", {"alpha": -1}, "alpha of ALS must be a number from 0 to 1e\\+06, not -1"),
        ("als", {"regularization": float("nan")}, "regularization of ALS must be a number"),
        ("als", {"seed": -1}, "seed of ALS must be"),
        ("popularity", {"half_life_days": "ten"}, "half_life_days of Popularity must be .* not 'ten'"),
        (
            "item_knn",
            {"weighting": "dice"},
            "weighting of ItemKNN must be one of cosine, tfidf, bm25, not 'dice'",
        ),
        ("item_knn", {"b": 1.5}, "b of ItemKNN must be a number from 0 to 1, not 1.5"),
        ("content", {"preference": 2}, "preference of ContentBased must be a number from 0 to 1, not 2"),
        ("content", dict.fromkeys(PARTS, 0), "are all 0"),
    ],
)
def test_wrong_parameters_are_refused(algorithm: str, parameters: dict[str, Any], message: str) -> None:
    with pytest.raises(Invalid, match=message):
        factory.create(algorithm, parameters)


def entries(*pairs: tuple[str, str]) -> Any:
    found = [EntryPoint(name, value, factory.GROUP) for name, value in pairs]
    return lambda group: found


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        (("x", "no_such_package:X"), "cannot be loaded from no_such_package:X"),
        (("x", "models.algorithms.factorization.als:Nothing"), "cannot be loaded"),
        (("x", "models.algorithms.factorization.als:ALSParameters"), "is not a subclass of Recommender"),
        (("x", "models.algorithms.factorization.als:ALS"), "registered as 'x' but its class says 'als'"),
    ],
)
def test_a_broken_entry_point_is_named(
    monkeypatch: pytest.MonkeyPatch, entry: tuple[str, str], message: str
) -> None:
    monkeypatch.setattr(factory, "installed", entries(entry))
    assert factory.algorithms() == ("x",)
    with pytest.raises(Invalid, match=message):
        factory.create("x")


def test_two_packages_may_not_bring_one_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        factory,
        "installed",
        entries(("als", "models.algorithms.factorization.als:ALS"), ("als", "other:ALS")),
    )
    with pytest.raises(Invalid, match="two installed packages bring an algorithm 'als'"):
        factory.algorithms()


def blas_threads() -> list[int]:
    return [pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"]


def test_blas_is_limited_while_anyone_works_and_released_after() -> None:
    before = blas_threads()
    entered, leave = threading.Event(), threading.Event()

    def other() -> None:
        with one_blas_thread():
            entered.set()
            leave.wait(10)

    thread = threading.Thread(target=other)
    with one_blas_thread():
        thread.start()
        assert entered.wait(10)
    assert set(blas_threads()) == {1}, "the other one is still inside"
    leave.set()
    thread.join()
    assert blas_threads() == before


def test_parallel_work_keeps_its_order_and_passes_errors_on() -> None:
    assert in_parallel(lambda x: x * x, range(10)) == [x * x for x in range(10)]
    before = blas_threads()
    with pytest.raises(ZeroDivisionError):
        in_parallel(lambda x: 1 // x, [1, 0, 2])
    assert blas_threads() == before
