"""The notebooks run as written."""

from __future__ import annotations

import json
from pathlib import Path

import matplotlib
import pytest

DOCS = Path(__file__).resolve().parents[2] / "docs"


@pytest.mark.parametrize("name", sorted(p.name for p in DOCS.glob("*.ipynb")))
def test_notebook_runs(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    matplotlib.use("Agg")
    cells = json.loads((DOCS / name).read_text())["cells"]
    scope: dict[str, object] = {}
    for cell in cells:
        if cell["cell_type"] == "code":
            exec("".join(cell["source"]), scope)
