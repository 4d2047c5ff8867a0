"""Settings of traces."""

from __future__ import annotations

from urllib.parse import unquote

from pydantic import BaseModel, Field, SecretStr, field_validator

from recsys.diagnosis import setting_values

__all__ = ["TracingSettings"]


class TracingSettings(BaseModel, extra="forbid"):
    """Traces by OpenTelemetry; off without an `endpoint`. They need `pip install recsys[otel]`.

    Attributes
    ----------
    endpoint
        Of a collector that takes OTLP over HTTP, such as http://127.0.0.1:4318/v1/traces.
    headers
        Sent to it with each batch, such as Authorization=Bearer%20abc,X-Organisation=7; values are
        percent-encoded.
    share
        Of the traces that begin here, so many are recorded; a `traceparent` decides for its own trace.
    """

    endpoint: str | None = None
    headers: SecretStr | None = None
    share: float = Field(default=1.0, ge=0, le=1)

    @field_validator("endpoint")
    @classmethod
    def _is_address(cls, endpoint: str | None) -> str | None:
        return None if endpoint is None else setting_values.web_address(endpoint)

    @field_validator("headers")
    @classmethod
    def _are_pairs(cls, headers: SecretStr | None) -> SecretStr | None:
        pairs = [] if headers is None else headers.get_secret_value().split(",")
        if not all(name.strip() and value for name, _, value in (pair.partition("=") for pair in pairs)):
            raise ValueError("expected name=value pairs, separated by commas")
        return headers

    def parsed_headers(self) -> dict[str, str]:
        """The headers by name."""
        if self.headers is None:
            return {}
        pairs = (pair.partition("=") for pair in self.headers.get_secret_value().split(","))
        return {name.strip().lower(): unquote(value) for name, _, value in pairs}
