"""The options --engine and --master of commands that can run on Apache Spark."""

from __future__ import annotations

from contextlib import AbstractContextManager
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from recsys.errors import Invalid

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

__all__ = ["Engine", "EngineOption", "MasterOption", "chosen_session"]


class Engine(StrEnum):
    """Where a command computes."""

    LOCAL = "local"
    SPARK = "spark"


EngineOption = Annotated[
    Engine,
    typer.Option("--engine", help="Where it computes: on this machine, or on Apache Spark (recsys[spark])."),
]
MasterOption = Annotated[
    str | None,
    typer.Option(
        "--master",
        metavar="ADDRESS",
        help="With --engine spark: local[N], spark://…, yarn, k8s://… or sc://…. "
        "Default: the setting spark.master.",
    ),
]


def chosen_session(
    engine: Engine, master: str | None, name: str
) -> AbstractContextManager[SparkSession] | None:
    """A session of Spark for the command `name`, which is not opened yet; None for this machine.

    Parameters
    ----------
    engine
        Where the command computes.
    master
        Address of Spark; None: the setting spark.master.
    name
        Of the application, as Spark shows it.

    Raises
    ------
    Invalid
        A master is named without the engine, or what Spark needs is missing.
    """
    if engine is Engine.LOCAL:
        if master is not None:
            raise Invalid(f"--master {master} is of Spark: give --engine spark, too")
        return None
    from recsys.spark.session import open_spark

    return open_spark(master, name)
