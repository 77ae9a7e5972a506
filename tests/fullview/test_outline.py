"""The outline against the border of the rendered mask, for many poses."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import toy_models

from fg3d_builder.errors import CaptureError
from fg3d_builder.facemodel.regions import signed_distance
from fg3d_builder.fullview.outline import face_outline, polygon_area
from fg3d_builder.geometry.camera import intrinsics_matrix, px_from_cam
from fg3d_builder.geometry.pose import rotation_from_angles
from fg3d_builder.rendering.rasterizer import rasterize

CAMERA = intrinsics_matrix(700.0, 700.0, 159.5, 159.5)
SIZE = 320


@pytest.mark.parametrize(
    "angles", [(0, 0, 0), (0, 40, 0), (-20, -55, 12), (25, 15, -8), (-30, 0, 0), (10, 80, 0)]
)
def test_outline_is_the_border_of_what_faces_the_camera(angles: tuple[float, ...]) -> None:
    model = toy_models.toy_model()
    vertices = model.mean @ rotation_from_angles(*angles).T + [0.0, 0.0, 700.0]
    outline = face_outline(vertices, model.triangles, CAMERA)
    seen = rasterize(vertices, model.triangles, CAMERA, SIZE, SIZE).triangle >= 0
    pixels = np.random.default_rng(0).integers(0, SIZE, (4000, 2))
    near = np.argwhere(cv2.Laplacian(seen.astype(np.uint8), cv2.CV_8U) > 0)[::2, ::-1]
    pixels = np.concatenate([pixels, near])
    distance = signed_distance(pixels.astype(float), outline.points_px)
    # The rasteriser snaps corners to 1/256 pixel.
    clear = np.abs(distance) > 0.02
    assert clear.mean() > 0.98
    np.testing.assert_array_equal((distance > 0)[clear], seen[pixels[:, 1], pixels[:, 0]][clear])
    assert abs(polygon_area(outline.points_px) - seen.sum()) < 0.004 * seen.sum()


@pytest.mark.parametrize("yaw", [0.0, 35.0, -60.0])
def test_corners_lie_on_the_mesh(yaw: float) -> None:
    model = toy_models.toy_model()
    vertices = model.mean @ rotation_from_angles(5.0, yaw, 3.0).T + [0.0, 0.0, 500.0]
    outline = face_outline(vertices, model.triangles, CAMERA)
    shared = outline.vertex >= 0
    assert shared.mean() > 0.9
    assert len(np.unique(outline.vertex[shared])) == shared.sum()
    np.testing.assert_array_equal(
        outline.points_px[shared], px_from_cam(vertices[outline.vertex[shared]], CAMERA)
    )
    np.testing.assert_array_equal(outline.depth_mm[shared], vertices[outline.vertex[shared], 2])
    assert np.all(np.isfinite(outline.depth_mm))


def test_a_face_that_looks_away_has_none() -> None:
    model = toy_models.toy_model()
    front = model.triangles[(model.mean[model.triangles, 2] > 40.0).all(axis=1)]
    turned = model.mean @ rotation_from_angles(0.0, 180.0, 0.0).T + [0.0, 0.0, 500.0]
    with pytest.raises(CaptureError, match="looks at the camera"):
        face_outline(turned, front, CAMERA)
    with pytest.raises(CaptureError, match="behind the camera"):
        face_outline(turned - [0.0, 0.0, 500.0], front, CAMERA)


@pytest.mark.parametrize(
    ("noise_mm", "seed"),
    [(0.1, 12), (0.1, 94), (0.4, 5), (0.4, 56), (0.4, 112), (1.5, 22), (1.5, 60), (3.0, 10)],
)
def test_rough_surfaces_are_walked_around_once(noise_mm: float, seed: int) -> None:
    """Crossings at flat angles turn nobody back; triangles that hang by a vertex are left out."""
    rng = np.random.default_rng(seed)
    model = toy_models.toy_model()
    angles = rng.uniform([-25, -60, -20], [25, 60, 20])
    shape = model.mean + noise_mm * rng.standard_normal(model.mean.shape)
    vertices = shape @ rotation_from_angles(*angles).T + np.array([0.0, 0.0, 600.0])
    camera = intrinsics_matrix(900.0, 900.0, 199.5, 199.5)
    outline = face_outline(vertices, model.triangles, camera)
    known = outline.vertex[outline.vertex >= 0]
    assert len(np.unique(known)) == len(known)
    assert len(np.unique(np.round(outline.points_px, 5), axis=0)) == len(outline.points_px)
    seen = rasterize(vertices, model.triangles, camera, 400, 400).triangle >= 0
    # The polygon also holds what the rough surface hides at its rim.
    assert polygon_area(outline.points_px) == pytest.approx(seen.sum(), rel=0.02)
