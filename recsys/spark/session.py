"""A session of Apache Spark, for the time of a command."""

from __future__ import annotations

import logging
import os
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from recsys.errors import Invalid, RecsysError, Unavailable
from recsys.settings import get_settings
from recsys.settings.spark import master_address
from recsys.spark.requirements import check_requirements

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

__all__ = ["errors_of_spark", "open_spark"]

_CONF = {
    "spark.sql.session.timeZone": "UTC",
    "spark.ui.showConsoleProgress": "false",
    "spark.log.level": "ERROR",
    # a task that fails is run again, also on one machine (local[N, failures])
    "spark.task.maxFailures": "4",
    # what is collected is a dataset, which this process has to hold in any case
    "spark.driver.maxResultSize": "0",
}
_ON_ONE_MACHINE = {
    "spark.ui.enabled": "false",
    "spark.driver.host": "127.0.0.1",
    # 200, Spark's default for clusters, would mostly start empty tasks
    "spark.sql.shuffle.partitions": "16",
}


@contextmanager
def open_spark(master: str | None, name: str) -> Iterator[SparkSession]:
    """A session, ended with the block; where this process has a session already, that is used, and stays.

    Parameters
    ----------
    master
        Address of Spark; None: the setting spark.master.
    name
        Of the application, as Spark shows it.

    Raises
    ------
    Invalid
        The address is wrong, or pyspark or Java is missing.
    Unavailable
        The address does not answer.
    """
    try:
        address = master_address(get_settings().spark.master if master is None else master)
    except ValueError as error:
        raise Invalid(f"--master {master!r}: {error}") from error
    check_requirements(address)
    from pyspark.sql import SparkSession

    # it is about data frames of pandas, which we do not use
    warnings.filterwarnings("ignore", "PySpark does not yet fully support pandas", FutureWarning)
    running = SparkSession.getActiveSession()
    if running is not None:
        yield running
        return
    session = _connect(address, name)
    try:
        yield session
    finally:
        session.stop()


def _connect(address: str, name: str) -> SparkSession:
    from pyspark.sql import SparkSession

    # executors with the Python of this environment, where nobody says otherwise
    os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
    if address.startswith("local"):
        os.environ.setdefault("SPARK_LOCAL_IP", "127.0.0.1")
    # it tells each connection that it closes
    logging.getLogger("py4j").setLevel(logging.WARNING)
    builder = SparkSession.builder.appName(f"recsys {name}")
    if address.startswith("sc://"):
        builder = builder.remote(address)
    else:
        defaults = _CONF | (_ON_ONE_MACHINE if address.startswith("local") else {})
        for key, value in (defaults | get_settings().spark.conf).items():
            builder = builder.config(key, value)
        builder = builder.master(_with_failures(address))
    with errors_of_spark(f"cannot be reached at {address}"):
        return builder.getOrCreate()


@contextmanager
def errors_of_spark(what: str) -> Iterator[None]:
    """Turn Spark's errors inside the block, of Java and of tasks, into Unavailable: "Spark `what`: why"."""
    from pyspark.errors import PySparkException

    try:
        yield
    except RecsysError:
        raise
    except Exception as error:
        # errors of py4j and gRPC, without importing either
        if isinstance(error, PySparkException | OSError) or _is_of_transport(error):
            raise Unavailable(f"Spark {what}: {_reason(error)}") from error
        raise


def _is_of_transport(error: Exception) -> bool:
    return type(error).__module__.startswith(("py4j", "grpc"))


def _reason(error: Exception) -> str:
    """Our own error that Spark quotes, else the first line of its last cause."""
    text = str(error)
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    if ours := [line for line in lines if line.startswith("recsys.errors.")]:
        return ours[0].partition(": ")[2]
    causes = [
        line.partition(": ")[2] for line in lines if line.startswith(("org.apache.", "Caused by: org."))
    ]
    first = next((line for line in lines if not line.startswith("An error occurred")), type(error).__name__)
    return (causes or [first])[-1]


def _with_failures(address: str) -> str:
    """Spark runs failed tasks of local[N] again only where the address says how often."""
    return address.replace("]", ",4]") if address.startswith("local[") and "," not in address else address
