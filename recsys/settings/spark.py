"""Settings of Apache Spark, the engine of several machines."""

from __future__ import annotations

from pathlib import Path

from pydantic import BaseModel, Field, field_validator

__all__ = ["SparkSettings"]

MASTERS = ("local", "local-cluster[", "spark://", "yarn", "k8s://", "sc://")


class SparkSettings(BaseModel, extra="forbid"):
    """Apache Spark, where a command is given `--engine spark` (`docs/operations/spark.md`).

    Attributes
    ----------
    master
        Its address, unless --master names one: local[2], spark://host:7077, yarn, k8s://https://host:443, or
        sc://host:15002 of Spark Connect.
    conf
        Further properties of Spark, such as {"spark.executor.memory": "4g"}.
    users_per_task
        So many users are scored by one task; a task of an executor that is lost is run again.
    executor_var
        Where executors find the folder `var`, or, with RECSYS_ARTIFACTS__ADDRESS, keep their copies; unset:
        at the same path as here.
    """

    master: str = "local[*]"
    conf: dict[str, str] = {}
    users_per_task: int = Field(default=8192, ge=1, le=10_000_000)
    executor_var: Path | None = None

    @field_validator("master")
    @classmethod
    def _is_an_address(cls, master: str) -> str:
        return master_address(master)

    @field_validator("executor_var")
    @classmethod
    def _is_whole(cls, path: Path | None) -> Path | None:
        if path is not None and not path.is_absolute():
            raise ValueError("expected the path of a folder on executors, from / on; unset: that of var here")
        return path


def master_address(master: str) -> str:
    """The address itself. Raises ValueError, saying which there are."""
    if master.startswith(MASTERS):
        return master
    raise ValueError(
        "an address of Spark is local[N], spark://host:port, yarn, k8s://https://host:port or sc://host:port"
    )
