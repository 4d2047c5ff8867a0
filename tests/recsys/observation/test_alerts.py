"""Alert rules, dashboard and runbook: each alert fires with its fault and ends when its page was followed."""

from __future__ import annotations

import inspect
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import promql_parser
import pytest
import yaml

from recsys.events import relay
from recsys.imports.history import recorded
from recsys.imports.refusals import Refusals
from recsys.imports.report import ImportReport
from recsys.observation.samples import HELP
from recsys.settings import get_settings
from recsys.web.metrics import REGISTRY
from tests.recsys.observation import server_drills, shop_drills
from tests.recsys.observation.drill import DRILLS, RULES, Drill
from tests.recsys.observation.promql import metric_names
from tests.recsys.observation.scrapes import read_scrape
from tests.support.servers import ROOT
from tests.support.shop import Shop

DEPLOY = ROOT / "deploy"
RUNBOOK = ROOT / "docs" / "operations" / "runbook"
OF_PROMETHEUS = {"up", "ALERTS"}
assert server_drills
assert shop_drills


@pytest.mark.parametrize("alert", RULES)
def test_an_alert_fires_with_its_fault_and_ends_when_its_page_was_followed(
    alert: str, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    # commands are run in this process, which must keep its priority
    monkeypatch.setenv("RECSYS_BATCH_NICENESS", "0")
    drill = DRILLS[alert]
    arguments: dict[str, Any] = {
        name: request.getfixturevalue(name)
        for name in inspect.signature(drill.run).parameters
        if name != "drill"
    }
    drill.run(Drill(alert, request.getfixturevalue(drill.shop)), **arguments)


def _panels() -> list[dict[str, Any]]:
    board = json.loads((DEPLOY / "grafana" / "dashboards" / "recsys.json").read_text())
    panels: list[dict[str, Any]] = board["panels"]
    return panels


def _expressions() -> Iterator[str]:
    for rule in RULES.values():
        yield rule["expr"]
    for panel in _panels():
        for target in panel.get("targets", []):
            yield target["expr"]


def test_every_metric_of_a_rule_or_panel_is_exported(
    scored_shop: Shop, client: httpx.Client, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """After a walk over what a shop does."""
    assert scored_shop.run("features", "build").returncode == 0
    recorded("csv", lambda: ImportReport(Refusals(tmp_path / "refused.csv")))
    relay.prepare()
    monkeypatch.setenv("RECSYS_JOBS__SCHEDULES", '{"rollup": "5 * * * *"}')
    get_settings.cache_clear()
    with scored_shop.connect() as connection:
        connection.execute(
            "INSERT INTO analytics_db.job_runs (job, arguments, state, cause, due_at, ended_at) "
            "VALUES ('rollup', '{}', 'done', 'schedule', now(), now())"
        )
    for path in ("users/1/recommendations", "users/99/recommendations", "search/products?q=a"):
        client.get(f"/api/v1/{path}")
    written = client.get("/metrics").text
    exported = {name for name, _ in read_scrape(written)}
    # a counter with labels has no sample before it counts; it is declared
    exported |= set(re.findall(r"^# TYPE (\S+_total) counter$", written, re.M))
    used = set().union(*map(metric_names, _expressions()))
    assert used - OF_PROMETHEUS <= exported
    # and every metric is in a rule or a panel; a histogram by its buckets
    own = {name.removesuffix("_bucket") for name in used}
    declared = {family.name for family in REGISTRY.collect()} | HELP.keys()
    missing = {name for name in declared if not {name, f"{name}_total"} & own}
    assert missing == {"recsys_generation_live"}


def test_rules_are_whole() -> None:
    for name, rule in RULES.items():
        assert set(rule) - {"for"} == {"alert", "expr", "labels", "annotations"}, name
        assert rule["labels"]["severity"] in ("critical", "warning"), name
        assert promql_parser.parse_duration(rule.get("for", "1s")), name
        assert metric_names(rule["expr"]), name
        page = ROOT / rule["annotations"]["runbook"]
        text = page.read_text(encoding="utf-8")
        assert text.startswith(f"# {name}\n"), name
        assert rule["expr"] in text, f"the page of {name} has another expression"
        assert f"({page.name})" in (RUNBOOK / "index.md").read_text(encoding="utf-8"), name
    assert {page.name for page in RUNBOOK.glob("*.md")} == {"index.md"} | {
        rule["annotations"]["runbook"].rpartition("/")[2] for rule in RULES.values()
    }


def test_rules_wait_for_more_than_one_event() -> None:
    """What a passing moment can cause waits for a while; without a wait the condition itself counts."""
    at_once = {name for name, rule in RULES.items() if "for" not in rule}
    assert at_once == {"EventsTrimmed", "ImpressionsLost", "JobFailing", "ImportsFailing"}


def test_the_dashboard_can_be_provisioned() -> None:
    panels = _panels()
    assert len({panel["id"] for panel in panels}) == len(panels)
    source = yaml.safe_load((DEPLOY / "grafana/provisioning/datasources/prometheus.yml").read_text())
    provider = yaml.safe_load((DEPLOY / "grafana/provisioning/dashboards/recsys.yml").read_text())
    board = json.loads((DEPLOY / "grafana/dashboards/recsys.json").read_text())
    assert board["templating"]["list"][0]["current"]["value"] == source["datasources"][0]["uid"]
    assert provider["providers"][0]["type"] == "file"
    for one, other in ((one, other) for one in panels for other in panels if one["id"] < other["id"]):
        a, b = one["gridPos"], other["gridPos"]
        apart = a["x"] + a["w"] <= b["x"] or b["x"] + b["w"] <= a["x"]
        assert apart or a["y"] + a["h"] <= b["y"] or b["y"] + b["h"] <= a["y"], (one["title"], other["title"])


def test_prometheus_finds_the_rules_and_the_api() -> None:
    config = yaml.safe_load((DEPLOY / "prometheus" / "prometheus.yml").read_text())
    assert list((DEPLOY / "prometheus").glob(config["rule_files"][0]))
    (scrape,) = config["scrape_configs"]
    assert (scrape["job_name"], scrape["metrics_path"]) == ("recsys", "/metrics")
