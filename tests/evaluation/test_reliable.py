from __future__ import annotations

import numpy as np
import pytest
import trimesh
from random_meshes import bumpy_sphere

from fg3d_builder.evaluation import (
    ScanSurface,
    ScanVertices,
    border_vertices,
    reliable_correspondence,
)


class _Scene:
    """A sphere as registered template, the same one as scan, and what is made wrong with it."""

    def __init__(self) -> None:
        sphere = trimesh.creation.icosphere(3, radius=50.0)
        self.vertices = np.array(sphere.vertices)
        self.faces = np.array(sphere.faces)
        self.normals = self.vertices / 50.0
        self.everything = np.ones(len(self.vertices), bool)

    def found(self, vertices: np.ndarray, normals: np.ndarray, **options: float) -> np.ndarray:
        scan = ScanSurface(self.vertices, self.faces)
        pairs = reliable_correspondence(
            vertices, normals, scan, self.normals, self.everything, **options
        )
        return np.isin(np.arange(len(vertices)), pairs.source.vertex_index)


def test_everything_is_reliable_where_both_are_the_same() -> None:
    scene = _Scene()
    assert scene.found(scene.vertices, scene.normals).all()


def test_vertices_away_from_the_scan_are_left_out() -> None:
    scene = _Scene()
    away = np.linspace(0, 6, len(scene.vertices))
    kept = scene.found(scene.vertices + away[:, None] * scene.normals, scene.normals)
    np.testing.assert_array_equal(kept, away <= 3.0)
    kept = scene.found(
        scene.vertices + away[:, None] * scene.normals, scene.normals, max_distance_mm=5.0
    )
    np.testing.assert_array_equal(kept, away <= 5.0)


def test_vertices_whose_normals_disagree_are_left_out() -> None:
    scene = _Scene()
    angle = np.linspace(0, 180, len(scene.vertices))
    side = np.cross(scene.normals, [0.3, 0.5, 0.8])
    side /= np.linalg.norm(side, axis=1, keepdims=True)
    turn = np.radians(angle)[:, None]
    turned = np.cos(turn) * scene.normals + np.sin(turn) * side
    np.testing.assert_array_equal(scene.found(scene.vertices, turned), angle <= 30.0)
    turned[5] = 0.0  # a vertex without triangles has no normal to agree
    turned[6] = np.nan
    assert not scene.found(scene.vertices, turned)[[5, 6]].any()


def test_only_the_face_is_asked_and_holes_have_no_rim() -> None:
    scene = _Scene()
    face = scene.vertices[:, 2] > 0
    kept_faces = scene.faces[~(scene.vertices[scene.faces] @ [0, 0, 1] > 40).all(axis=1)]
    rim = border_vertices(kept_faces, len(scene.vertices))
    scan = ScanSurface(scene.vertices, kept_faces)
    arguments = (scene.vertices, scene.normals, scan, scene.normals, face)
    with_rim = reliable_correspondence(*arguments).source.vertex_index
    without = reliable_correspondence(*arguments, rim).source.vertex_index
    assert face[with_rim].all()
    assert not rim[without].any()
    np.testing.assert_array_equal(without, np.setdiff1d(with_rim, np.flatnonzero(rim)))
    # Within the hole, more than the distance threshold from its rim, there is nothing.
    assert scene.vertices[with_rim, 2].max() < 45.0


def test_targets_are_the_closest_points() -> None:
    template, scan_mesh = bumpy_sphere(1, 2), bumpy_sphere(1, 4)
    everything = np.ones(len(template.vertices), bool)
    for scan in (
        ScanSurface(scan_mesh.vertices, scan_mesh.faces),
        ScanVertices(scan_mesh.vertices),
    ):
        pairs = reliable_correspondence(
            template.vertices,
            template.vertex_normals,
            scan,
            scan_mesh.vertex_normals,
            everything,
            max_normal_deg=60.0,
        )
        source = pairs.source.points(template.vertices)
        target = pairs.target.points(scan_mesh.vertices)
        expected = scan.closest(source).points_mm
        np.testing.assert_allclose(target, expected, atol=1e-9)
        assert len(pairs.source) > 0.9 * len(template.vertices)


def test_an_empty_set_and_what_does_not_fit_are_refused() -> None:
    scene = _Scene()
    scan = ScanVertices(scene.vertices)
    good = [scene.vertices, scene.normals, scan, scene.normals, scene.everything]
    with pytest.raises(ValueError, match="set C is empty: of 642 face"):
        reliable_correspondence(scene.vertices + 500.0, *good[1:])
    with pytest.raises(ValueError, match="set C is empty: of 0 face"):
        reliable_correspondence(*good[:4], ~scene.everything)
    for place, name in ((1, "registered_normals"), (3, "scan_normals"), (4, "face")):
        bad = list(good)
        bad[place] = bad[place][:-1]
        with pytest.raises(ValueError, match=name):
            reliable_correspondence(*bad)
    broken = scene.vertices.copy()
    broken[7] = np.nan
    with pytest.raises(ValueError, match="not finite"):
        reliable_correspondence(broken, *good[1:])


def test_border_of_a_square_with_a_hole() -> None:
    corner = np.arange(25).reshape(5, 5)
    quads = [(r, c) for r in range(4) for c in range(4) if not (1 <= r <= 2 and 1 <= c <= 2)]
    faces = []
    for r, c in quads:
        a, b, d, e = corner[r, c], corner[r, c + 1], corner[r + 1, c + 1], corner[r + 1, c]
        faces += [(a, b, d), (a, d, e)]
    border = border_vertices(np.array(faces, dtype=np.int32), 26)
    expected = np.ones((5, 5), bool)
    expected[2, 2] = False  # in the hole's middle, used by nothing
    np.testing.assert_array_equal(border[:25].reshape(5, 5), expected)
    assert not border[25]
    closed = trimesh.creation.icosphere(2)
    assert not border_vertices(np.array(closed.faces), len(closed.vertices)).any()
