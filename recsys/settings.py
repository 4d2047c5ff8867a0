"""All settings, from the environment (`RECSYS_` prefix, `__` between levels) or a `.env` file."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, Field, SecretStr, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

__all__ = ["Settings", "get_settings"]


def _default_var() -> Path:
    """`var/` beside the checkout when run from one, so that commands work from any folder."""
    checkout = Path(__file__).resolve().parent.parent
    return (checkout if (checkout / "pyproject.toml").is_file() else Path.cwd()) / "var"


class DatabaseSettings(BaseModel):
    """PostgreSQL; without a `url` the embedded server under `var/` is used."""

    url: SecretStr | None = None
    pool_size: int = Field(default=10, ge=1)


class RedisSettings(BaseModel):
    """Redis or Valkey; without a `url` the embedded server under `var/` is used."""

    url: SecretStr | None = None


class ApiSettings(BaseModel):
    """Where `recsys serve api` listens; a taken port moves on to the next free one."""

    host: str = "127.0.0.1"
    port: int = Field(default=8000, ge=1, le=65535)


class FeatureSettings(BaseModel):
    """How much each interaction says about a taste, how fast it fades, and what is too much to be one.

    max_repeats_per_day : a user's events of one type with one product on one day that count; 0 for all.
    max_events_per_day : a user's events of one day that count; 0 for all. Bots have more.
    preference_prior : so much behaviour (in summed weights) counts as much as the whole shop's taste in the
        affinities that are inferred; more of it makes them more careful.
    preference_words : so many affinities of one kind are stored for a user, the strongest.
    """

    weights: dict[str, float] = Field(
        default={"view": 1.0, "like": 2.0, "add_to_cart": 3.0, "purchase": 5.0, "review": 4.0}
    )
    half_life_days: float = Field(default=90.0, gt=0)
    max_repeats_per_day: int = Field(default=50, ge=0)
    max_events_per_day: int = Field(default=1000, ge=0)
    preference_prior: float = Field(default=10.0, ge=0)
    preference_words: int = Field(default=20, ge=1, le=1000)


class ServingSettings(BaseModel):
    """What is stored for each user and what may appear again."""

    stored_per_user: int = Field(default=100, ge=40, le=1000)
    stored_new_per_user: int = Field(default=40, ge=20, le=500)
    expires_after_hours: float = Field(default=24.0 * 7, gt=0)
    repeat_purchases: bool = True
    default_limit: int = Field(default=20, ge=1, le=100)


class Settings(BaseSettings):
    """The whole configuration of one process."""

    model_config = SettingsConfigDict(
        env_prefix="RECSYS_", env_nested_delimiter="__", env_file=".env", extra="ignore", frozen=True
    )

    environment: Literal["development", "test", "production"] = "development"
    var: Path = Field(default_factory=_default_var)
    log_level: str = "INFO"
    database: DatabaseSettings = DatabaseSettings()
    redis: RedisSettings = RedisSettings()
    api: ApiSettings = ApiSettings()
    features: FeatureSettings = FeatureSettings()
    serving: ServingSettings = ServingSettings()

    @model_validator(mode="after")
    def _production_brings_its_own_servers(self) -> Settings:
        if self.environment == "production" and (self.database.url is None or self.redis.url is None):
            raise ValueError(
                "production needs RECSYS_DATABASE__URL and RECSYS_REDIS__URL; "
                "the embedded servers are for development and tests"
            )
        return self


@lru_cache(maxsize=1)
def get_settings() -> Settings:
    """The settings of this process, read once (tests: `get_settings.cache_clear()`)."""
    return Settings()
