"""The payment gateway: the sandbox, or a gateway that a package registers as an entry point."""

from __future__ import annotations

from recsys.domains.payments.gateway import Gateway
from recsys.domains.payments.sandbox import Sandbox
from recsys.errors import Unavailable
from recsys.processes.installed import installed
from recsys.settings import Settings, get_settings

__all__ = ["GROUP", "get_gateway"]

GROUP = "recsys.gateways"
"""Entry-point group of gateways: each a callable that takes the Settings and gives a Gateway."""

_DEVELOPMENT_SECRET = "sandbox-webhooks"  # signs webhooks of play money, and is refused in production


def get_gateway(name: str | None = None, settings: Settings | None = None) -> Gateway:
    """The gateway of that name, the settings' own by default. Raises Unavailable naming what is missing."""
    settings = settings or get_settings()
    wanted = name or settings.payments.gateway
    if wanted == Sandbox.name:
        return Sandbox(_sandbox_secret(settings))
    for entry in installed(GROUP):
        if entry.name == wanted:
            gateway: Gateway = entry.load()(settings)
            return gateway
    raise Unavailable(
        f"No installed package brings the payment gateway {wanted!r}: expected an entry point of that name "
        f"in the group {GROUP}. Install it, or set RECSYS_PAYMENTS__GATEWAY."
    )


def _sandbox_secret(settings: Settings) -> str:
    if settings.payments.webhook_secret is not None:
        return settings.payments.webhook_secret.get_secret_value()
    if settings.environment == "production":
        raise Unavailable(
            "The sandbox moves no money. In production set RECSYS_PAYMENTS__GATEWAY to a real gateway, "
            "or RECSYS_PAYMENTS__WEBHOOK_SECRET to try the sandbox out."
        )
    return _DEVELOPMENT_SECRET
