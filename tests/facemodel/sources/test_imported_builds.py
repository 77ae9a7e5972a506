"""From a published model's files to a dataset and a network that trains on it, for every kind.

The model is ICT-FaceKit's whole head, written in the layout of each kind; captures are real scans.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from model_writers_bfm import (
    write_3ddfa,
    write_3ddfa_arrays,
    write_3ddfa_v2,
    write_bfm2009,
    write_bfm_hdf5,
)
from model_writers_eos import write_surrey
from model_writers_flame import write_flame
from model_writers_npz import write_arrays, write_facescape, write_gnm

from fg3d_builder.cli import main
from fg3d_builder.facemodel.sources.known import read_source
from fg3d_builder.facemodel.sources.source import ModelSource
from fg3d_builder.facemodel.storage import load_model
from fg3d_builder.shards.manifest import read_manifest

pytestmark = [pytest.mark.slow, pytest.mark.data]

MODES = 40

ICT = Path(__file__).resolve().parents[4] / "shared" / "data" / "ict_facekit"
"""The one published model that is at hand: read as it is."""

WRITERS: dict[str, Callable[[Path, ModelSource], Path]] = {
    "bfm2009": write_bfm2009,
    "bfm2017": write_bfm_hdf5,
    "bfm2019": lambda folder, source: write_bfm_hdf5(folder, source, "model2019_fullHead.h5"),
    "3ddfa": write_3ddfa,
    "3ddfa-v2": write_3ddfa_v2,
    "3ddfa-v2-arrays": write_3ddfa_arrays,
    "flame": lambda folder, source: write_flame(source, folder / "generic_model.pkl"),
    "gnm": lambda folder, source: write_gnm(source, folder / "gnm_head.npz"),
    "surrey": lambda folder, source: write_surrey(source, folder),
    "facescape": lambda folder, source: write_facescape(source, folder / "facescape_bm_v1.6.npz"),
    "arrays": lambda folder, source: write_arrays(source, folder / "ours.npz"),
    "ict": lambda folder, source: ICT,
}

PRESET = """\
name = "imported"
chunk_size = 6

[[sources]]
kind = "scan"
path = "{data}/scans"
include = ["facefuns-f18", "facefuns-f26", "facefuns-f36", "facefuns-m18", "facefuns-m26"]
unit_mm = 1.0
views = [[0.0, 0.0]]

[[sources]]
kind = "scan"
path = "{data}/heads"
include = ["Asian_M_2"]
unit_mm = 1.0
views = [[0.0, 0.0]]

[facemodel]
model = "{model}"

[fullview]
yaw_steps_deg = [30.0]
pitch_steps_deg = []

[transform]
shapes_per_capture = 1

[shards]
test_fraction = 0.01
"""


@pytest.mark.parametrize("kind", WRITERS)
def test_from_files_to_a_trained_network(
    kind: str, tmp_path: Path, shared_data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = in_triangles(read_source(shared_data / "ict_facekit"))
    (tmp_path / "files").mkdir()
    path, model = WRITERS[kind](tmp_path / "files", source), tmp_path / "model.h5"
    run("models", "import", path, "--out", model, "--pictures", tmp_path / "pictures")
    assert "doubtful" not in capsys.readouterr().out
    pictures = {picture.stem for picture in (tmp_path / "pictures").glob("*.png")}
    assert pictures == {"landmarks", "identity", "expression", "colours", "chart", "head"}
    run("models", "check", "--model", model)

    for scan in ("scans/facefuns-m46", "heads/Black_M_2"):
        run("register", shared_data / scan, "--model", model, "--out", tmp_path / "registered")
    for result in (tmp_path / "registered").rglob("result.json"):
        told = json.loads(result.read_text())
        assert told["quality"] > 0.5, told

    preset = tmp_path / "imported.toml"
    preset.write_text(PRESET.format(data=shared_data, model=model))
    run("build", preset, "--out", tmp_path / "build")
    dataset = tmp_path / "build" / "dataset"
    run("verify", dataset)
    manifest = read_manifest(dataset)
    assert not manifest["failures"]
    assert manifest["facemodel"]["topology_hash"] == load_model(model).topology_hash

    # Licences keep most models out of datasets: whoever goes on names the file.
    out = ("export", "shapes", dataset, "--out", tmp_path / "shapes", "--model-file", model)
    run(*out, "--topology", model, "--whole")
    with (tmp_path / "shapes" / "index.csv").open() as table:
        rows = list(csv.DictReader(table))
    assert len(rows) == 6
    for row in rows:
        whole = np.load(tmp_path / "shapes" / row["file"])["vertices_mm"]
        assert whole.shape == source.mean.shape
        assert np.abs(whole - source.mean).max() < 60.0

    train = ("train", dataset, "--out", tmp_path / "run", "--preset", "tiny", "--device", "cpu")
    run(*train, "--epochs", "1", "--batch-size", "2", "--facemodel", model)
    assert list((tmp_path / "run").glob("*.pt"))


def in_triangles(source: ModelSource) -> ModelSource:
    """The source with its first modes, all expressions, and triangles for quads."""
    assert source.uv is not None
    quad = source.polygons[:, 3] >= 0
    corners = np.stack([source.uv[:, [0, 1, 2]], source.uv[:, [0, 2, 3]]], axis=1)
    there = np.column_stack([np.ones(len(quad), bool), quad])
    return replace(
        source,
        polygons=source.triangles,
        uv=corners[there],
        id_basis=source.id_basis[:, :, :MODES],
        id_sd=source.id_sd[:MODES],
    )


def run(*words: object) -> None:
    """Run a command as a user does; it must succeed."""
    assert main([str(word) for word in words]) == 0, words
