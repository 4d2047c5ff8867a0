"""Drills of alerts: a rule is evaluated on real scrapes, and its runbook page is followed."""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import httpx
import yaml

from recsys import clock
from recsys.cli import run
from recsys.observation.shop_state import ShopState
from recsys.web.metrics import render
from tests.recsys.observation.promql import ScrapeHistory, Vector, evaluate
from tests.recsys.observation.scrapes import read_scrape
from tests.support.servers import ROOT
from tests.support.shop import Shop

__all__ = ["DRILLS", "RULES", "Drill", "RegisteredDrill", "drill_of"]

_FILE = ROOT / "deploy" / "prometheus" / "rules" / "recsys.yml"
RULES: Mapping[str, Mapping[str, Any]] = {
    rule["alert"]: rule for group in yaml.safe_load(_FILE.read_text())["groups"] for rule in group["rules"]
}
"""Every alert rule by its name."""


@dataclass
class Drill:
    """One alert in one shop."""

    alert: str
    shop: Shop
    history: ScrapeHistory = field(default_factory=ScrapeHistory)

    def scrape(self, at: float | None = None, *, client: httpx.Client | None = None) -> float:
        """Scrape this process, or the API of `client`, and return the time of the scrape."""
        moment = clock.now().timestamp() if at is None else at
        if client is None:
            self.history.add(moment, read_scrape(render(ShopState(fresh_seconds=0)).decode()))
            return moment
        try:
            answer = client.get("/metrics")
        except httpx.TransportError:
            self.history.add(moment, None)
        else:
            self.history.add(moment, read_scrape(answer.text))
        return moment

    def firing(self, at: float | None = None) -> Vector:
        """The series for which the rule fires: at a time, or at a scrape that is made now."""
        return evaluate(RULES[self.alert]["expr"], self.history, self.scrape() if at is None else at)

    @property
    def commands(self) -> list[str]:
        """The commands under "What to do" of the runbook page."""
        page = (ROOT / RULES[self.alert]["annotations"]["runbook"]).read_text(encoding="utf-8")
        block = re.search(r"^## What to do\n\n```bash\n(.+?)```", page, re.M | re.S)
        assert block is not None, f"the page of {self.alert} has no command"
        return block[1].strip().splitlines()

    def follow(self, *extra: str, **names: str) -> None:
        """Run the page's only command, of `recsys`, with `extra` options and its capital names replaced."""
        (command,) = self.commands
        words = [names.get(word, word) for word in shlex.split(command)]
        assert words[0] == "recsys", command
        assert run([*words[1:], *extra]) == 0, command

    def starts(self, command: str) -> bool:
        """Whether the page says to start this process; the drill then runs what it runs."""
        return any(line.endswith(command) for line in self.commands)


@dataclass(frozen=True)
class RegisteredDrill:
    """What makes a fault and mends it. shop : the fixture with the shop that it needs."""

    shop: str
    run: Callable[..., None]


DRILLS: dict[str, RegisteredDrill] = {}


def drill_of(alert: str, shop: str = "shop") -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Register the drill of an alert."""

    def register(run: Callable[..., None]) -> Callable[..., None]:
        DRILLS[alert] = RegisteredDrill(shop, run)
        return run

    return register


def environment_of(variables: Mapping[str, str]) -> dict[str, str]:
    """The environment of a command of a page."""
    return {**os.environ, **variables}
