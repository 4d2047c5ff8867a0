"""What was measured of displayed recommendations and of A/B tests: one file that is written and read whole.

`recsys train measure` writes it, pages read it: counting takes too long for a page, and `serving` imports
nothing of `training`.
"""

from __future__ import annotations

import os
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ValidationError

from recsys.log import get_logger
from recsys.settings import get_settings

__all__ = [
    "MeasuredArm",
    "MeasuredDifference",
    "MeasuredGroup",
    "MeasuredPeriod",
    "MeasuredRate",
    "MeasuredSpan",
    "MeasuredTest",
    "Measurement",
    "measurement_path",
    "read_measurement",
    "write_measurement",
]

_log = get_logger(__name__)


class MeasuredRate(BaseModel):
    """A share with its 95% interval."""

    value: float
    low: float
    high: float


class MeasuredGroup(BaseModel):
    """What followed the impressions of one placement, or of all.

    impressions : products displayed. users : to so many different ones.
    clicked, bought : share of impressions; None without impressions.
    user_shares : share of the users who clicked, carted or bought at least one, by that word.
    revenue_per_1000 : of a thousand impressions.
    """

    name: str
    impressions: int
    users: int
    clicked: MeasuredRate | None
    bought: MeasuredRate | None
    user_shares: dict[str, MeasuredRate] = {}
    revenue: Decimal
    revenue_per_1000: float


class MeasuredPeriod(BaseModel):
    """One period: all placements together, and each. `total` is None without impressions."""

    since: datetime
    until: datetime
    total: MeasuredGroup | None
    placements: list[MeasuredGroup]


class MeasuredSpan(BaseModel):
    """A number of days up to now, and as many before them."""

    days: int
    current: MeasuredPeriod
    before: MeasuredPeriod


class MeasuredDifference(BaseModel):
    """An arm less the control in one metric, with an interval that holds at all looks together.

    Of interleaved lists control and treatment are the mean credit of the arm, relative their difference as a
    part of both.
    metric : such as bought. variance_removed : share of the variance that the users' past explained.
    """

    metric: str
    arm: str
    control: float
    treatment: float
    difference: float
    low: float
    high: float
    relative: float | None
    p_value: float
    variance_removed: float


class MeasuredArm(BaseModel):
    """One arm. variant : what it changes, in words. counted : users whose outcome is final; waiting : others.

    observed_share : of all users; None without any. fallback_share : of its lists, those by another model.
    """

    name: str
    variant: str
    share: float
    counted: int
    waiting: int
    observed_share: float | None
    fallback_share: float


class MeasuredTest(BaseModel):
    """An experiment so far.

    kind : arms or interleaved; the visitors of both arms are then the same, and the observed shares are those
        of the teams that were first.
    outcome : invalid, harmful, too_early, undecided, treatment, control or no_difference; reason : in a
        sentence; winner : the arm to keep.
    mismatch : whether the arms' users differ from the shares by more than chance allows (sample ratio
        mismatch); mismatch_p_value : valid at every look.
    differences : the metric that decides first.
    """

    name: str
    kind: str = "arms"
    control: str
    metric: str
    unit: str
    state: str
    since: datetime
    until: datetime
    days: float
    planned_days: float
    outcome: str
    winner: str | None
    reason: str
    arms: list[MeasuredArm]
    in_both: int
    mismatch: bool
    mismatch_p_value: float | None
    differences: list[MeasuredDifference]


class Measurement(BaseModel):
    """The file. shown : whether impressions are those that pages reported, or all that was answered."""

    measured_at: datetime
    seconds: float
    window_days: float
    shown: Literal["reported", "answered"]
    spans: list[MeasuredSpan]
    tests: list[MeasuredTest]

    def span(self, days: int) -> MeasuredSpan | None:
        """The span of that many days."""
        return next((each for each in self.spans if each.days == days), None)

    def test(self, name: str) -> MeasuredTest | None:
        """The A/B test of that name."""
        return next((each for each in self.tests if each.name == name), None)


def measurement_path() -> Path:
    """Where the file lies; it may be missing."""
    return get_settings().var / "reports" / "measurement.json"


def write_measurement(measurement: Measurement) -> Path:
    """Put the file in its place, whole."""
    path = measurement_path()
    path.parent.mkdir(parents=True, exist_ok=True)
    staging = path.with_suffix(f".{os.getpid()}")
    staging.write_text(measurement.model_dump_json(), encoding="utf-8")
    os.replace(staging, path)
    return path


def read_measurement() -> Measurement | None:
    """The file; None before the first measurement, and for a file that another version wrote."""
    path = measurement_path()
    try:
        return Measurement.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        return None
    except (OSError, ValidationError) as error:
        _log.warning("the measurement cannot be read; `recsys train measure` writes it again", file=str(path),
                     error=type(error).__name__)  # fmt: skip
        return None
