"""Settings of the store of artifacts."""

from __future__ import annotations

from pydantic import BaseModel, Field, field_validator

from recsys.diagnosis import setting_values

__all__ = ["ArtifactSettings"]


class ArtifactSettings(BaseModel, extra="forbid"):
    """Where models, snapshots and reports are, so that several hosts read the same ones.

    Attributes
    ----------
    address
        Such as s3://bucket/prefix (`pip install recsys[s3]`), gs://bucket/prefix (`recsys[gs]`) or
        file:///folder of a shared disk; unset: var alone, which no other host reads. Credentials come from
        the environment of the client, such as AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY.
    cache_gib
        Copies in var take so much at most; those that were not read for longest go first.
    timeout_seconds
        A call of the store that takes longer counts as failed; content has a second more for each MiB.
    """

    address: str | None = None
    cache_gib: float = Field(default=20.0, gt=0)
    timeout_seconds: float = Field(default=5.0, gt=0, le=300)

    @field_validator("address")
    @classmethod
    def _names_a_store(cls, address: str | None) -> str | None:
        return None if address is None else setting_values.store_address(address)
