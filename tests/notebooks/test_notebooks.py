"""Each notebook runs top to bottom on a small trained shop; what is kept in the repository has no outputs."""

from __future__ import annotations

import os
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

from tests.support.shop import Shop
from tests.training.shops import fill_shop
from training.experiment import load_all
from training.pipeline import train
from training.progress import Steps

FOLDER = Path(__file__).parents[2] / "notebooks"
NOTEBOOKS = sorted(FOLDER.glob("*.ipynb"))
PLAN = "\n[split]\ntest_days = 12\n[evaluation]\nks = [5, 10]\nprimary_k = 10\ndraws = 100\n"


@pytest.fixture
def trained(shop: Shop, tmp_path: Path) -> Shop:
    """Two registered models, one of them active, and some impressions with what followed."""
    fill_shop(name="Product 3")
    sources = []
    for name in ("popularity", "item_knn"):
        (tmp_path / f"{name}.toml").write_text(f'name = "{name}"\nalgorithm = "{name}"\n{PLAN}')
        sources.append(str(tmp_path / f"{name}.toml"))
    train(load_all(sources), command="recsys train run", actor="tester", steps=Steps())
    with shop.connect() as connection:
        connection.execute(
            "INSERT INTO recommendations_db.recommendation_feedback "
            "(user_id, product_id, feedback_type, created_at) "
            "SELECT u, p, k, now() - interval '1 day' * (u % 5) - interval '1 hour' "
            "+ CASE k WHEN 'shown' THEN interval '0' ELSE interval '5 minutes' * p END "
            "FROM generate_series(1, 20) u, generate_series(1, 6) p, "
            "unnest(ARRAY['shown', 'clicked', 'purchased']) k WHERE k = 'shown' "
            "OR (k = 'clicked' AND (u + p) % 3 = 0) OR (k = 'purchased' AND (u + p) % 6 = 0)"
        )
    return shop


def test_there_are_the_four_that_are_promised() -> None:
    assert [one.name[:2] for one in NOTEBOOKS] == ["01", "02", "03", "04"]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_what_is_kept_has_no_outputs_and_uses_public_names_only(path: Path) -> None:
    book = nbformat.read(path, as_version=4)
    nbformat.validate(book)
    for cell in book.cells:
        if cell.cell_type == "code":
            assert cell.outputs == []
            assert cell.execution_count is None
            for line in cell.source.splitlines():
                if "import" in line:
                    assert not any(part.startswith("_") for part in line.replace(".", " ").split()), line


def test_all_of_them_run_top_to_bottom_and_draw(trained: Shop, tmp_path: Path) -> None:
    # the kernel is a process of its own, which finds the shop by the environment
    assert os.environ["RECSYS_VAR"] == str(trained.var)
    for path in NOTEBOOKS:
        book = nbformat.read(path, as_version=4)
        NotebookClient(
            book, timeout=120, kernel_name="python3", resources={"metadata": {"path": tmp_path}}
        ).execute()
        outputs = [output for cell in book.cells if cell.cell_type == "code" for output in cell.outputs]
        pictures = [output for output in outputs if "image/png" in output.get("data", {})]
        assert len(pictures) >= 2, path.name
        assert not [output for output in outputs if output.get("name") == "stderr"], path.name
        if folder := os.environ.get("NOTEBOOK_PICTURES"):
            _keep(pictures, Path(folder), path.stem)


def _keep(pictures: list[nbformat.NotebookNode], folder: Path, stem: str) -> None:
    import base64

    for number, output in enumerate(pictures):
        (folder / f"{stem}-{number}.png").write_bytes(base64.b64decode(output.data["image/png"]))
