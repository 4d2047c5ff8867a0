"""What the input of every domain is made of: text that can be stored, ids that exist, nothing unknown."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

__all__ = ["Id", "Input", "Text", "storable"]


def storable(text: str) -> str:
    """The text, if PostgreSQL can keep it. Raises ValueError for NUL characters and lone surrogates."""
    if "\x00" in text or any(0xD800 <= ord(letter) <= 0xDFFF for letter in text):
        raise ValueError("text without NUL characters and lone surrogates")
    return text


Id = Annotated[int, Field(strict=True, ge=1, le=2**31 - 1)]
"""The number of a row; PostgreSQL's integer holds no larger one."""
Text = Annotated[str, AfterValidator(storable)]


class Input(BaseModel):
    """Base of what a body may hold: a field that nobody knows is refused."""

    model_config = ConfigDict(extra="forbid")
