"""Degenerate triangles and landmarks of other methods' meshes."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import pytest

from fg3d_builder.errors import CaptureError
from fg3d_builder.files.mesh_io import mesh_with_colors
from fg3d_builder.files.obj_writer import write_polygon_obj
from fg3d_builder.records import Array
from fg3d_builder.testsets.mesh_files import MeshLandmarks
from fg3d_builder.testsets.method_meshes import (
    degenerate_triangles,
    landmarks_at_vertices,
    read_method_mesh,
)


def sheet(side: int = 20) -> tuple[Array, Array]:
    x, y = (a.ravel().astype(float) for a in np.meshgrid(np.arange(side), np.arange(side)))
    corner = (np.arange(side - 1)[:, None] * side + np.arange(side - 1)).ravel()
    lower = np.stack([corner, corner + 1, corner + side + 1], axis=1)
    upper = np.stack([corner, corner + side + 1, corner + side], axis=1)
    return np.stack([x, y, 0 * x], axis=1), np.concatenate([lower, upper])


def test_triangles_without_area_are_found_in_any_unit() -> None:
    vertices, triangles = sheet()
    more = np.array([[3, 3, 7], [0, 1, 2], [5, 5, 5]])  # a vertex twice, a line, a point
    faces = np.concatenate([triangles, more])
    for scale in (1e-3, 1.0, 1e4):
        flat = degenerate_triangles(scale * vertices, faces)
        assert not flat[:-3].any()
        assert flat[-3:].all()


def test_a_thin_triangle_has_an_area() -> None:
    vertices = np.array([[0.0, 0, 0], [100, 0, 0], [50, 0.01, 0]])
    assert not degenerate_triangles(vertices, np.array([[0, 1, 2]])).any()


def test_a_few_are_named_and_many_refused(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    vertices, triangles = sheet()
    path = tmp_path / "a.obj"
    write_polygon_obj(path, vertices, triangles)
    with caplog.at_level(logging.WARNING, logger="fg3d"):
        read_method_mesh(path)
    assert not caplog.records
    count = len(triangles)
    write_polygon_obj(path, vertices, np.concatenate([triangles, [[0, 1, 2]]]))
    with caplog.at_level(logging.WARNING, logger="fg3d"):
        assert len(read_method_mesh(path).triangles) == count + 1
    (record,) = caplog.records
    said = f"1 of {count + 1} triangles have no area, the first is triangle {count} with the"
    assert said in record.getMessage()
    write_polygon_obj(path, vertices, np.concatenate([triangles, [[0, 1, 2]] * 20]))
    with pytest.raises(CaptureError, match=r"20 of .* at most 1% are allowed") as caught:
        read_method_mesh(path)
    assert caught.value.code == "bad_mesh"


def test_a_landmark_on_nothing_is_refused() -> None:
    vertices, triangles = sheet()
    vertices = np.concatenate([vertices, [[50.0, 0, 0], [60.0, 0, 0]]])
    loose, thin = len(vertices) - 2, len(vertices) - 1
    mesh = mesh_with_colors(vertices, np.concatenate([triangles, [[thin, 0, 1]]]))
    points = np.array([36, 39, 42])

    def read(*at: int) -> Array:
        landmarks = MeshLandmarks(points, np.array(at), False)
        return landmarks_at_vertices(landmarks, mesh, "theirs").points

    assert read(0, 5, 40).tolist() == vertices[[0, 5, 40]].tolist()
    for at, message in (
        (10**6, "landmark at vertex 1000000, the mesh has"),
        (loose, "which no triangle uses"),
        (thin, "whose triangles have no area"),
    ):
        with pytest.raises(CaptureError, match=message):
            read(0, 5, at)
