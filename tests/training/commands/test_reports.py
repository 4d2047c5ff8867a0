"""`recsys train report`: finds the page, draws it again from its twin, says what is wrong in one line."""

from __future__ import annotations

import json
import webbrowser
from pathlib import Path

import pytest

from recsys.cli import run
from tests.support.shop import Shop
from tests.training.shops import fill_shop
from training.experiment import Experiment
from training.pipeline import train
from training.progress import Steps
from training.report.document import EvaluationReport
from training.tracking.runs import Tracked

EXPERIMENT = {
    "name": "popularity",
    "algorithm": "popularity",
    "split": {"test_days": 12},
    "evaluation": {"ks": [5, 10], "primary_k": 10, "draws": 100},
}


@pytest.fixture
def trained(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, Path]:
    """Page and twin of a model popularity-v1."""
    monkeypatch.setattr("training.pipeline.track", lambda _: Tracked("none"))
    fill_shop()
    (shop.var / "imports").mkdir()
    refused = shop.var / "imports" / "20240102T030405000006-refused.csv"
    refused.write_text("file,line,reason,row\nb.csv,1,no such product,secret row\n")
    experiment = Experiment.model_validate(EXPERIMENT)
    outcome = train([experiment], command="recsys train run x.toml", actor="tester", steps=Steps())
    assert outcome.page is not None
    assert outcome.document is not None
    return outcome.page, outcome.document


def test_where_it_is_and_how_it_comes_back(
    trained: tuple[Path, Path], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    page, twin = trained
    drawn = page.read_text(encoding="utf-8")
    assert "no such product" in drawn
    assert "secret row" not in drawn

    def ask(*options: str, code: int = 0) -> tuple[str, str]:
        assert run(["train", "report", "popularity-v1", *options]) == code
        captured = capsys.readouterr()
        return captured.out.strip(), captured.err.strip()

    page.write_text("old")
    assert ask()[0] == str(page)
    assert page.read_text() == "old"  # what is there is left alone
    output = json.loads(ask("--rebuild", "--json")[0])
    assert output == {"name": "popularity-v1", "html": str(page), "json": str(twin), "rebuilt": True}
    assert page.read_text(encoding="utf-8") == drawn
    page.unlink()
    assert json.loads(ask("--json")[0])["rebuilt"]
    assert page.read_text(encoding="utf-8") == drawn

    opened: list[str] = []
    monkeypatch.setattr(webbrowser, "open", lambda url: opened.append(url) or True)
    ask("--open")
    assert opened == [page.as_uri()]
    monkeypatch.setattr(webbrowser, "open", lambda _: False)
    assert str(page) in ask("--open", code=1)[1]

    whole = twin.read_text(encoding="utf-8")
    for damage in (whole[: len(whole) // 2], whole.replace('"verdict"', '"verdikt"', 1)):
        twin.write_text(damage, encoding="utf-8")
        message = ask("--rebuild", code=2)[1]
        assert "damaged" in message
        assert "\n" not in message
        assert page.read_text(encoding="utf-8") == drawn
    twin.unlink()
    assert "train again" in ask("--rebuild", code=2)[1]


def test_the_schema_describes_the_twin(
    trained: tuple[Path, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["train", "report-schema"]) == 0
    schema = json.loads(capsys.readouterr().out)
    twin = json.loads(trained[1].read_text(encoding="utf-8"))
    assert schema["$schema"].endswith("2020-12/schema")
    assert set(twin) == set(schema["properties"]) == set(EvaluationReport.model_fields)
    parts = schema["$defs"]
    assert set(twin["data"]) == set(parts["DataSection"]["properties"])
    assert "stability index" in parts["Drift"]["properties"]["popularity"]["description"]
