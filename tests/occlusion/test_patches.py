"""What is torn from the face is foreign; what merely differs from the template is not."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from toy_faces import HEIGHT, INTRINSICS, WIDTH, bump, make_scene

from fg3d_builder.facemodel.model import FaceModel
from fg3d_builder.occlusion.foreign import AT_START, REFINED, ForeignFinder
from fg3d_builder.occlusion.patches import patches_before
from fg3d_builder.occlusion.view import TemplateView, distance_from_face
from fg3d_builder.records import Array
from fg3d_builder.rendering.depth_surface import DepthSurface


def disc(column: int, row: int, radius: int) -> Array:
    mask = np.zeros((HEIGHT, WIDTH), np.uint8)
    cv2.circle(mask, (column, row), radius, 1, -1)
    return mask > 0


def finder_of(model: FaceModel, depth: Array) -> ForeignFinder:
    return ForeignFinder(model, DepthSurface.from_depth(depth, INTRINSICS))


@pytest.mark.parametrize("before_mm", [4.0, 8.0, 25.0])
@pytest.mark.parametrize("noise_mm", [0.0, 0.2])
def test_a_disc_before_the_face_is_found_and_nothing_else(
    model: FaceModel, before_mm: float, noise_mm: float
) -> None:
    scene = make_scene(model, model.mean, noise_mm=noise_mm)
    covered = disc(355, 250, 14)
    depth = np.where(covered, scene.capture.depth_mm - before_mm, scene.capture.depth_mm)
    finder = finder_of(model, depth)
    foreign = finder.find(scene.truth_cam_mm, REFINED)
    assert foreign[covered].mean() > 0.95
    assert foreign[~disc(355, 250, 15)].mean() < 1e-3
    wider = finder.widened(foreign, scene.truth_cam_mm)
    assert wider[covered].all()
    assert not wider[~disc(355, 250, 20)].any()


def test_relief_that_the_template_lacks_is_no_occluder(model: FaceModel) -> None:
    """Cheeks 6 mm fuller or hollower, and a 3DMM fit that is 3 mm off: all of it is face."""
    for sign in (1.0, -1.0):
        relief = sign * 6.0 * bump(model.mean, (28, -12), 16)
        shape = model.mean + relief[:, None] * [0.0, 0.0, 1.0]
        scene = make_scene(model, shape, noise_mm=0.2)
        template = scene.pose.cam_from_obj(model.mean) + np.array([0.5, 0.5, 3.0])
        on_face = np.isfinite(scene.capture.depth_mm)
        for test in (AT_START, REFINED):
            foreign = finder_of(model, scene.capture.depth_mm).find(template, test)
            assert foreign[on_face].mean() < 0.01


@pytest.mark.parametrize("longer_mm", [6.0, 12.0])
def test_a_nose_that_is_longer_than_the_templates_is_no_occluder(
    model: FaceModel, longer_mm: float
) -> None:
    """Steep on its sides, 6 to 12 mm before the template: the depth is not torn."""
    relief = longer_mm * bump(model.mean, (0, -4), 10)
    scene = make_scene(model, model.mean + relief[:, None] * [0.0, 0.0, 1.0])
    template = scene.pose.cam_from_obj(model.mean)
    for test in (AT_START, REFINED):
        foreign = finder_of(model, scene.capture.depth_mm).find(template, test)
        assert foreign.sum() == 0


def test_skin_beside_something_torn_is_no_part_of_it(model: FaceModel) -> None:
    """A cheek 4 mm fuller than the template, half of it behind a finger."""
    relief = 4.0 * bump(model.mean, (28, -12), 22)
    scene = make_scene(model, model.mean + relief[:, None] * [0.0, 0.0, 1.0])
    finger = np.zeros((HEIGHT, WIDTH), bool)
    finger[200:300, 355:372] = True
    depth = np.where(finger, scene.capture.depth_mm - 12.0, scene.capture.depth_mm)
    template = scene.pose.cam_from_obj(model.mean)
    foreign = finder_of(model, depth).find(template, REFINED)
    inner = finger & np.isfinite(depth)
    assert foreign[inner].mean() > 0.95
    assert foreign[~finger].sum() < 0.02 * inner.sum()


def test_depth_behind_the_face_is_foreign_where_the_surface_is_torn(model: FaceModel) -> None:
    scene = make_scene(model, model.mean)
    hole = disc(300, 330, 12)
    depth = np.where(hole, scene.capture.depth_mm + 25.0, scene.capture.depth_mm)
    foreign = finder_of(model, depth).find(scene.truth_cam_mm, REFINED)
    assert foreign[hole].mean() > 0.95


def test_no_depth_below_the_template_is_no_fault(model: FaceModel) -> None:
    scene = make_scene(model, model.mean)
    aside = scene.truth_cam_mm + np.array([900.0, 0.0, 0.0])
    assert not finder_of(model, scene.capture.depth_mm).find(aside, AT_START).any()


def test_a_dark_lens_in_a_frame_that_is_known_is_found_with_it(model: FaceModel) -> None:
    """The frame, told by its colour, is all of the lens's outline."""
    scene = make_scene(model, model.mean, noise_mm=0.1)
    lens, frame = disc(350, 250, 22), disc(350, 250, 26)
    frame &= ~lens
    depth = scene.capture.depth_mm - 6.0 * lens - 6.5 * frame
    surface = DepthSurface.from_depth(depth, INTRINSICS)
    view = TemplateView.of(surface, scene.truth_cam_mm, model.triangles)
    assert view is not None
    distance = distance_from_face(
        surface, view, scene.truth_cam_mm, model.triangles, REFINED.outline_mm
    )
    found = patches_before(view, distance, REFINED, frame[view.box])
    assert found[lens[view.box]].mean() > 0.95
    assert not found[~disc(350, 250, 27)[view.box]].any()
