"""Pictures of full-view augmentation that can be checked without looking."""

from __future__ import annotations

import numpy as np

from fg3d_builder.fullview.image_mesh import ImageMesh
from fg3d_builder.fullview.render_view import RenderedView
from fg3d_builder.records import Capture
from fg3d_builder.rendering.fragments import Fragments
from fg3d_builder.report.fullview_sheet import (
    BACKGROUND,
    BACKGROUND_WIRE,
    BEYOND,
    LINING_WIRE,
    MEASURED,
    OUTLINE_WIRE,
    SEEN,
    SURROUND,
    UNSEEN,
    mask_picture,
    wire_picture,
)


def rendered(
    face: np.ndarray, trust: np.ndarray, beyond: np.ndarray, captured: int, surround: int
) -> RenderedView:
    shape = face.shape
    zero = np.zeros(shape, np.float32)
    nothing = Fragments(np.full(shape, -1, np.int32), np.zeros((*shape, 3), np.float32), zero)
    return RenderedView(
        rgb=np.zeros((*shape, 3), np.uint8),
        face=face,
        captured=np.arange(shape[1])[None] == captured,
        surround=np.arange(shape[1])[None] == surround,
        around_linear=np.zeros((*shape, 3), np.float32),
        face_unseen=face & (trust <= 0),
        trust=trust,
        covered=np.arange(shape[1])[None] < shape[1] - 1,
        depth_mm=zero,
        source_px=np.where(beyond, -1.0, 0.0)[..., None] * np.ones(2, np.float32),
        jacobian=np.zeros((*shape, 2, 2), np.float32),
        unit=1.0,
        picture_size=shape,
        fragments=nothing,
    )


def test_masks_have_the_colours_of_the_legend() -> None:
    face = np.array([[True, True, False, False, False, False, False]])
    trust = np.array([[1, 0, 0, 0, 0, 0, 0]], np.float32)
    beyond = np.array([[False, False, False, True, False, False, False]])
    picture = mask_picture(rendered(face, trust, beyond, captured=4, surround=5))
    wanted = [SEEN, UNSEEN, BACKGROUND, BEYOND, MEASURED, SURROUND, (0, 0, 0)]
    np.testing.assert_array_equal(picture[0], wanted)


def test_wires_lie_where_the_mesh_does() -> None:
    square = np.array([[100.0, 100], [200, 100], [200, 200], [100, 200]])
    around = np.array([[50.0, 50], [250, 50], [250, 250], [50, 250]])
    ring = np.array([[0, 4, 5], [5, 1, 0], [1, 5, 6], [6, 2, 1], [2, 6, 7], [7, 3, 2]])
    ring = np.concatenate([ring, [[3, 7, 4], [4, 0, 3]]])
    points = np.concatenate([square, around])
    mesh = ImageMesh(
        vertices_cam_mm=np.column_stack([points, np.ones(8)]),
        source_px=points,
        triangles=np.concatenate([[[0, 1, 2]], ring, [[0, 1, 2], [0, 2, 3]]]).astype(np.int32),
        face_triangle_count=1,
        background_triangle_count=8,
        face_vertex_count=4,
        outline=np.arange(4),
        border=np.arange(8) > 3,
        intrinsics=np.eye(3),
        image_size=(480, 300),
    )
    empty = np.zeros((480, 300, 3), np.uint8)
    capture = Capture("c", "s", "test", empty, np.zeros((480, 300), np.float32), np.eye(3))
    picture = wire_picture(capture, mesh, scale=1.0)
    # Smoothed lines are a little darker than their colour.
    np.testing.assert_allclose(picture[150, 100], OUTLINE_WIRE, atol=40)
    np.testing.assert_allclose(picture[50, 120], BACKGROUND_WIRE, atol=40)
    assert picture[150, 150].astype(int).sum() > 0.5 * sum(LINING_WIRE)
    assert not picture[300:].any()
