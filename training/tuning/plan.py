"""`[tune]` of an experiment: which parameters to search, between which bounds, for how long."""

from __future__ import annotations

import hashlib
import json
import math
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

if TYPE_CHECKING:
    from optuna import Trial

__all__ = ["Dimension", "TunePlan"]

Number = int | float


class _TuningSection(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Dimension(_TuningSection):
    """`[tune.space.NAME]`: either `choices`, or `low` and `high`, whole numbers where both are whole.

    Attributes
    ----------
    step
        Between the numbers that are tried, from `low`; None: 1 between whole numbers, otherwise any number.
    log
        Search in equal ratios rather than equal steps, for what may differ by powers of ten.
    """

    choices: tuple[bool | Number | str, ...] | None = Field(default=None, min_length=2)
    low: Number | None = None
    high: Number | None = None
    step: Number | None = Field(default=None, gt=0)
    log: bool = False

    @model_validator(mode="after")
    def _is_one_or_the_other(self) -> Self:
        ranged = self.low is not None or self.high is not None
        if ranged == (self.choices is not None):
            raise ValueError("give either choices, or low and high")
        if self.choices is not None:
            if self.log or self.step is not None:
                raise ValueError("log and step belong to low and high, not to choices")
            if len(set(map(repr, self.choices))) < len(self.choices):
                raise ValueError("choices must differ")
            return self
        if (
            self.low is None
            or self.high is None
            or not (math.isfinite(self.low) and math.isfinite(self.high))
        ):
            raise ValueError("low and high go together, both finite")
        if self.low >= self.high:
            raise ValueError(f"low ({self.low}) must be below high ({self.high})")
        if self.log and (self.low <= 0 or self.step is not None):
            raise ValueError("log needs a low above zero, and no step")
        if self.whole and isinstance(self.step, float):
            raise ValueError("the step between whole numbers must be whole")
        return self

    @property
    def whole(self) -> bool:
        """Whether only whole numbers are tried."""
        return isinstance(self.low, int) and isinstance(self.high, int)

    @property
    def upper(self) -> Number | None:
        """The largest number that may be tried; None where choices are no numbers."""
        if self.choices is None:
            return self.high
        numbers = [one for one in self.choices if isinstance(one, int | float) and not isinstance(one, bool)]
        return max(numbers) if len(numbers) == len(self.choices) else None

    def suggest(self, trial: Trial, name: str) -> Any:
        """The value that `trial` shall try."""
        if self.choices is not None:
            return trial.suggest_categorical(name, self.choices)
        assert self.low is not None
        assert self.high is not None
        if self.whole:
            step = int(self.step) if self.step is not None else 1
            return trial.suggest_int(name, int(self.low), int(self.high), step=step, log=self.log)
        return trial.suggest_float(
            name,
            float(self.low),
            float(self.high),
            step=None if self.step is None else float(self.step),
            log=self.log,
        )

    def holds(self, value: object) -> bool:
        """Whether `value` lies in the search space."""
        if self.choices is not None:
            return any(value == choice and type(value) is type(choice) for choice in self.choices)
        if isinstance(value, bool) or not isinstance(value, int | float):
            return False
        assert self.low is not None
        assert self.high is not None
        if not self.low <= value <= self.high or (self.whole and not isinstance(value, int)):
            return False
        if self.step is None:
            return True
        steps = (value - self.low) / self.step
        return math.isclose(steps, round(steps), abs_tol=1e-9)


class TunePlan(_TuningSection):
    """`[tune]`: the search. Validation periods lie one after the other right before the test period.

    Attributes
    ----------
    trials, minutes
        At most so many.
    folds
        Validation periods; a trial that is worse than the median after one of them is given up.
    days
        Length of each; by default that of the test.
    space
        The parameters that are searched, by name.
    """

    trials: int = Field(default=30, ge=1, le=10_000)
    minutes: float = Field(default=30.0, gt=0)
    folds: int = Field(default=2, ge=1, le=10)
    days: float | None = Field(default=None, gt=0)
    sampler: Literal["tpe", "random"] = "tpe"
    space: dict[Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$")], Dimension] = Field(min_length=1)

    def key(self, **judged: object) -> str:
        """Names the search by its space and periods and by how it is judged (`judged`, plain JSON values).

        The same go on where they stopped; others start over, since their values can't be compared.
        """
        what = {**self.model_dump(mode="json", exclude={"trials", "minutes"}), **judged}
        return hashlib.sha256(json.dumps(what, sort_keys=True).encode()).hexdigest()[:12]
