"""What is seen and hidden of a head, what is lost of it, and how far lids are apart."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import trimesh

from benchmarks.figures import heads_figures
from benchmarks.head_truth import HeadTruth, lid_gaps_mm, skin_figures
from benchmarks.heads import total
from fg3d_builder.captures.scan import read_scan, scan_camera
from fg3d_builder.config import SourceConfig
from fg3d_builder.facemodel.model import PARTS, FaceModel
from fg3d_builder.landmarks.edges import MEDIAPIPE, MEDIAPIPE_CURVES
from fg3d_builder.records import Pose, Registration


def _plane(x_mm: float, y_mm: float, z_mm: float, side: int = 41) -> trimesh.Trimesh:
    """A rectangle about the z axis that faces +z, twice `x_mm` by twice `y_mm` large."""
    x, y = np.meshgrid(np.linspace(-x_mm, x_mm, side), np.linspace(-y_mm, y_mm, side))
    vertices = np.column_stack([x.ravel(), y.ravel(), np.full(x.size, z_mm)])
    n = np.arange(side * side).reshape(side, side)
    a, b, c, d = n[:-1, :-1].ravel(), n[:-1, 1:].ravel(), n[1:, :-1].ravel(), n[1:, 1:].ravel()
    faces = np.concatenate([np.stack([a, b, c], 1), np.stack([b, d, c], 1)])
    return trimesh.Trimesh(vertices, faces, process=False)


@pytest.fixture
def veiled(tmp_path) -> tuple[HeadTruth, Pose]:  # type: ignore[no-untyped-def]
    """A flat skin of 200 x 200 mm with a strip of 60 x 200 mm some 20 mm before its middle."""
    parts = {"skin": _plane(100.0, 100.0, 0.0), "h_wig": _plane(30.0, 100.0, 20.0)}
    file = tmp_path / "head.glb"
    trimesh.Scene(parts).export(file)
    config = SourceConfig(kind="scan", path=str(tmp_path))
    return HeadTruth.of(config, file), scan_camera(config, (0.0, 0.0), read_scan(file))[0]


def _registered(model: FaceModel, vertices_cam_mm: np.ndarray) -> Registration:
    n = len(vertices_cam_mm)
    still = Pose(1.0, np.eye(3), np.zeros(3))
    seen, confidence = np.ones(n, bool), np.ones(n)
    return Registration(
        model.topology_hash, vertices_cam_mm, still, vertices_cam_mm, vertices_cam_mm,
        np.zeros(1), np.zeros(1), seen, confidence, np.zeros(n), 0.0, 1.0, True,
    )  # fmt: skip


def test_what_hides_skin_and_what_is_lost_of_it_are_told_from_the_truth(veiled, default):  # type: ignore[no-untyped-def]
    truth, pose = veiled
    flat = default.mean * [1.0, 1.0, 0.0] - [0.0, default.mean[:, 1].mean(), 0.0]
    inside = np.abs(flat[:, :2]).max(axis=1) < 95.0
    model = replace(default, reliable=default.reliable & inside)
    # Half a millimetre behind the skin everywhere, two under the strip.
    depth = np.where(np.abs(flat[:, 0]) < 30.0, 2.0, 0.5)
    vertices = pose.cam_from_obj(flat - depth[:, None] * [0.0, 0.0, 1.0])
    placed = truth.place(model, vertices)
    # The strip's shadow on the skin is as much wider as the skin is farther away.
    far = pose.cam_from_obj(np.zeros((1, 3)))[0, 2]
    shadow = 30.0 * far / (far - 20.0)
    clear = np.abs(np.abs(flat[:, 0]) - shadow) > 0.1
    under = np.abs(flat[:, 0]) < shadow
    assert np.array_equal(placed.hidden[clear], (under & model.reliable)[clear])
    assert np.array_equal(placed.seen[clear], (~under & model.reliable)[clear])
    assert placed.distance_mm[inside] == pytest.approx(depth[inside], abs=1e-3)

    registration = _registered(model, vertices)
    nose = (model.parts == PARTS.index("nose")) & placed.seen
    cheeks = np.flatnonzero((model.parts == PARTS.index("cheeks")) & placed.seen)
    registration.confidence[nose] = 0.0
    registration.confidence[cheeks[::4]] = 0.0
    registration.confidence[placed.hidden] = 0.0
    figures = skin_figures(model, registration, placed)
    assert figures["lost"]["nose"] == (1.0 if nose.any() else 0.0)
    assert figures["lost"]["cheeks"] == pytest.approx(0.25, abs=0.01)
    assert figures["lost"]["mouth"] == 0.0
    assert figures["surface_mm"] == pytest.approx(0.5, abs=0.01)
    assert figures["hidden_mm"] == pytest.approx(2.0, abs=0.15)


def test_lid_gap_is_the_distance_of_opposite_points(default):  # type: ignore[no-untyped-def]
    embedding = default.embeddings[MEDIAPIPE]
    shape = default.mean.copy()
    corner = default.triangles[embedding.triangle]
    row = {p: i for i, p in enumerate(embedding.point_index.tolist())}
    before = lid_gaps_mm(default, shape)
    assert 5.0 < before["left"]["median"] < 15.0
    assert before["left"]["median"] == pytest.approx(before["right"]["median"], rel=0.1)
    # Every vertex that carries an eye point of the right eye goes to one place.
    for point in MEDIAPIPE_CURVES["right_eye"].points:
        if point in row:
            shape[corner[row[point]]] = [-30.0, 0.0, 0.0]
    after = lid_gaps_mm(default, shape)
    assert after["right"]["max"] < 1e-6
    assert after["left"] == before["left"]


def test_total_takes_the_worst_part_the_mean_and_only_heads_with_much_hidden():
    def row(head: str, quality: float, nose: float, hidden_share: float, hidden_mm: float):  # type: ignore[no-untyped-def]
        lost = dict.fromkeys(PARTS, 0.01) | {"nose": nose}
        return {
            "head": head, "quality": quality, "converged": True,
            "lost": lost, "lost_all": nose / 10,
            "surface_mm": 0.2, "surface95_mm": 0.5, "hidden_share": hidden_share,
            "hidden_mm": hidden_mm,
        }  # fmt: skip

    closed = row("c", 0.8, 0.0, 0.01, 9.0)
    closed["lid_gap_mm"] = {
        "right": {"median": 1.0, "max": 3.0},
        "left": {"median": 2.0, "max": 2.5},
    }
    rows = [row("a", 0.0, 0.7, 0.2, 4.0), row("b", 0.9, 0.2, 0.3, 2.0), closed]
    rows.append({"head": "d", "failure": "no_face: none"})
    found = total(rows)
    assert found["rejected"] == ["a"]
    assert found["failed"] == ["d"]
    assert found["lost_worst"]["nose"] == 0.7
    assert found["lost_all"] == pytest.approx(0.03)
    assert (found["hidden_mm"], found["much_hidden"]) == (3.0, 2)
    assert found["lid_gap_mm"] == {"c": 2.0}
    assert heads_figures({"total": found})["lid_gap_mm_high"] == 2.0
