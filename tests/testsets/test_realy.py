"""REALY: what is read, how key points reach our topology, what is measured and written."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from toy_protocols import head, write_photo

from fg3d_builder.captures.source import safe_id
from fg3d_builder.cli import main
from fg3d_builder.errors import CaptureError, ConfigError
from fg3d_builder.facemodel.model import PARTS, FaceModel
from fg3d_builder.files.mesh_io import read_mesh
from fg3d_builder.files.obj_writer import write_polygon_obj
from fg3d_builder.geometry.meshes import compact_triangles
from fg3d_builder.geometry.pose import rotation_from_angles
from fg3d_builder.records import Array
from fg3d_builder.testsets.realy import open_realy, read_obj_points
from fg3d_builder.testsets.realy_evaluation import evaluate_realy
from fg3d_builder.testsets.realy_keypoints import (
    KeyPointPlaces,
    checked_key_points,
    read_key_points,
    write_key_points,
)

IMAGES = "REALY_image/crop_image_frontal_512x512"
MM_PER_UNIT = 9.0
TEMPLATE_SEED = 7


def key_point_places(model: FaceModel) -> KeyPointPlaces:
    """The model's 68 points, and 17 more on triangles of nose and cheeks."""
    own = model.embedded("ibug68", np.arange(68))
    skin = (model.parts == PARTS.index("cheeks")) | (model.parts == PARTS.index("nose"))
    there = np.flatnonzero(
        skin[model.triangles].all(axis=1) & model.reliable[model.triangles].all(axis=1)
    )
    more = np.random.default_rng(0).choice(there, 17, replace=False)
    weights = np.tile([0.2, 0.3, 0.5], (17, 1))
    return KeyPointPlaces(
        np.concatenate([own.triangle, more]).astype(np.int64),
        np.concatenate([own.barycentric, weights]),
    )


def in_units(shape_mm: Array) -> Array:
    """A scan in REALY's unit, turned."""
    return shape_mm @ rotation_from_angles(5.0, 8.0, 2.0).T / MM_PER_UNIT


def write_points(path: Path, points: Array) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"v {x:.6f} {y:.6f} {z:.6f}\n" for x, y, z in points))


@pytest.fixture(scope="module")
def folder(model: FaceModel, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """REALY with one person, and a template of another numbering and size."""
    folder = tmp_path_factory.mktemp("realy")
    shape, places = head(model, 3), key_point_places(model)
    write_photo(folder / IMAGES / "1.png", model, shape, 0.0, 5.0)
    scan = in_units(shape)
    write_points(folder / "REALY_HIFI3D_keypoints/1.obj", places.points(scan, model.triangles))
    parts = {"nose": "nose", "mouth": "mouth", "forehead": "eyes", "cheek": "cheeks"}
    for name, part in parts.items():
        inside = (model.parts == PARTS.index(part))[model.triangles].all(axis=1)
        used, triangles = compact_triangles(model.triangles[inside], model.vertex_count)
        path = folder / f"REALY_scan_region/1/{name}.obj"
        path.parent.mkdir(parents=True, exist_ok=True)
        write_polygon_obj(path, scan[used] * 1.0, triangles)
    (folder / "metrical_scale.txt").write_text(f"{MM_PER_UNIT:.18e}\n" * 2)
    order = np.random.default_rng(4).permutation(model.vertex_count)
    new = np.argsort(order)
    shape = head(model, TEMPLATE_SEED)
    write_polygon_obj(folder / "HIFI3D.obj", 0.1 * shape[order], new[model.triangles])
    write_key_points(folder / "HIFI3D.txt", places)
    return folder


@pytest.fixture(scope="module")
def perfect(model: FaceModel, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Another method that gives the scan itself, in another frame."""
    folder = tmp_path_factory.mktemp("methods") / "perfect"
    turned = 2.0 * head(model, 3) @ rotation_from_angles(-30.0, 50.0, 10.0).T + [9.0, 8.0, 7.0]
    write_polygon_obj(folder / "1.obj", turned, model.triangles)
    write_key_points(folder / "keypoints.txt", key_point_places(model))
    return folder


@pytest.fixture(scope="module")
def evaluated(folder: Path, perfect: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("evaluated")
    command = ["evaluate", "realy", str(folder), "--out", str(out / "out")]
    command += ["--submission", str(out / "submission"), "--method", f"perfect={perfect}"]
    assert main(command) == 0
    return out


def test_the_scan_itself_has_no_error_and_the_fit_some(evaluated: Path) -> None:
    rows = list(csv.DictReader((evaluated / "out/results.csv").read_text().splitlines()))
    found = {row["method"]: row for row in rows}
    for region in ("nose", "mouth", "forehead", "cheek"):
        # Files have four decimals, of 9 mm.
        assert float(found["perfect"][f"{region}_mm"]) < 2e-3
        assert 0.05 < float(found["3DMM fit"][f"{region}_mm"]) < 4.0
    report = (evaluated / "out/report.md").read_text()
    assert "| perfect | 0.00" in report
    assert "not to be compared" in report


def test_key_points_are_carried_to_our_topology(evaluated: Path, model: FaceModel) -> None:
    """The template is another face under other numbers: carried points are near the true ones."""
    found = read_key_points(evaluated / "submission/fg3d.txt")
    topology = read_mesh(evaluated / "submission/fg3d.obj")
    assert np.array_equal(topology.triangles, model.triangles)
    shape = head(model, TEMPLATE_SEED)
    there = found.points(shape, model.triangles)
    wanted = key_point_places(model).points(shape, model.triangles)
    away = np.linalg.norm(there - wanted, axis=1)
    assert away[:68].max() < 1e-4
    # A registration slides along smooth cheeks.
    assert np.median(away[68:]) < 2.0
    assert away[68:].max() < 8.0


def test_a_submission_is_one_topology(evaluated: Path, model: FaceModel) -> None:
    (path,) = (evaluated / "submission" / safe_id("3DMM fit")).iterdir()
    assert path.name == "1.obj"
    assert np.array_equal(read_mesh(path).triangles, model.triangles)


def test_what_is_missing_is_said(folder: Path, tmp_path: Path) -> None:
    realy = open_realy(folder)
    assert [(image.image_id, image.subject) for image in realy.images] == [("1", "1")]
    truth = realy.truth("1")
    assert truth.key_points.shape == (85, 3)
    assert truth.mm_per_unit == MM_PER_UNIT
    with pytest.raises(CaptureError, match="2 scales, none for person 3"):
        realy.truth("3")
    with pytest.raises(CaptureError, match=r"2\.obj: file not found"):
        realy.truth("2")
    with pytest.raises(ConfigError, match="REALY_image has crop_image_frontal_512x512"):
        open_realy(folder, image_set="crop_image_multiview")
    with pytest.raises(ConfigError, match="no such folder"):
        open_realy(tmp_path)
    place = tmp_path / IMAGES
    place.mkdir(parents=True)
    with pytest.raises(ConfigError, match="no image in it"):
        open_realy(tmp_path)
    (place / "12_3.jpg").touch()
    with pytest.raises(ConfigError, match=r"metrical_scale\.txt: not found"):
        open_realy(tmp_path)
    (tmp_path / "metrical_scale.txt").write_text("9.0\n-1\n")
    with pytest.raises(ConfigError, match="line 2: '-1' is no length"):
        open_realy(tmp_path)
    (tmp_path / "metrical_scale.txt").write_text("9.0\n")
    assert open_realy(tmp_path).images[0].subject == "12"
    (place / "nose.jpg").touch()
    with pytest.raises(ConfigError, match="an image is named by"):
        open_realy(tmp_path)


def test_points_of_an_obj_are_read(tmp_path: Path) -> None:
    path = tmp_path / "1.obj"
    path.write_text("# points\nv 1 2 3\nv 4 5 6 0.5\nvt 0 0\n")
    assert read_obj_points(path).tolist() == [[1, 2, 3], [4, 5, 6]]
    path.write_text("v 1 2 3\nv 1 x 3\n")
    with pytest.raises(CaptureError, match="line 2: wanted 'v x y z'"):
        read_obj_points(path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda rows: rows[:84], "84 key points, wanted 85"),
        (lambda rows: {"a": 1}, "no list of key points"),
        (lambda rows: [[1.5, 0.2, 0.2], *rows[1:]], r"key point 0: wanted \[triangle, a, b\]"),
        (lambda rows: [*rows[:-1], [3, 0.9, 0.4]], "key point 84: weights 0.9, 0.4 leave"),
        (lambda rows: [[True, 0.2, 0.2], *rows[1:]], "key point 0: wanted"),
    ],
)
def test_broken_key_points_are_refused(
    tmp_path: Path, change: Callable[[list], object], message: str
) -> None:
    path = tmp_path / "keypoints.txt"
    path.write_text(json.dumps(change([[i, 0.25, 0.5] for i in range(85)])))
    with pytest.raises(ConfigError, match=message):
        read_key_points(path)


def test_key_points_that_fit_no_face_are_refused(model: FaceModel) -> None:
    places = key_point_places(model)
    where = Path("theirs/keypoints.txt")
    vertices, triangles = model.mean, model.triangles
    checked_key_points(places, vertices, triangles, model, where)

    def refused(changed: KeyPointPlaces, message: str, mesh: Array = vertices) -> None:
        with pytest.raises(CaptureError, match=message) as caught:
            checked_key_points(changed, mesh, triangles, model, where)
        assert caught.value.code == "bad_landmarks"

    order = np.arange(85)
    order[[33, 8]] = order[[8, 33]]  # the nose's bottom at the chin
    swapped = KeyPointPlaces(places.triangle[order], places.barycentric[order])
    refused(swapped, r"33 \(bottom of the nose\)")
    beyond = places.triangle.copy()
    beyond[5] = len(triangles)
    refused(places._replace(triangle=beyond), "key point 5 is on triangle")
    flat = vertices.copy()
    a, b, c = triangles[places.triangle[70]]
    flat[a] = (flat[b] + flat[c]) / 2
    refused(places, "key point 70 is on triangle .* which has no area", flat)


def test_a_mesh_of_another_topology_is_a_failure(
    folder: Path, perfect: Path, model: FaceModel, tmp_path: Path
) -> None:
    realy = open_realy(folder)
    with pytest.raises(ConfigError, match="no folder"):
        evaluate_realy(realy, tmp_path, model, {}, {"x": tmp_path / "x"})
    (tmp_path / "x").mkdir()
    with pytest.raises(ConfigError, match=r"keypoints\.txt: not found"):
        evaluate_realy(realy, tmp_path, model, {}, {"x": tmp_path / "x"})
    (tmp_path / "x/keypoints.txt").write_bytes((perfect / "keypoints.txt").read_bytes())
    with pytest.raises(ConfigError, match=r"wanted 1\.obj and so on"):
        evaluate_realy(realy, tmp_path, model, {}, {"x": tmp_path / "x"})
