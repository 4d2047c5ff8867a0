"""Settings of jobs: when each starts by itself."""

from __future__ import annotations

from pydantic import BaseModel, Field, field_validator

from recsys.jobs.catalogue import JOB_NAMES

__all__ = ["JobSettings"]


class JobSettings(BaseModel, extra="forbid"):
    """When commands start by themselves; the relay (or `recsys serve api` in development) starts them.

    Attributes
    ----------
    schedules
        A cron expression by job, in analytics.time_zone, such as {"train": "0 3 * * *"}; {} for none.
    grace_minutes
        A start that is later than this is missed: it is noted, and the next one is awaited.
    parallel
        So many jobs run at the same time.
    history_days
        Ended runs are kept so long.
    """

    schedules: dict[str, str] = Field(
        default={
            "measure": "*/15 * * * *",
            "rollup": "5 * * * *",
            "score": "35 * * * *",
            "segments": "50 5 * * *",
            "train": "0 3 * * *",
        }
    )
    grace_minutes: float = Field(default=30.0, gt=0, le=10_080)
    parallel: int = Field(default=1, ge=1, le=16)
    history_days: float = Field(default=90.0, ge=1)

    @field_validator("schedules")
    @classmethod
    def _are_schedules(cls, schedules: dict[str, str]) -> dict[str, str]:
        from cronsim import CronSim, CronSimError

        from recsys import clock

        for name, expression in schedules.items():
            if name not in JOB_NAMES:
                raise ValueError(f"names one of the jobs {', '.join(JOB_NAMES)}")
            try:
                next(CronSim(expression, clock.now()))
            except (CronSimError, StopIteration):
                raise ValueError(
                    f"the schedule of {name} is a cron expression of five fields that comes to pass, "
                    "such as 0 3 * * * for each night at three"
                ) from None
        return schedules
