"""The Helm chart: its values, and, where Helm is on this machine, what it renders."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.deploy.commands import check_command

CHART = Path(__file__).resolve().parents[2] / "deploy" / "helm" / "recsys"
HELM = shutil.which("helm")
needs_helm = pytest.mark.skipif(HELM is None, reason="helm is not on this machine")


def helm(*arguments: str) -> subprocess.CompletedProcess[str]:
    assert HELM is not None
    return subprocess.run([HELM, *arguments], capture_output=True, text=True, timeout=120, check=False)


def rendered(*arguments: str) -> list[dict[str, Any]]:
    done = helm("template", "shop", str(CHART), "--kube-version", "1.30.0", *arguments)
    assert done.returncode == 0, done.stderr
    return [each for each in yaml.safe_load_all(done.stdout) if each]


def pods(documents: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """The template of each pod by its component."""
    found = {}
    for each in documents:
        if each["kind"] in ("Deployment", "Job"):
            template = each["spec"]["template"]
            found[template["metadata"]["labels"]["app.kubernetes.io/component"]] = template
    return found


def test_the_chart_starts_commands_that_exist() -> None:
    templates = "".join(path.read_text() for path in sorted((CHART / "templates").glob("*.yaml")))
    listed = re.findall(r'"args" \(list ([^)]+)\)', templates)
    commands = [re.findall(r'"([^"]+)"', each) for each in listed]
    commands += [
        json.loads(re.sub(r"{{[^}]+}}", "2", each)) for each in re.findall(r"args: (\[.+\])", templates)
    ]
    assert len(commands) == 7
    for command in commands:
        check_command(command)


def test_the_schema_describes_every_value() -> None:
    values = yaml.safe_load((CHART / "values.yaml").read_text())
    schema = json.loads((CHART / "values.schema.json").read_text())
    assert values.keys() <= schema["properties"].keys()
    assert not schema["additionalProperties"]
    text = (CHART / "values.yaml").read_text() + "".join(
        path.read_text() for path in (CHART / "templates").iterdir()
    )
    assert set(re.findall(r"\.Values\.(\w+)", text)) <= values.keys()
    assert "kind: Secret" not in text, "secrets are referred to"


@needs_helm
def test_helm_finds_no_fault() -> None:
    done = helm("lint", "--strict", str(CHART))
    assert done.returncode == 0, done.stdout
    wrong = helm("template", "shop", str(CHART), "--kube-version", "1.30.0", "--set", "settings.LEVEL=1")
    assert wrong.returncode != 0
    assert "LEVEL" in wrong.stderr


@needs_helm
def test_every_pod_is_closed_and_takes_secrets_by_reference() -> None:
    found = pods(rendered("--set", "autoscaling.enabled=true", "--set", "settings.RECSYS_LOG__LEVEL=info"))
    assert found.keys() == {
        "api", "scheduler", "consume-core", "consume-search", "consume-serving", "intake", "migrate",
    }  # fmt: skip
    for component, template in found.items():
        spec = template["spec"]
        assert spec["securityContext"]["runAsNonRoot"], component
        (container,) = spec["containers"]
        check_command(container["args"])
        assert container["securityContext"]["readOnlyRootFilesystem"], component
        assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}, component
        assert container["envFrom"] == [{"secretRef": {"name": "recsys"}}], component
        assert container["resources"]["limits"]["memory"], component
        assert {each["name"] for each in container["volumeMounts"]} == {
            each["name"] for each in spec["volumes"]
        }


@needs_helm
def test_what_selects_pods_finds_them() -> None:
    documents = rendered("--set", "autoscaling.enabled=true")
    labels = [each["metadata"]["labels"] for each in pods(documents).values()]
    selectors = [
        each["spec"]["selector"].get("matchLabels", each["spec"]["selector"])
        for each in documents
        if each["kind"] in ("Deployment", "PodDisruptionBudget", "Service")
    ]
    for selector in selectors:
        assert sum(selector.items() <= each.items() for each in labels) == 1, selector
    names = {(each["kind"], each["metadata"]["name"]) for each in documents}
    (scaler,) = (each for each in documents if each["kind"] == "HorizontalPodAutoscaler")
    target = scaler["spec"]["scaleTargetRef"]
    assert (target["kind"], target["name"]) in names
    (api,) = (
        each for each in documents
        if each["kind"] == "Deployment" and each["metadata"]["name"] == target["name"]
    )  # fmt: skip
    assert "replicas" not in api["spec"], "the autoscaler decides"


@needs_helm
def test_pods_need_no_shared_volume_with_a_store_of_artifacts() -> None:
    address = "settings.RECSYS_ARTIFACTS__ADDRESS=s3://shop/production"
    documents = rendered("--set", "persistence.enabled=false", "--set", address)
    assert not [each for each in documents if each["kind"] == "PersistentVolumeClaim"]
    for template in pods(documents).values():
        assert {"name": "var", "emptyDir": {}} in template["spec"]["volumes"]
    alone = helm("template", "shop", str(CHART), "--set", "persistence.enabled=false")
    assert alone.returncode != 0
    assert "RECSYS_ARTIFACTS__ADDRESS" in alone.stderr
