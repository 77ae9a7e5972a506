"""The notebooks run wherever they are opened, on captures of one's own too, and show what they say.

What is stored in them is what their code has printed and shown: `make notebooks` stores it anew.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from nbclient.exceptions import CellExecutionError
from nbformat import NotebookNode, validate
from nbformat.v4 import new_code_cell, new_notebook

from docs.make_notebooks import code_digest, executed, normalised, read
from fg3d_builder.captures import open_source, write_capture
from fg3d_builder.config import SensorConfig, SourceConfig

DOCS = Path(__file__).resolve().parents[2] / "docs"
NAMES = sorted(path.stem for path in (DOCS / "notebooks").glob("*.ipynb"))
ON_CAPTURES = ("a_capture_step_by_step", "inside_a_registration")
LARGEST_BYTES = 2_000_000
CELL_LIMIT_S = 600


def outputs_by_kind(notebook: NotebookNode) -> list[list[str]]:
    """Return what each code cell has put out: names of streams, else types."""
    kinds = []
    for cell in notebook.cells:
        if cell.cell_type == "code":
            kinds.append([output.get("name", output.output_type) for output in cell.outputs])
    return kinds


def printed(notebook: NotebookNode) -> str:
    """Return all text that a notebook's cells have put out."""
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    return "".join(output.get("text", "") for cell in cells for output in cell.outputs)


@pytest.fixture(scope="module")
def capture_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A capture of somebody's own, as files: without the truth."""
    sensor = SensorConfig(kind="time_of_flight", seed=4)
    source = open_source(
        SourceConfig(
            subjects=1,
            captures_per_subject=1,
            seed=31,
            image_size=(320, 240),
            focal_px=450.0,
            sensor=sensor,
        )
    )
    folder = tmp_path_factory.mktemp("own") / "anna-001"
    write_capture(folder, source.load(source.entries()[0]))
    return folder


def test_there_are_notebooks() -> None:
    assert set(ON_CAPTURES) < set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_stored_outputs_are_those_of_the_code(name: str) -> None:
    notebook = read(name)
    validate(notebook)
    told = f"run `make notebooks NAMES={name}`"
    assert notebook.metadata["code_sha256"] == code_digest(notebook), told
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in code] == list(range(1, len(code) + 1)), told
    assert normalised(notebook) == notebook, told
    assert any(output.output_type == "display_data" for cell in code for output in cell.outputs)


@pytest.mark.parametrize("name", NAMES)
def test_stored_outputs_hold_no_trace_of_a_machine(name: str) -> None:
    kinds = {kind for cell in outputs_by_kind(read(name)) for kind in cell}
    assert kinds <= {"stdout", "display_data"}  # no warnings, no errors
    assert not re.search(r"/tmp|/home|/root|\d\d:\d\d:\d\d|\x1b", printed(read(name)))
    assert (DOCS / "notebooks" / f"{name}.ipynb").stat().st_size < LARGEST_BYTES


@pytest.mark.parametrize("name", NAMES)
def test_the_first_cell_says_how_to_open_it(name: str) -> None:
    text = read(name).cells[0].source
    assert "ipykernel install" in text
    assert "jupyterlab" in text


@pytest.mark.parametrize("name", NAMES)
def test_links_lead_somewhere(name: str) -> None:
    for cell in read(name).cells:
        if cell.cell_type == "markdown":
            for target in re.findall(r"\]\(([\w./-]+)(?:#[\w-]+)?\)", cell.source):
                assert (DOCS / "notebooks" / target).exists(), target


@pytest.mark.parametrize("name", ON_CAPTURES)
def test_runs_on_a_capture_of_ones_own(name: str, capture_folder: Path) -> None:
    found = normalised(
        executed(read(name), f"MY_CAPTURE = Path({str(capture_folder)!r})", CELL_LIMIT_S)
    )
    assert outputs_by_kind(found) == outputs_by_kind(read(name))
    assert "true error" not in printed(found)


def test_the_dataset_notebook_runs_on_three_people() -> None:
    name = "a_dataset_in_torch"
    found = normalised(executed(read(name), "SUBJECTS = 3", CELL_LIMIT_S))
    assert outputs_by_kind(found) == outputs_by_kind(read(name))


@pytest.mark.slow
@pytest.mark.parametrize("name", ON_CAPTURES)
def test_runs_as_it_is(name: str) -> None:
    found = normalised(executed(read(name), cell_limit_s=CELL_LIMIT_S))
    assert outputs_by_kind(found) == outputs_by_kind(read(name))


@pytest.mark.slow
def test_the_photo_notebook_runs_with_a_network_of_three_people() -> None:
    name = "from_a_photo_to_a_mesh"
    found = normalised(executed(read(name), "SUBJECTS, EPOCHS = 3, 1", CELL_LIMIT_S))
    assert outputs_by_kind(found) == outputs_by_kind(read(name))


def test_a_notebook_that_fails_is_told() -> None:
    broken = new_notebook(cells=[new_code_cell("1 / 0")])
    with pytest.raises(CellExecutionError, match="ZeroDivisionError"):
        executed(broken)


def test_changed_code_is_noticed() -> None:
    notebook = read(NAMES[0])
    before = code_digest(notebook)
    next(cell for cell in notebook.cells if cell.cell_type == "code").source += "\nprint(1)"
    assert code_digest(notebook) != before
