"""What was measured of displayed recommendations and of A/B tests: one row that is written and read whole.

`recsys train measure` writes it, pages of all hosts read it: counting takes too long for a page, and
`serving` imports nothing of `training`.
"""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Literal

from pydantic import BaseModel, ValidationError
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from recsys.domains.recommendations.ab_tests.tables import StoredMeasurement
from recsys.log import get_logger

__all__ = [
    "MeasuredArm",
    "MeasuredDifference",
    "MeasuredGroup",
    "MeasuredPeriod",
    "MeasuredRate",
    "MeasuredSpan",
    "MeasuredTest",
    "Measurement",
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

    Attributes
    ----------
    impressions
        Products displayed.
    users
        To so many different ones.
    clicked, bought
        Share of impressions; None without impressions.
    user_shares
        Share of the users who clicked, carted or bought at least one, by that word.
    revenue_low, revenue_high
        95% interval of the revenue; None in measurements of older versions.
    revenue_per_1000
        Of a thousand impressions.
    """

    name: str
    impressions: int
    users: int
    clicked: MeasuredRate | None
    bought: MeasuredRate | None
    user_shares: dict[str, MeasuredRate] = {}
    revenue: Decimal
    revenue_low: float | None = None
    revenue_high: float | None = None
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

    `metric` is its name, such as `bought`. Of interleaved lists, `control` and `treatment` are the mean
    credit of the arm, and `relative` is their difference as a part of both. `variance_removed` is the share
    of the variance that the users' past explained.
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
    """One arm of an experiment so far.

    `variant` says in words what it changes. The outcome of `counted` users is final, that of `waiting` users
    is not. `observed_share` is its share of all users, null without any; `fallback_share` is the share of its
    lists that another model made.
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

    `kind` is `arms` or `interleaved`; the visitors of both arms are the same where interleaved, and the
    observed shares are those of the teams that were first. `outcome` is `invalid`, `harmful`, `too_early`,
    `undecided`, `treatment`, `control` or `no_difference`; `reason` says it in a sentence, and `winner` is
    the arm to keep. `mismatch` says whether the arms' users differ from the shares by more than chance allows
    (sample ratio mismatch); `mismatch_p_value` is valid at every look. The first of `differences` are those
    of the metric that decides.
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
    """The figures.

    Attributes
    ----------
    shown
        Whether impressions are those that pages reported, or all that was answered.
    """

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


def write_measurement(session: Session, measurement: Measurement) -> None:
    """Store the figures in the place of older ones; those of a later moment stay."""
    values = {"measured_at": measurement.measured_at, "content": measurement.model_dump(mode="json")}
    statement = insert(StoredMeasurement).values(id=1, **values)
    session.execute(
        statement.on_conflict_do_update(
            index_elements=["id"],
            set_=values,
            where=StoredMeasurement.measured_at <= statement.excluded.measured_at,
        )
    )


def read_measurement(session: Session) -> Measurement | None:
    """The figures; None before the first measurement, and for figures that another version wrote."""
    row = session.get(StoredMeasurement, 1, populate_existing=True)
    if row is None:
        return None
    try:
        return Measurement.model_validate(row.content)
    except ValidationError as error:
        _log.warning(
            "the measurement cannot be read; `recsys train measure` writes it again",
            measured_at=row.measured_at.isoformat(),
            faults=error.error_count(),
        )
        return None
