"""Our settings on Spark's executors: the same as of the command that started the work."""

from __future__ import annotations

import os
from collections.abc import Mapping

from dotenv import dotenv_values

from recsys import log
from recsys.cache import client
from recsys.cache.client import redis_url
from recsys.database.addresses import database_url
from recsys.database.session import dispose_engines
from recsys.diagnosis.setting_names import PREFIX
from recsys.settings import Settings, get_settings

__all__ = ["apply_environment", "environment_for_executors"]


def environment_for_executors() -> dict[str, str]:
    """The variables from which an executor reads the settings of this process.

    It holds the passwords of PostgreSQL and Redis: it belongs into the function that is sent to executors,
    not into a property of Spark, which its pages show.
    """
    settings = get_settings()
    file = Settings.model_config.get("env_file")
    given = dict(dotenv_values(str(file))) if isinstance(file, str) else {}
    given |= os.environ
    variables = {
        name.upper(): value
        for name, value in given.items()
        if name.upper().startswith(PREFIX) and value is not None
    }
    variables |= {
        "RECSYS_DATABASE__URL": database_url(settings),
        "RECSYS_REDIS__URL": redis_url(settings),
        "RECSYS_VAR": str(settings.spark.executor_var or settings.var.resolve()),
    }
    return variables


def apply_environment(variables: Mapping[str, str]) -> None:
    """Give this process these settings, and no others; connections by former ones are closed."""
    own = {name: value for name, value in os.environ.items() if name.upper().startswith(PREFIX)}
    if own == dict(variables) and get_settings.cache_info().currsize:
        return
    for name in own:
        del os.environ[name]
    os.environ.update(variables)
    Settings.model_config["env_file"] = None
    client.close()
    dispose_engines()
    get_settings.cache_clear()
    log.configure(get_settings().log_level.upper())
