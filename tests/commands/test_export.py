"""Shapes of a dataset as files: each once, in its own topology or in that of another model."""

from __future__ import annotations

import csv
import dataclasses
from pathlib import Path

import numpy as np
import pytest
from toy_shards import write_toy_shards

from fg3d_builder.cli import main
from fg3d_builder.facemodel.model import FaceModel
from fg3d_builder.facemodel.origin import Origin
from fg3d_builder.facemodel.storage import load_model, save_model
from fg3d_builder.files.mesh_io import read_mesh
from fg3d_builder.records import Array
from fg3d_builder.shards.reader import ShardReader, StoredShape

SIZE = 48


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("export") / "dataset"
    write_toy_shards(folder, train=2, test=1, size=SIZE)
    return folder


def shapes(dataset: Path) -> dict[str, StoredShape]:
    readers = [ShardReader(dataset, split) for split in ("train", "test")]
    return {shape.capture_id: shape for reader in readers for shape in reader.shapes()}


def index(folder: Path) -> list[dict[str, str]]:
    with (folder / "index.csv").open() as table:
        return list(csv.DictReader(table))


def export(dataset: Path, folder: Path, *more: str) -> list[dict[str, str]]:
    assert main(["export", "shapes", str(dataset), "--out", str(folder), *more]) == 0
    return index(folder)


def within_a_head(model: FaceModel) -> tuple[FaceModel, Array]:
    """The model as if cut from a file with other numbers, and an eyeball; its vertices there."""
    ball = np.array([[10.0, 20, 40], [30, 20, 40], [10, 40, 40], [10, 20, 60]])
    count = model.vertex_count
    order = np.random.default_rng(2).permutation(count)
    mean = np.concatenate([ball, np.empty((count, 3))])
    mean[4 + order] = model.mean
    corners = np.concatenate(
        [[[0, 2, 1], [0, 1, 3], [0, 3, 2], [1, 2, 3]], 4 + order[model.triangles]]
    )
    origin = Origin(
        layout="toy",
        mean=mean,
        polygons=corners.astype(np.int32),
        uv=None,
        sheet_vertex=(4 + order).astype(np.int32),
        outside=np.arange(4, dtype=np.int32),
        outside_id_basis=np.zeros((4, 3, len(model.id_sd))),
    )
    return dataclasses.replace(model, name="cut", origin=origin), 4 + order


@pytest.mark.parametrize("form", ["npz", "obj", "ply", "glb"])
def test_every_shape_is_a_file(dataset: Path, tmp_path: Path, form: str) -> None:
    rows = export(dataset, tmp_path / "out", "--format", form)
    known = shapes(dataset)
    assert {(row["capture"], row["subject"], row["split"]) for row in rows} == {
        (name, shape.subject_id, shape.subject_id.rstrip("0123456789"))
        for name, shape in known.items()
    }
    for row in rows:
        wanted, file = known[row["capture"]], tmp_path / "out" / row["file"]
        if form == "npz":
            stored = np.load(file)
            np.testing.assert_array_equal(stored["vertices_mm"], wanted.shape_obj_mm)
            np.testing.assert_array_equal(stored["confidence"], wanted.confidence)
        else:
            vertices = read_mesh(file).vertices * (1000.0 if form == "glb" else 1.0)
            np.testing.assert_allclose(vertices, wanted.shape_obj_mm, atol=1e-3)


def test_a_model_that_has_the_same_face_gets_the_same_shapes(dataset: Path, tmp_path: Path) -> None:
    model, place = within_a_head(load_model(dataset / "facemodel.h5"))
    save_model(model, tmp_path / "cut.h5")
    options = ("--topology", str(tmp_path / "cut.h5"), "--whole")
    rows = export(dataset, tmp_path / "out", *options)
    topology = np.load(tmp_path / "out" / "topology.npz")
    np.testing.assert_array_equal(topology["polygons"], model.origin.polygons)  # type: ignore[union-attr]
    inner = np.setdiff1d(np.arange(model.vertex_count), border(model))
    for row in rows:
        wanted = shapes(dataset)[row["capture"]]
        stored = np.load(tmp_path / "out" / row["file"])
        found = stored["vertices_mm"]
        np.testing.assert_allclose(found[place][inner], wanted.shape_obj_mm[inner], atol=0.02)
        np.testing.assert_allclose(
            stored["confidence"][place][inner], wanted.confidence[inner], atol=1e-3
        )
        # What is apart goes along with the face around it, as one piece.
        moved = found[:4] - model.origin.mean[:4]  # type: ignore[union-attr]
        np.testing.assert_allclose(moved, moved[:1].repeat(4, axis=0), atol=1e-4)
        assert not stored["confidence"][:4].any()


def border(model: FaceModel) -> Array:
    """Vertices on the sheet's border and next to it."""
    from fg3d_builder.geometry.meshes import border_edges

    rim = np.unique(border_edges(model.triangles))
    return np.unique(model.triangles[np.isin(model.triangles, rim).any(axis=1)])


def test_what_does_not_go_together_is_refused(
    dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["export", "shapes", str(dataset), "--out", str(tmp_path / "out")]
    model = load_model(dataset / "facemodel.h5")
    assert main([*words, "--whole"]) == 2
    assert "needs --topology" in capsys.readouterr().err
    assert main([*words, "--topology", str(dataset / "facemodel.h5"), "--whole"]) == 2
    assert "knows nothing but its face" in capsys.readouterr().err
    assert main([*words, "--format", "glb", "--atlas"]) == 2
    assert "glb files get no chart, npz and obj files do" in capsys.readouterr().err
    assert main(words) == 0
    assert f"licence of face model '{model.name}': {model.licence}" in capsys.readouterr().out
    assert main(words) == 2
    assert "holds files already" in capsys.readouterr().err
    assert main([*words, "--force"]) == 0


def test_files_stay_within_the_folder(
    dataset: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    stored = next(iter(shapes(dataset).values()))
    outside = stored._replace(capture_id="../elsewhere")
    monkeypatch.setattr(ShardReader, "shapes", lambda _: iter([outside]))
    assert main(["export", "shapes", str(dataset), "--out", str(tmp_path / "out")]) == 2
    assert "'../elsewhere.capture' is no name for a file" in capsys.readouterr().err
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["out", "topology.npz"]


def test_quads_without_a_chart_are_laid_out_as_triangles(dataset: Path, tmp_path: Path) -> None:
    pytest.importorskip("xatlas")
    model, _ = within_a_head(load_model(dataset / "facemodel.h5"))
    assert model.origin is not None
    quads = np.column_stack([model.origin.polygons, np.full(len(model.origin.polygons), -1)])
    ball, face = quads[:4], quads[4:]
    quads = np.concatenate([ball, [[0, 2, 1, 3]], face]).astype(np.int32)
    model = dataclasses.replace(model, origin=dataclasses.replace(model.origin, polygons=quads))
    save_model(model, tmp_path / "cut.h5")
    options = ("--topology", str(tmp_path / "cut.h5"), "--whole", "--atlas")
    export(dataset, tmp_path / "out", *options)
    topology = np.load(tmp_path / "out" / "topology.npz")
    np.testing.assert_array_equal(topology["polygons"], topology["triangles"])
    assert topology["polygons_uv"].shape == (len(quads) + 1, 3, 2)
