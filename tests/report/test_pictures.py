"""Pictures: what is drawn is where it belongs and has the colour that it means."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import trimesh
from lit_faces import registration_of
from toy_build import INTRINSICS, build_model, toy_capture

from fg3d_builder.errors import CaptureError
from fg3d_builder.facemodel.model import FaceModel
from fg3d_builder.files.mesh_io import write_mesh
from fg3d_builder.geometry.camera import px_from_cam
from fg3d_builder.geometry.pose import rotation_from_angles
from fg3d_builder.records import Array, Capture, Landmarks, Pose
from fg3d_builder.rendering.rasterizer import rasterize
from fg3d_builder.report.pictures import (
    MAX_ERROR_MM,
    NO_VALUE,
    Window,
    depth_picture,
    error_picture,
    image_picture,
    landmark_picture,
    overlay_picture,
    side_picture,
    view_of_points,
    whole_view,
)
from fg3d_builder.report.sheets import distance_mesh, failure_sheet


@pytest.fixture(scope="module")
def model() -> FaceModel:
    return build_model()


@pytest.fixture(scope="module")
def capture(model: FaceModel) -> Capture:
    return toy_capture(model, 0, 0)


@pytest.fixture(scope="module")
def vertices(model: FaceModel) -> Array:
    pose = Pose(1.0, rotation_from_angles(0, 0, 0), np.array([0.0, 0.0, 550.0]))
    return pose.cam_from_obj(model.mean)


def test_view_agrees_with_a_camera_of_the_same_box() -> None:
    view = Window(40.2, 17.9, 2.5, 300, 300)
    points = np.random.default_rng(0).uniform([-50, -50, 400], [50, 50, 600], (20, 3))
    through_view = view.points(px_from_cam(points, INTRINSICS))
    through_camera = px_from_cam(points, view.view_from_px @ INTRINSICS)
    np.testing.assert_allclose(through_view, through_camera, atol=1e-9)


@pytest.mark.parametrize("factor", [0.4, 1.0, 3.0])
def test_image_lies_where_points_lie(factor: float) -> None:
    x, y = np.meshgrid(np.arange(200.0), np.arange(160.0))
    spot = np.array([93.3, 71.8])
    bell = 250 * np.exp(-((x - spot[0]) ** 2 + (y - spot[1]) ** 2) / (2 * 6.0**2))
    image = np.repeat(np.rint(bell).astype(np.uint8)[..., None], 3, axis=2)
    view = Window(60.0, 40.0, factor, round(70 * factor), round(70 * factor))
    picture = view.image(image)[..., 0].astype(float)
    column, row = np.meshgrid(*(np.arange(float(n)) for n in picture.shape[::-1]))
    centre = [(picture * column).sum() / picture.sum(), (picture * row).sum() / picture.sum()]
    np.testing.assert_allclose(centre, view.points(spot), atol=0.1)


def test_view_of_points_holds_them_all() -> None:
    points = np.array([[10.0, 20.0], [90.0, 60.0], [np.nan, 0.0]])
    view = view_of_points(points, margin=1.5, height=240)
    inside = view.points(points[:2])
    np.testing.assert_allclose(inside.mean(axis=0), [119.5, 119.5])
    assert np.ptp(inside[:, 0]) == pytest.approx(240 / 1.5)
    with pytest.raises(ValueError, match="no finite point"):
        view_of_points(points[2:])


def test_depth_colours_run_from_red_to_blue_and_grey_is_unknown() -> None:
    depth = np.tile(np.linspace(500, 600, 200, dtype=np.float32), (150, 1))
    depth[:, 100:110] = np.nan
    picture = depth_picture(depth, range_mm=(500.0, 600.0)).astype(int)
    near, far = picture[40, 2:60].mean(axis=0), picture[40, 180:195].mean(axis=0)
    assert near[0] > near[2] + 60
    assert far[2] > far[0] + 60
    assert np.ptp(picture[40, 102:108]) == 0


def test_depth_that_is_not_there() -> None:
    assert depth_picture(np.full((50, 400), np.nan, np.float32)).shape == (50, 400, 3)


def test_landmarks_are_drawn_at_their_places(capture: Capture) -> None:
    dark = dataclasses.replace(capture, rgb=np.zeros_like(capture.rgb))
    points = np.array([[100.3, 80.7], [160.0, 120.0], [220.0, 50.0]])
    landmarks = Landmarks("x", points, np.array([1.0, 0.1, 0.0]), "test")
    view = whole_view(dark, 480)
    picture = landmark_picture(dark, landmarks, view).astype(int)
    sure, unsure, unused = (picture[round(y), round(x)] for x, y in view.points(points))
    assert sure[1] > 200 > 100 > sure[0]
    assert unsure[0] > 200 > 100 > unsure[1]
    assert np.ptp(unused) == 0
    assert unused[0] > 100


def test_overlay_covers_the_mesh_and_nothing_else(
    model: FaceModel, capture: Capture, vertices: Array
) -> None:
    view = whole_view(capture, 240)
    plain = image_picture(capture, view)
    picture = overlay_picture(capture, vertices, model.triangles, view=view)
    covered = rasterize(vertices, model.triangles, INTRINSICS, 240, 320).triangle >= 0
    changed = np.any(picture != plain, axis=2)
    assert not changed[~covered].any()
    assert changed[covered].mean() > 0.98


def test_unseen_vertices_are_blue_and_seen_ones_have_the_colour_of_skin(model: FaceModel) -> None:
    half = (model.mean[:, 0] > 0).astype(float)
    picture = side_picture(model.mean, model.triangles, yaws_deg=(0.0,), height=240, seen=half)
    middle = picture[110:130].astype(int)
    right, left = middle[:, 140:160].mean(axis=(0, 1)), middle[:, 80:100].mean(axis=(0, 1))
    assert right[0] > right[2]
    assert left[2] > left[0]


def test_error_colours(model: FaceModel, capture: Capture, vertices: Array) -> None:
    error = np.where(model.mean[:, 0] > 0, 3.0, 0.1)
    error[model.mean[:, 1] < -40] = np.nan
    view = whole_view(capture, 240)
    picture = error_picture(capture, vertices, model.triangles, error, view=view).astype(int)
    high, low = picture[100:120, 190], picture[100:120, 130]
    assert (high[:, 0] > high[:, 2] + 50).all()
    assert (low[:, 2] > low[:, 0] + 20).all()
    unknown = picture[175, 160]
    ratio = unknown / np.array(NO_VALUE)
    np.testing.assert_allclose(ratio, ratio.mean(), atol=0.02)  # grey, shaded


def test_side_picture_shows_the_profile(model: FaceModel) -> None:
    picture = side_picture(model.mean, model.triangles, height=200)
    assert picture.shape == (200, 600, 3)
    paper = np.all(picture == 250, axis=2)
    # Seen from the side, the nose is the foremost point of the face: image right.
    rows = np.argmax(~paper[30:, 400:][:, ::-1], axis=1)
    found = np.flatnonzero(rows == rows[rows > 0].min()) + 30
    nose = (
        100
        - 0.92
        * 200
        * (
            model.mean[np.argmax(model.mean[:, 2]), 1]
            - (model.mean[:, 1].max() + model.mean[:, 1].min()) / 2
        )
        / np.ptp(model.mean, axis=0).max()
    )
    assert abs(found.mean() - nose) < 6


@pytest.mark.parametrize(("rows", "columns"), [(1, 4000), (4000, 1), (9, 3000), (700, 11)])
def test_the_picture_of_a_strip_is_no_strip(rows: int, columns: int) -> None:
    """Of an image of one row, a picture 480 pixels high would have two million columns."""
    rgb = np.full((rows, columns, 3), (200, 40, 30), np.uint8)
    depth = np.full((rows, columns), 500.0, np.float32)
    strip = Capture("strip", "s", "test", rgb, depth, INTRINSICS)
    view = whole_view(strip, 480)
    assert (view.height, view.width) == (480, 4 * 480 if columns > rows else 120)
    middle = view.points(np.array([(columns - 1) / 2, (rows - 1) / 2]))
    np.testing.assert_allclose(middle, [(view.width - 1) / 2, 239.5])
    red = np.count_nonzero(image_picture(strip, view)[..., 0] > 100)
    drawn = min(rows * view.factor, 480) * min(columns * view.factor, view.width)
    assert 0.8 * drawn < red < 2.5 * drawn
    sheet = failure_sheet(strip, CaptureError("no_face", "no face"))
    assert max(sheet.shape) < 6000


def test_the_mesh_of_a_capture_has_the_distances_as_colours_and_is_in_metres(
    model: FaceModel, vertices: Array, tmp_path: Path
) -> None:
    count = model.vertex_count
    pose = Pose(1.0, rotation_from_angles(0, 0, 0), np.array([0.0, 0.0, 550.0]))
    found = registration_of(model, vertices, pose, np.arange(count) % 5 > 0)
    distance = np.where(np.arange(count) % 2, MAX_ERROR_MM + 1.0, 0.0)
    write_mesh(
        tmp_path / "a.glb",
        distance_mesh(model, dataclasses.replace(found, surface_error_mm=distance)),
    )
    mesh = trimesh.load(tmp_path / "a.glb", force="mesh", process=False)
    np.testing.assert_allclose(mesh.vertices * 1000, model.mean, atol=1e-3)
    np.testing.assert_array_equal(mesh.faces, model.triangles)
    red, _, blue = np.asarray(mesh.visual.vertex_colors)[:, :3].astype(int).T
    hidden = np.arange(count) % 5 == 0
    assert np.all(np.abs(red[hidden] - blue[hidden]) < 12)  # grey
    assert np.all(red[~hidden & (distance > 0)] > blue[~hidden & (distance > 0)] + 50)
    assert np.all(blue[~hidden & (distance == 0)] > red[~hidden & (distance == 0)] + 50)
