"""One session of Apache Spark for all tests of a pytest process."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from recsys.errors import Invalid
from recsys.spark.requirements import check_requirements
from recsys.spark.session import open_spark

__all__ = ["spark_session"]


@pytest.fixture(scope="session")
def spark_session() -> Iterator[Any]:
    """A session with two tasks at a time, which commands of this process use, too."""
    try:
        check_requirements("local[2]")
    except Invalid as error:
        pytest.skip(error.message)
    with open_spark("local[2]", "tests") as session:
        yield session
