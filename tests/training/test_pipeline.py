"""`recsys train` on a small shop with a known structure: real database, real files, real processes."""

from __future__ import annotations

import json
import shutil
import warnings
from datetime import timedelta
from decimal import Decimal
from pathlib import Path

import pytest

from models import factory
from models.registry import registry
from recsys import clock
from recsys.cli import run
from recsys.database.session import unit_of_work
from recsys.domains.recommendations.tables import RecommendationModel
from recsys.own_ids.answers import skus_of, usernames_of
from tests.support.shop import Shop
from tests.training.shops import add_purchases, fill_shop, purchases
from training.experiment import load_all
from training.lock import training_lock
from training.pipeline import TrainingOutcome, train
from training.progress import Steps
from training.report.document import EvaluationReport

PLAN = """
[split]
test_days = 12
[evaluation]
ks = [5, 10, 20]
primary_k = 10
draws = 200
[promotion]
min_users = 30
"""
FILES = {
    "popularity": 'name = "popularity"\nalgorithm = "popularity"\n' + PLAN,
    "item_knn": 'name = "item_knn"\nalgorithm = "item_knn"\n[parameters]\nneighbours = 20\n' + PLAN,
    "lists": 'name = "lists"\nalgorithm = "similar_items"\npromotable = false\n' + PLAN,
    "als": 'name = "als"\nalgorithm = "als"\nseed = 3\n[parameters]\nfactors = 4\niterations = 4\n' + PLAN,
}


@pytest.fixture
def files(tmp_path: Path) -> dict[str, str]:
    """Paths of tiny experiments, by name."""
    for name, text in FILES.items():
        (tmp_path / f"{name}.toml").write_text(text)
    return {name: str(tmp_path / f"{name}.toml") for name in FILES}


def _train(sources: list[str], **options: bool) -> TrainingOutcome:
    return train(load_all(sources), command="recsys train run", actor="tester", steps=Steps(), **options)


def test_a_run_leaves_rows_artifacts_report_and_mlflow_runs(shop: Shop, files: dict[str, str]) -> None:
    # the run makes the store as well
    shutil.rmtree(shop.var / "mlflow")
    fill_shop()
    result = shop.run("train", "run", files["popularity"], files["item_knn"], "--json")
    assert result.returncode == 0, result.stderr
    summary = json.loads(result.stdout)
    assert "✓ fit item_knn" in result.stderr
    assert summary["active"] == "item_knn-v1"
    assert summary["verdict"]["action"] == "promote"
    assert summary["mlflow"]["problem"] == ""

    with unit_of_work() as session:
        model = registry.get(session, "item_knn-v1")
        row = session.get(RecommendationModel, model.id)
        assert row is not None
        columns = {column.name: getattr(row, column.name) for column in RecommendationModel.__table__.columns}
        events = registry.history(session)
    assert not [name for name, value in columns.items() if value is None]
    assert (columns["version"], columns["type"], columns["algorithm"]) == (
        "1",
        "collaborative_filtering",
        "item_knn",
    )
    assert columns["training_data_size"] == len(purchases())
    assert (columns["name"], columns["is_active"]) == ("item_knn-v1", True)
    assert columns["created_at"] == columns["last_trained_at"] == model.last_trained_at
    assert abs(clock.now() - model.last_trained_at) < timedelta(minutes=30)
    kept = columns["parameters"]
    assert kept["artifact"] == "models/item_knn-v1"
    assert kept["checksum"] == json.loads((model.folder / "model.json").read_text())["checksum"]
    assert (shop.var / kept["report"]).is_file()
    figures = model.parameters["metrics"]["all"]
    assert columns["accuracy"] == Decimal(f"{figures['hit_rate']['value']:.4f}")
    assert columns["precision_score"] == Decimal(f"{figures['precision']['value']:.4f}")
    assert columns["recall_score"] == Decimal(f"{figures['recall']['value']:.4f}")
    assert (events[0].action, events[0].from_name, events[0].to_name) == ("promote", None, "item_knn-v1")

    fitted = registry.load(model)
    assert fitted.dataset_fingerprint_ == summary["dataset"] == model.dataset  # fitted again on everything
    assert fitted.calibration_ is not None
    report = EvaluationReport.model_validate_json((shop.var / model.parameters["report_json"]).read_text())
    assert report.verdict.winner == "item_knn-v1"
    with unit_of_work() as session:
        usernames = usernames_of(session, [example.user for example in report.examples])
        places = report.models[0].examples[report.examples[0].user][0].places
        skus = skus_of(session, [place.product for place in places])
    assert {example.user: example.username for example in report.examples} == usernames
    assert {place.product: place.sku for place in places} == skus
    page = (shop.var / model.parameters["report"]).read_text()
    assert "&lt;script" in page
    assert "<script" not in page
    assert shop.run("train", "report", "item_knn-v1").stdout.strip() == str(
        shop.var / model.parameters["report"]
    )

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # MLflow uses what SQLAlchemy 2.1 calls deprecated
        from mlflow import MlflowClient

        client = MlflowClient(tracking_uri=f"sqlite:///{shop.var / 'mlflow' / 'mlflow.db'}")
    logged = client.get_run(model.parameters["mlflow"]["run"])
    assert logged.data.tags["recsys.checksum"] == model.checksum
    assert logged.data.params["neighbours"] == "20"
    history = {
        metric.step: metric.value for metric in client.get_metric_history(logged.info.run_id, "all.ndcg")
    }
    assert history[10] == pytest.approx(figures["ndcg"]["value"])
    assert {file.path for file in client.list_artifacts(logged.info.run_id)} == {"report.html", "report.json"}
    champion = client.get_model_version_by_alias("item_knn", "champion")
    assert (champion.version, champion.run_id) == (1, logged.info.run_id)
    assert champion.tags["recsys.name"] == "item_knn-v1"
    assert champion.tags["recsys.checksum"] == model.checksum
    assert client.get_registered_model("popularity").aliases == {}


def test_challengers_replace_hold_and_refresh(
    shop: Shop, files: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("training.pipeline.track", _no_tracking)
    fill_shop()
    first = _train([files["popularity"]])
    assert first.active == "popularity-v1"

    better = _train([files["item_knn"]])
    assert better.report is not None
    assert (better.report.verdict.action, better.active) == ("promote", "item_knn-v1")
    assert better.report.verdict.champion_figure is not None

    worse = _train([files["popularity"]])
    assert worse.report is not None
    assert (worse.report.verdict.action, worse.active) == ("hold", "item_knn-v1")
    with unit_of_work() as session:
        audit = registry.history(session)[0]
    assert (audit.action, audit.from_name, audit.to_name, audit.actor) == (
        "hold",
        "item_knn-v1",
        "popularity-v2",
        "tester",
    )

    same = _train([files["item_knn"]])
    assert same.report is not None
    assert (same.report.verdict.action, same.active) == ("hold", "item_knn-v1")  # nothing new was learned

    add_purchases([(user, product, day + 0.5) for user, product, day in purchases(seed=1)])
    newer = _train([files["item_knn"]], rebuild=True)
    assert newer.report is not None
    assert (newer.report.verdict.action, newer.active) == ("refresh", "item_knn-v3")


def test_drift_is_that_since_the_run_before_though_lists_of_products_are_registered_first(
    shop: Shop, files: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("training.pipeline.track", _no_tracking)
    fill_shop()
    sources = [files["popularity"], files["lists"]]
    first = _train(sources)
    assert first.report is not None
    assert first.report.data.drift is None, "there was no training before it"
    added = [(1, 1, 61.0), (2, 1, 61.5)]
    add_purchases(added)
    second = _train(sources, rebuild=True)
    assert second.report is not None
    drift = second.report.data.drift
    assert drift is not None
    assert (drift.known, drift.same, drift.new_events) == (True, False, len(added))
    assert drift.model in {"popularity-v1", "lists-v1"}


def test_champion_is_fitted_again_where_its_figures_are_of_another_test(
    shop: Shop, files: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("training.pipeline.track", _no_tracking)
    fill_shop()
    _train([files["item_knn"]])
    add_purchases([(1, 1, 61.0)])
    steps = Steps()
    outcome = train(load_all([files["popularity"]]), command="", actor="tester", steps=steps, rebuild=True)
    assert "fit item_knn before the cutoff" in [step.name for step in steps.done]
    assert outcome.report is not None
    assert outcome.report.verdict.champion_figure is not None
    assert outcome.report.verdict.action == "hold"


def test_if_needed_does_nothing_twice_and_notices_changes(
    shop: Shop, files: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("training.pipeline.track", _no_tracking)
    fill_shop()
    sources = [files["popularity"], files["item_knn"]]
    assert not _train(sources, if_needed=True).skipped
    again = _train(sources, if_needed=True)
    assert "item_knn-v1 serves" in again.skipped
    assert again.active == "item_knn-v1"
    other = tmp_path / "item_knn.toml"
    other.write_text(FILES["item_knn"].replace("20\n", "21\n", 1))
    assert not _train([files["popularity"], str(other)], if_needed=True).skipped
    (registry.artifact_folder("item_knn-v1") / "model.json").unlink()
    assert not _train(sources, if_needed=True).skipped


def test_a_second_training_is_refused_and_nothing_is_lost(
    shop: Shop, files: dict[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    with training_lock():
        assert run(["train", "run", files["popularity"]]) == 2
    errors = capsys.readouterr().err
    assert errors.strip().count("\n") == 0
    assert "another training is running" in errors
    with training_lock():  # it can be taken again
        pass


def test_a_failing_tracking_store_loses_no_training(
    shop: Shop,
    files: dict[str, str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/file/mlflow.db")
    fill_shop()
    assert run(["train", "run", files["popularity"]]) == 0
    captured = capsys.readouterr()
    assert "MLflow did not record this run" in captured.err
    assert "popularity-v1" in captured.out
    with unit_of_work() as session:
        assert registry.get(session, "popularity-v1").is_active


def test_same_snapshot_and_seed_give_the_same_artifact(
    shop: Shop, files: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("training.pipeline.track", _no_tracking)
    fill_shop()
    _train([files["als"]])
    _train([files["als"]])
    outcome = train(load_all([files["als"]], seed=4), command="", actor="tester", steps=Steps())
    assert outcome.report is not None
    with unit_of_work() as session:
        one, two, three = (registry.get(session, f"als-v{i}") for i in (1, 2, 3))
    assert one.checksum == two.checksum != three.checksum
    assert factory.load(three.folder).parameters.seed == three.parameters["seed"] == 4  # type: ignore[attr-defined]


def test_list_show_promote(
    shop: Shop, files: dict[str, str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("training.pipeline.track", _no_tracking)

    def ask(*arguments: str, code: int = 0) -> tuple[str, str]:
        assert run(["train", *arguments]) == code
        captured = capsys.readouterr()
        return captured.out, captured.err

    assert "recsys train run --all" in ask("list")[0]
    fill_shop()
    _train([files["popularity"], files["item_knn"]])
    listed = json.loads(ask("list", "--json")[0])
    assert [(model["name"], model["is_active"]) for model in listed] == [
        ("item_knn-v1", True),
        ("popularity-v1", False),
    ]
    assert "popularity-v1" in ask("list")[0]
    shown = ask("show", "popularity-v1")[0]
    assert "half_life_days" in shown
    assert "ndcg@10, new products" in shown
    assert Path(ask("report", "popularity-v1")[0].strip()).is_file()

    assert "item_knn-v1" in ask("show", "nothing-v1", code=2)[1]
    ask("promote", "popularity-v1", code=2)  # no reason, no promotion
    assert "--reason is empty" in ask("promote", "popularity-v1", "--reason", " ", code=2)[1]
    damaged = registry.artifact_folder("popularity-v1") / "fitted_popularity.npy"
    whole = damaged.read_bytes()
    damaged.write_bytes(whole[:-4] + b"\x01\x02\x03\x04")
    assert "popularity-v1" in ask("promote", "popularity-v1", "--force", "--reason", "try", code=1)[1]
    damaged.write_bytes(whole)
    done = ask("promote", "popularity-v1", "--force", "--reason", "item_knn repeats itself", "--json")[0]
    assert json.loads(done) == {"active": "popularity-v1", "before": "item_knn-v1", "lists_of": None}
    with unit_of_work() as session:
        active, audit = registry.active(session), registry.history(session)[0]
    assert active is not None
    assert active.name == "popularity-v1"
    assert audit.reason == "item_knn repeats itself"


def test_wrong_input_is_one_line_and_exit_2(
    shop: Shop, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    wrong = tmp_path / "wrong.toml"
    wrong.write_text('name = "x"\nalgorithm = "als"\n[paramters]\nfactors = 3\n')
    typo = tmp_path / "typo.toml"
    typo.write_text('name = "x"\nalgorithm = "als"\n[parameters]\nfactor = 3\n')
    for arguments, message in (
        ((str(wrong),), f"{wrong}: unknown key 'paramters'; did you mean 'parameters'"),
        ((str(typo),), "experiment x: algorithm 'als' has no parameter 'factor'"),
        (("alls",), "did you mean 'als'"),
        ((), "--all"),
        (("als", "--all"), "not both"),
    ):
        assert run(["train", "run", *arguments]) == 2
        errors = capsys.readouterr().err
        assert message in errors
        assert errors.strip().count("\n") == 0


def _no_tracking(_runs: object) -> object:
    from training.tracking.runs import Tracked

    return Tracked("none")


def test_models_of_item_lists_are_registered_and_never_promoted(
    shop: Shop, files: dict[str, str], tmp_path: Path
) -> None:
    fill_shop()
    for name in ("similar_items", "complements"):
        text = f'name = "{name}"\nalgorithm = "{name}"\npromotable = false\n{PLAN}'
        (tmp_path / f"{name}.toml").write_text(text)
    own = [str(tmp_path / f"{name}.toml") for name in ("similar_items", "complements")]
    alone = _train(own)
    assert alone.report is None
    assert alone.registered == ["similar_items-v1", "complements-v1"]
    with unit_of_work() as session:
        assert registry.active(session) is None, "nothing serves users' lists yet"

    outcome = _train([files["popularity"], *own])
    assert outcome.active == "popularity-v1"
    assert outcome.report is not None
    assert [section.name for section in outcome.report.models] == ["popularity-v1"]
    assert outcome.registered == ["similar_items-v2", "complements-v2"]
    assert {one.model for section in outcome.report.item_lists for one in section.models} >= {
        "similar_items",
        "popularity",
        "random",
    }
    assert outcome.page is not None
    assert "Lists that start from a product" in outcome.page.read_text()
    with unit_of_work() as session:
        row = registry.get(session, "similar_items-v2")
        assert row.parameters["gate"]["action"] == "hold"
        assert registry.load(row).similar_items(registry.load(row).items_.ids, 3).products.shape[1] == 3
    refused = shop.run("train", "promote", "similar_items-v2", "--reason", "try")
    assert refused.returncode != 0
    assert "not promotable" in refused.stderr

    judged = shop.run("train", "evaluate-items", "item_knn", "complements", "--test-days", "12", "--json")
    assert judged.returncode == 0, judged.stderr
    models = json.loads(judged.stdout)["models"]
    assert {one["model"] for one in models} == {
        "popularity",
        "popularity_in_category",
        "random",
        "item_knn",
        "complements",
    }
