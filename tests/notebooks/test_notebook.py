"""The notebook runs on a real store, and the copy in the repository holds no outputs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient

from ptycho_mlf.config import RunConfig
from ptycho_mlf.runs.stage_a import run_stage_a

NOTEBOOK = Path(__file__).parents[2] / "notebooks" / "compare_arms.ipynb"


def test_the_notebook_draws_the_runs_of_a_store(
    tiny: Callable[..., RunConfig], store: Path, monkeypatch: pytest.MonkeyPatch
):
    for name in ("COMPARE_EXPERIMENT", "COMPARE_PARENT", "COMPARE_RUNS"):
        monkeypatch.delenv(name, raising=False)
    assert run_stage_a(tiny()).verdict.name == "stagnated"
    # Breaks in its first epoch: no history, no best weights, no reconstruction.
    assert run_stage_a(tiny(optimizer="sgd", learning_rate=1e6), arm="broken").verdict.name == "nonfinite"

    notebook = nbformat.read(NOTEBOOK, as_version=4)
    NotebookClient(notebook, timeout=600, resources={"metadata": {"path": str(NOTEBOOK.parent)}}).execute()
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    assert not [output["text"] for output in outputs if output.get("name") == "stderr"], "warnings go there"
    shown: list[dict[str, Any]] = [output["data"] for output in outputs if "data" in output]
    assert sum("image/png" in data for data in shown) == 3
    differing, ranking, scores = [data["text/html"] for data in shown if "text/html" in data]
    assert "learning_rate" in differing
    assert "epochs" not in differing
    for table in (differing, ranking, scores):
        assert "hybrid" in table
        assert "broken" in table
    assert "nonfinite" in ranking
    assert "constant" in scores


def test_the_notebook_is_stored_without_outputs():
    cells = [cell for cell in nbformat.read(NOTEBOOK, as_version=4).cells if cell.cell_type == "code"]
    assert cells
    for cell in cells:
        assert cell.execution_count is None
        assert cell.outputs == []
