"""All settings, from the environment (`RECSYS_` prefix, `__` between levels) or a `.env` file."""

from __future__ import annotations

from functools import cached_property, lru_cache
from pathlib import Path
from typing import Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    SecretStr,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)
from pydantic_settings import BaseSettings, SettingsConfigDict, SettingsError

from recsys.diagnosis import setting_values
from recsys.diagnosis.setting_names import (
    DELIMITER,
    PREFIX,
    describe_faults,
    refuse_unknown_variables,
    variables_without_json,
)
from recsys.errors import Invalid
from recsys.settings.accounts import SHORTEST_SECRET, ApiSettings, NotificationSettings, UserSettings
from recsys.settings.artifacts import ArtifactSettings
from recsys.settings.exploration import ExplorationSettings
from recsys.settings.jobs import JobSettings
from recsys.settings.mail_blocks import MailBlockSettings
from recsys.settings.privacy import PrivacySettings
from recsys.settings.serving import ServingSettings
from recsys.settings.shop import ShopSettings
from recsys.settings.spark import SparkSettings
from recsys.settings.tracing import TracingSettings
from recsys.settings.training import TrainingSettings

__all__ = ["SHORTEST_SECRET", "Settings", "get_settings"]


def _default_var() -> Path:
    """`var/` beside the checkout when run from one, so that commands work from any folder."""
    checkout = Path(__file__).resolve().parents[2]
    return (checkout if (checkout / "pyproject.toml").is_file() else Path.cwd()) / "var"


class DatabaseSettings(BaseModel, extra="forbid"):
    """PostgreSQL; without a `url` the embedded server under `var/` is used.

    Attributes
    ----------
    url
        Such as postgresql://user:password@host:5432/database.
    direct_url
        The same database without PgBouncer, where `url` leads through PgBouncer in transaction mode; for
        locks, migrations, backups and whatever else needs a session. Unset: `url` is PostgreSQL itself.
    replica_url
        A replica that only reads, for what may be a moment old; unset: all is read from `url`.
    replica_lag_seconds
        A replica that is further behind is not read.
    analytics_url, notifications_url, recommendations_url
        A PostgreSQL of its own for the tables of `analytics_db`, `notifications_db` or `recommendations_db`,
        not through PgBouncer; unset: they lie beside all others.
    pool_size
        Connections that a process keeps to each server; under load it opens up to twice as many.
    """

    url: SecretStr | None = None
    direct_url: SecretStr | None = None
    replica_url: SecretStr | None = None
    replica_lag_seconds: float = Field(default=2.0, gt=0)
    analytics_url: SecretStr | None = None
    notifications_url: SecretStr | None = None
    recommendations_url: SecretStr | None = None
    pool_size: int = Field(default=10, ge=1)

    @field_validator("url")
    @classmethod
    def _names_a_server(cls, url: SecretStr | None) -> SecretStr | None:
        if url is not None:
            setting_values.database_address(url.get_secret_value())
        return url

    @field_validator("direct_url", "replica_url", "analytics_url", "notifications_url", "recommendations_url")
    @classmethod
    def _names_another_server(cls, url: SecretStr | None) -> SecretStr | None:
        if url is not None:
            setting_values.further_database_address(url.get_secret_value())
        return url

    @model_validator(mode="after")
    def _both_lead_to_one_database(self) -> DatabaseSettings:
        if self.direct_url is not None and self.url is None:
            raise ValueError("direct_url goes with a url that leads through PgBouncer")
        return self


class RedisSettings(BaseModel, extra="forbid"):
    """Redis or Valkey; without a `url` the embedded server under `var/` is used.

    Attributes
    ----------
    url
        Such as redis://:password@host:6379/0; of a cluster redis+cluster://:password@host:6379,host:6379 with
        some of its nodes.
    """

    url: SecretStr | None = None

    @field_validator("url")
    @classmethod
    def _names_a_server(cls, url: SecretStr | None) -> SecretStr | None:
        if url is not None:
            setting_values.redis_address(url.get_secret_value())
        return url

    @cached_property
    def is_cluster(self) -> bool:
        """Whether keys lie on several servers."""
        return self.url is not None and self.url.get_secret_value().partition("://")[0].endswith("+cluster")


class FeatureSettings(BaseModel, extra="forbid"):
    """How much each interaction says about a taste, how fast it fades, and what is too much to be one.

    Attributes
    ----------
    weights
        Weight per interaction type of what models learn from, such as {"view": 1, "purchase": 5}.
    half_life_days
        After so many days an interaction counts half.
    target
        Weight per interaction type of what a recommendation is for, such as {"purchase": 1}; unset: chosen
        from the data (`features.target`).
    max_repeats_per_day
        A user's events of one type with one product on one day that count; 0 for all.
    max_events_per_day
        A user's events of one day that count; 0 for all. Bots have more.
    preference_prior
        So much behaviour (in summed weights) counts as much as the whole shop's taste in the affinities that
        are inferred; more of it makes them more careful.
    preference_words
        So many affinities of one kind are stored for a user, the strongest.
    """

    weights: dict[str, float] = Field(
        default={"view": 1.0, "like": 2.0, "add_to_cart": 3.0, "purchase": 5.0, "review": 4.0}
    )
    target: dict[str, float] | None = None
    half_life_days: float = Field(default=90.0, gt=0)
    max_repeats_per_day: int = Field(default=50, ge=0)
    max_events_per_day: int = Field(default=1000, ge=0)
    preference_prior: float = Field(default=10.0, ge=0)
    preference_words: int = Field(default=20, ge=1, le=1000)

    @field_validator("weights", "target")
    @classmethod
    def _are_weights(cls, weights: dict[str, float] | None, info: ValidationInfo) -> dict[str, float] | None:
        setting_values.interaction_weights(weights or {}, signed=info.field_name == "weights")
        return weights


class PaymentSettings(BaseModel, extra="forbid"):
    """Which gateway moves the money (`sandbox` moves none), and what its webhooks are signed with.

    Attributes
    ----------
    gateway
        Name of the gateway.
    webhook_secret
        What the gateway signs its webhooks with.
    key_days
        A request that is sent again under its Idempotency-Key is known so long.
    """

    gateway: str = Field(default="sandbox", min_length=1, max_length=50)
    webhook_secret: SecretStr | None = None
    key_days: float = Field(default=90.0, ge=1)


class AnalyticsSettings(BaseModel, extra="forbid"):
    """What is kept of visitors, and where a day and a visit begin and end.

    Attributes
    ----------
    ip
        Whole addresses, cut to their /24 (IPv6: /48) network, or none at all.
    time_zone
        Of the days of all daily figures, such as Europe/Berlin.
    visit_minutes
        Who did nothing for longer begins another visit.
    late_days
        What happened longer ago is no longer collected.
    country_header, city_header
        Headers in which a proxy tells where a visitor is, such as CF-IPCountry; set them only where every
        request passes that proxy.
    """

    ip: Literal["full", "truncated", "none"] = "truncated"
    time_zone: str = "UTC"
    visit_minutes: float = Field(default=30.0, gt=0, le=1440)
    late_days: float = Field(default=30.0, gt=0)
    country_header: str | None = None
    city_header: str | None = None

    @field_validator("time_zone")
    @classmethod
    def _is_known(cls, name: str) -> str:
        return setting_values.time_zone(name)


class IntakeSettings(BaseModel, extra="forbid"):
    """What waits for PostgreSQL: answered lists, and interactions and feedback while it is away.

    Attributes
    ----------
    exposure_days
        Answered lists are kept so long.
    stream_entries
        So many batches of answered lists (up to 500 lists each) wait in Redis at most; more wait on disk.
    spool_mib
        So much waits on disk at most, in each process; what is more is refused, or not logged.
    patience_seconds
        So long feedback waits for its answered list; then there is no such answer.
    deadline_ms
        What is posted waits so long for PostgreSQL; then it is queued, and the answer is a 202.
    """

    exposure_days: float = Field(default=90.0, gt=0)
    stream_entries: int = Field(default=2000, ge=1)
    spool_mib: float = Field(default=512.0, gt=0)
    patience_seconds: float = Field(default=60.0, gt=0)
    deadline_ms: int = Field(default=500, ge=20, le=60_000)


class EventSettings(BaseModel, extra="forbid"):
    """How events travel from PostgreSQL to Redis and to those who handle them.

    Attributes
    ----------
    inside_api
        `recsys serve api` also relays and consumes; unset: in development only. Never with workers.
    attempts
        So often an event is tried before it becomes a dead letter.
    retry_seconds
        The wait before the second attempt; it doubles from there, up to a minute.
    takeover_seconds
        What another consumer took and has not finished for so long is taken over.
    poll_seconds
        The relay looks for new events at least so often.
    batch
        Events that the relay sends at once.
    stream_hours
        Handled events stay in their stream so long; what a group has not read always stays.
    outbox_days
        Sent events stay in the outbox so long, to be sent again after Redis lost them.
    inbox_days
        What was handled is known so long; more than outbox_days, or a repeat would count twice.
    guest_login_days
        It is known for so long which guest became which user, for events that arrive later.
    idle_consumer_hours
        The name of a consumer that was silent for so long is forgotten.
    """

    inside_api: bool | None = None
    attempts: int = Field(default=5, ge=1, le=100)
    retry_seconds: float = Field(default=1.0, gt=0, le=60)
    takeover_seconds: float = Field(default=60.0, gt=0)
    poll_seconds: float = Field(default=1.0, gt=0, le=4)
    batch: int = Field(default=500, ge=1, le=10_000)
    stream_hours: float = Field(default=24.0, ge=0)
    outbox_days: float = Field(default=7.0, gt=0)
    inbox_days: float = Field(default=30.0, gt=0)
    guest_login_days: float = Field(default=90.0, gt=0)
    idle_consumer_hours: float = Field(default=1.0, gt=0)

    @model_validator(mode="after")
    def _remembers_longer_than_it_sends(self) -> EventSettings:
        if self.inbox_days <= self.outbox_days:
            raise ValueError("inbox_days must be more than outbox_days")
        return self


class SearchSettings(BaseModel):
    """What searches: PostgreSQL, or Elasticsearch or OpenSearch at `url`.

    Attributes
    ----------
    url
        Of Elasticsearch or OpenSearch; unset: PostgreSQL searches.
    engine
        Which of them answers at `url`.
    user, password
        How to log in, where `api_key` is unset.
    api_key
        How to log in to Elasticsearch, in the place of user and password.
    plain_http
        The log-in may be sent unencrypted, by an http:// address of another machine.
    ca_certs
        File of trusted certificates; unset: the system's.
    verify_certs
        Whether the server's certificate is checked.
    prefix
        The indices are called prefix_products and prefix_users (aliases).
    language
        One with a Snowball stemmer, such as german, or simple for none; reindex after a change.
    popularity_weight, personal_weight
        How much popularity and a known user's taste add to what the text is worth: 0.5 adds up to half of it;
        `recsys train search-quality` measures them.
    window
        So many of the best matches are put into a known user's order.
    cache_seconds
        Answers are kept so long when nothing changes.
    timeout_seconds
        A search that takes longer counts as down.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    url: str | None = None
    engine: Literal["elasticsearch", "opensearch"] = "elasticsearch"
    plain_http: bool = False
    api_key: SecretStr | None = None
    user: str | None = None
    password: SecretStr | None = None
    ca_certs: Path | None = None
    verify_certs: bool = True
    prefix: str = Field(default="recsys", pattern="^[a-z][a-z0-9-]{0,40}$")
    language: str = Field(default="english", pattern="^[a-z_]{1,40}$")
    popularity_weight: float = Field(default=0.5, ge=0, le=10)
    personal_weight: float = Field(default=1.0, ge=0, le=10)
    window: int = Field(default=100, ge=10, le=500)
    cache_seconds: int = Field(default=60, ge=1, le=3600)
    timeout_seconds: float = Field(default=2.0, gt=0, le=60)

    @field_validator("url")
    @classmethod
    def _is_address(cls, url: str | None) -> str | None:
        return None if url is None else setting_values.web_address(url)

    @field_validator("ca_certs")
    @classmethod
    def _holds_certificates(cls, path: Path | None) -> Path | None:
        return None if path is None else setting_values.certificates(path)

    @field_validator("language")
    @classmethod
    def _has_a_stemmer(cls, language: str) -> str:
        if language not in ("english", "simple"):
            from Stemmer import algorithms

            if language not in algorithms():
                raise ValueError(f"one of simple, {', '.join(algorithms())}")
        return language

    @model_validator(mode="after")
    def _one_safe_way_to_log_in(self) -> SearchSettings:
        credentials = (self.api_key, self.user, self.password)
        setting_values.search_log_in(self.url, self.engine, credentials, plain_http=self.plain_http)
        return self


class Settings(BaseSettings):
    """The whole configuration of one process.

    Attributes
    ----------
    environment
        Production refuses embedded servers and unsafe defaults.
    var
        Folder of everything that is made at run time; unset: var/ beside the checkout.
    log_level
        Such as DEBUG, INFO or WARNING.
    batch_niceness
        By how much long commands (scoring, training, reindexing) lower their priority; 0: not at all.
    """

    model_config = SettingsConfigDict(
        env_prefix=PREFIX, env_nested_delimiter=DELIMITER, env_file=".env", extra="ignore", frozen=True,
        # the text of an error would show the beginning and the end of a value that may be a password
        hide_input_in_errors=True,
    )  # fmt: skip

    environment: Literal["development", "test", "production"] = "development"
    var: Path = Field(default_factory=_default_var)
    log_level: str = "INFO"
    batch_niceness: int = Field(default=10, ge=0, le=19)
    database: DatabaseSettings = DatabaseSettings()
    redis: RedisSettings = RedisSettings()
    artifacts: ArtifactSettings = ArtifactSettings()
    api: ApiSettings = ApiSettings()
    users: UserSettings = UserSettings()
    features: FeatureSettings = FeatureSettings()
    serving: ServingSettings = ServingSettings()
    exploration: ExplorationSettings = ExplorationSettings()
    shop: ShopSettings = ShopSettings()
    events: EventSettings = EventSettings()
    intake: IntakeSettings = IntakeSettings()
    payments: PaymentSettings = PaymentSettings()
    notifications: NotificationSettings = NotificationSettings()
    mail_blocks: MailBlockSettings = MailBlockSettings()
    analytics: AnalyticsSettings = AnalyticsSettings()
    search: SearchSettings = SearchSettings()
    jobs: JobSettings = JobSettings()
    privacy: PrivacySettings = PrivacySettings()
    spark: SparkSettings = SparkSettings()
    tracing: TracingSettings = TracingSettings()
    training: TrainingSettings = TrainingSettings()

    @field_validator("var")
    @classmethod
    def _can_be_made(cls, path: Path) -> Path:
        return setting_values.folder(path)

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
    """The settings of this process, read once (tests: `get_settings.cache_clear()`).

    Raises
    ------
    Invalid
        A value is wrong, which the message does not repeat; or no setting has a variable with our prefix, and
        the message names the nearest one.
    """
    refuse_unknown_variables(Settings)
    try:
        return Settings()
    # not chained: a trace would print what the value was parsed from
    except SettingsError:
        names = ", ".join(variables_without_json(Settings)) or "settings"
        raise Invalid(f"{names}: expected JSON, as in .env.example") from None
    except ValidationError as error:
        raise Invalid(describe_faults(error)) from None
