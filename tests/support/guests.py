"""Guest sessions as the server issues them, with readable ids."""

from __future__ import annotations

from recsys.web.access.guest_sessions import with_signature

__all__ = ["guest"]


def guest(name: str) -> dict[str, str]:
    """The header of a guest whose stored id is `name`."""
    return {"X-Session-Id": with_signature(name)}
