"""An experiment: the TOML file that describes a training, checked before anything runs."""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Sequence
from importlib import resources
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from recsys.domains.recommendations.types import INTERACTION_TYPES
from recsys.errors import Invalid, NotFound
from training.tuning.plan import Dimension, TunePlan

__all__ = [
    "EvaluationPlan",
    "Experiment",
    "PromotionRule",
    "SplitSettings",
    "everyday",
    "load",
    "load_all",
    "shipped",
]


class _ExperimentSection(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class SplitSettings(_ExperimentSection):
    """`[split]`: the last `test_days` of the data are the test; unset: a window that suits the data."""

    test_days: float | None = Field(default=None, gt=0)
    min_events: int = Field(default=1, ge=1)
    """Events a user needs before the test period to be judged."""
    most_users: int = Field(default=20_000, ge=100)
    """Of more users, so many are drawn and judged: more of them would hardly narrow an interval."""
    positive: tuple[str, ...] | None = None
    """Interaction types that are a success; by default those of the dataset's target."""

    @field_validator("positive")
    @classmethod
    def _known_words(cls, words: tuple[str, ...] | None) -> tuple[str, ...] | None:
        if words is not None and (not words or (unknown := [w for w in words if w not in INTERACTION_TYPES])):
            wrong = ", ".join(map(repr, unknown)) if words else "an empty list"
            raise ValueError(f"{wrong} is not an interaction type; known: {', '.join(INTERACTION_TYPES)}")
        return words


class EvaluationPlan(_ExperimentSection):
    """`[evaluation]`: list lengths to report, and how many resamples intervals and tests draw."""

    ks: tuple[int, ...] = (1, 5, 10, 20, 50, 100)
    primary_k: int = 20
    draws: int = Field(default=2000, ge=100, le=100_000)

    @model_validator(mode="after")
    def _ks_make_sense(self) -> Self:
        if not self.ks or min(self.ks) < 1 or max(self.ks) > 1000:
            raise ValueError("ks must be list lengths between 1 and 1000")
        if list(self.ks) != sorted(set(self.ks)):
            raise ValueError(f"ks must rise without repeats: {sorted(set(self.ks))}")
        if self.primary_k not in self.ks:
            raise ValueError(f"primary_k {self.primary_k} must be one of ks {list(self.ks)}")
        return self


class PromotionRule(_ExperimentSection):
    """`[promotion]`: what a challenger must show to replace the champion."""

    metric: Literal["ndcg", "precision", "recall", "hit_rate", "map", "mrr"] = "ndcg"
    view: Literal["all", "new"] = "all"
    margin: float = Field(default=0.0, ge=0.0, lt=1.0)
    """How much better, in units of the metric."""
    significance: float = Field(default=0.05, gt=0.0, lt=1.0)
    min_users: int = Field(default=100, ge=1)
    """With fewer judged users a test decides nothing: at 100 users a paired test finds, with 80% power, a
    difference of 0.28 standard deviations of the users' differences, below that only larger ones."""
    min_coverage: float = Field(default=0.0, ge=0.0, le=1.0)
    """Guardrail: share of the catalogue that must be shown to anybody, in lists of the primary k."""
    min_coverage_of_champion: float = Field(default=0.25, ge=0.0, le=1.0)
    """Guardrail: the least coverage as a share of the champion's; the higher of both floors holds."""
    max_popularity_share: float = Field(default=1.0, ge=0.0, le=1.0)
    """Guardrail: share of a list that may be of the most popular products."""
    max_empty_rate: float = Field(default=0.05, ge=0.0, le=1.0)
    """Guardrail: share of users who may get no product at all."""
    max_scoring_ms: float = Field(default=60_000.0, gt=0.0)
    """Guardrail: milliseconds of processor time per 1000 users, while the lists of the test were made."""


class Experiment(_ExperimentSection):
    """One training, as its file says it."""

    name: str = Field(pattern=r"^[a-z][a-z0-9_]{0,79}$")
    algorithm: str
    seed: int = Field(default=0, ge=0, lt=2**32)
    description: str = ""
    in_all: bool = True
    """Whether `recsys train run --all` runs it; false for an experiment that takes minutes."""
    promotable: bool = True
    """Whether it may serve users' lists; if not, it is judged on lists that start from a product."""
    parameters: dict[str, Any] = Field(default_factory=dict)
    split: SplitSettings = SplitSettings()
    evaluation: EvaluationPlan = EvaluationPlan()
    promotion: PromotionRule = PromotionRule()
    tune: TunePlan | None = None
    """What `recsys train tune` searches; nothing else looks at it."""

    @field_validator("parameters")
    @classmethod
    def _one_seed(cls, parameters: dict[str, Any]) -> dict[str, Any]:
        if "seed" in parameters:
            raise ValueError("seed belongs at the top of the file, not under [parameters]")
        return parameters

    @property
    def recipe(self) -> dict[str, Any]:
        """What makes the model: algorithm, seed and parameters, as plain JSON values."""
        return {"algorithm": self.algorithm, "seed": self.seed, "parameters": self.parameters}

    def seeded(self, seed: int | None) -> Experiment:
        """The same experiment with another seed (None: its own)."""
        return self if seed is None else self.model_copy(update={"seed": seed})


def shipped() -> dict[str, Path]:
    """The experiments that come with the package, by name."""
    folder = resources.files("training") / "experiments"
    return {
        Path(entry.name).stem: Path(str(entry))
        for entry in sorted(folder.iterdir(), key=lambda entry: entry.name)
        if entry.name.endswith(".toml")
    }


def everyday() -> list[str]:
    """The names of the shipped experiments that `recsys train run --all` runs."""
    return [name for name in shipped() if load(name).in_all]


def load(source: str) -> Experiment:
    """Read a file, or a shipped experiment by its bare name.

    Raises
    ------
    NotFound
        For neither.
    Invalid
        For a file that is wrong; one line, with the file's name.
    """
    path = Path(source)
    known = shipped()
    if path.is_file():
        return _read(path)
    if source in known:
        return _read(known[source])
    near = difflib.get_close_matches(source, known, n=1)
    hint = f"did you mean {near[0]!r}? " if near else ""
    raise NotFound(
        f"no experiment {source!r}: there is no such file; {hint}"
        f"experiments that come with recsys: {', '.join(known)}"
    )


def load_all(sources: Sequence[str], *, seed: int | None = None) -> list[Experiment]:
    """Read several that are to run on one split.

    Parameters
    ----------
    sources
        As for `load`, at least one.
    seed
        In place of the files' own.

    Raises
    ------
    NotFound
        As `load`.
    Invalid
        As `load`, without sources, and when two share a name, or disagree about split, evaluation or
        promotion: their figures could not be compared.
    """
    experiments = [load(source).seeded(seed) for source in sources]
    if not experiments:
        raise Invalid(f"name at least one experiment, or use --all; known: {', '.join(shipped())}")
    first = experiments[0]
    for other, source in zip(experiments[1:], sources[1:], strict=True):
        for section in ("split", "evaluation", "promotion"):
            if getattr(other, section) != getattr(first, section):
                raise Invalid(
                    f"{source}: its [{section}] differs from that of {sources[0]}; experiments of one run "
                    "are compared on the same test, so give them the same sections or run them one by one"
                )
    names = [experiment.name for experiment in experiments]
    if repeated := {name for name in names if names.count(name) > 1}:
        raise Invalid(f"the experiment {', '.join(sorted(repeated))} was given twice; name each once")
    return experiments


def _read(path: Path) -> Experiment:
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise Invalid(f"{path}: not valid TOML: {error}") from error
    try:
        return Experiment.model_validate(document)
    except ValidationError as error:
        raise Invalid(f"{path}: {'; '.join(_say(problem) for problem in error.errors())}") from error


def _say(problem: Any) -> str:
    place = [str(part) for part in problem["loc"]]
    key = ".".join(place)
    if problem["type"] == "extra_forbidden":
        known = sorted(_fields_at(place[:-1]))
        near = difflib.get_close_matches(place[-1], known, n=1, cutoff=0.5)
        return f"unknown key {key!r}; " + (
            f"did you mean {near[0]!r}?" if near else f"known: {', '.join(known)}"
        )
    if problem["type"] == "missing":
        return f"the key {key!r} is missing"
    message = problem["msg"].removeprefix("Value error, ").replace("\n", " ")
    given = "" if isinstance(problem["input"], dict) else f" (given: {problem['input']!r})"
    return f"{key or 'file'}: {message[:1].lower()}{message[1:]}{given}"


def _fields_at(place: Sequence[str]) -> list[str]:
    sections: dict[str, type[BaseModel]] = {
        "split": SplitSettings,
        "evaluation": EvaluationPlan,
        "promotion": PromotionRule,
    }
    if place[:1] == ["tune"]:
        return list((Dimension if len(place) > 1 else TunePlan).model_fields)
    return list((sections[place[0]] if place else Experiment).model_fields)
