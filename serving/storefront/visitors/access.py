"""Where the shop front is served: its visitor chooses whose lists to see, so it is for demonstrations."""

from __future__ import annotations

from fastapi import Request

from recsys.errors import NotFound
from recsys.settings import get_settings
from recsys.web.access.authorization import keys_are_optional

__all__ = ["is_served", "serves_front"]


def serves_front(request: Request) -> bool:
    """Whether this request may see the shop front: by the setting, else in development on this machine."""
    setting = get_settings().shop.front
    return keys_are_optional(request.scope) if setting is None else setting


# asynchronous, so that it takes no thread
async def is_served(request: Request) -> None:
    """A dependency of all its routes. Raises NotFound where it is switched off."""
    if not serves_front(request):
        raise NotFound("The demo shop front is not served here; RECSYS_SHOP__FRONT=true switches it on.")
