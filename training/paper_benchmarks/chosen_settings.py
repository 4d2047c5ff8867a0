"""The settings of a benchmark, kept in TOML beside the code, chosen on a validation part of train only."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass, field
from importlib.resources import files
from typing import Any

from models.base import Recommender
from models.factory import create
from recsys.errors import Invalid

__all__ = ["BenchmarkSettings", "ModelSettings", "SearchSpace", "read_settings"]


@dataclass(frozen=True)
class ModelSettings:
    """One model of a table."""

    name: str
    algorithm: str
    parameters: dict[str, Any]

    def create(self) -> Recommender:
        """An unfitted model with these settings."""
        return create(self.algorithm, self.parameters)


@dataclass(frozen=True)
class SearchSpace:
    """Where a search of one model's settings starts, and the values of each parameter tried, step by step."""

    start: dict[str, Any]
    steps: list[dict[str, list[Any]]]


@dataclass(frozen=True)
class BenchmarkSettings:
    """Settings of one benchmark.

    Attributes
    ----------
    models
        By name.
    validation
        How the fold is cut.
    blend
        Learned weight, by model.
    peers
        Lines of the table.
    weights
        Of event types and the half-life in days, where the benchmark fits them.
    search
        Where and what to search, by model.
    """

    models: dict[str, ModelSettings]
    validation: dict[str, Any]
    blend: dict[str, float]
    peers: list[dict[str, Any]]
    weights: dict[str, float]
    search: dict[str, SearchSpace] = field(default_factory=dict)


def read_settings(name: str) -> BenchmarkSettings:
    """The settings of benchmark `name`; raises Invalid when the blend names a model that is not there."""
    document = tomllib.loads((files(__package__) / "settings" / f"{name}.toml").read_text())
    models = {
        model: ModelSettings(model, given["algorithm"], given.get("parameters", {}))
        for model, given in document["models"].items()
    }
    blend = {model: float(weight) for model, weight in document.get("blend", {}).items()}
    if unknown := sorted(blend.keys() - models.keys()):
        raise Invalid(f"settings of {name}: the blend names {', '.join(unknown)}, which is not a model there")
    weights = {event: float(weight) for event, weight in document.get("weights", {}).items()}
    search = {
        model: SearchSpace(given["start"], given["steps"])
        for model, given in document.get("search", {}).items()
    }
    if unknown := sorted(search.keys() - models.keys()):
        raise Invalid(f"settings of {name}: the search names {', '.join(unknown)}, not a model there")
    return BenchmarkSettings(
        models, document.get("validation", {}), blend, document.get("peers", []), weights, search
    )
