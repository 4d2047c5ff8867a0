"""Settings of the blocks of recommendations in mails."""

from __future__ import annotations

from pydantic import BaseModel, Field, field_validator

from recsys.diagnosis import setting_values

__all__ = ["MailBlockSettings"]


class MailBlockSettings(BaseModel, extra="forbid"):
    """Blocks of recommendations in mails, which are filled when a mail is opened.

    Attributes
    ----------
    base_url
        Of this API as mail clients reach it, such as https://recsys.example.com.
    valid_days
        A block shows what suits the person for so long after its address was made, then what is popular.
    requests_per_minute
        To one block; its pictures and links count one by one.
    """

    base_url: str | None = None
    valid_days: float = Field(default=30.0, gt=0, le=366)
    requests_per_minute: int = Field(default=120, ge=1, le=100_000)

    @field_validator("base_url")
    @classmethod
    def _can_be_opened(cls, url: str | None) -> str | None:
        return url if url is None else setting_values.public_address(url)
