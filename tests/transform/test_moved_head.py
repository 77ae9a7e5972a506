"""The head around a face that gets a new shape: it moves as the picture does."""

from __future__ import annotations

import functools
from dataclasses import replace
from typing import NamedTuple

import cv2
import numpy as np
import pytest
from head_scene import CONFIG, INTRINSICS, HeadScene, Look, head_scene

from fg3d_builder.config import TextureConfig
from fg3d_builder.fullview.head_layers import HeadLayers
from fg3d_builder.fullview.image_mesh import image_mesh
from fg3d_builder.fullview.render_view import render_view
from fg3d_builder.fullview.source import Source
from fg3d_builder.fullview.texture_fit import fit_texture
from fg3d_builder.geometry.camera import px_from_cam
from fg3d_builder.records import Array
from fg3d_builder.transform.before_face import before_face
from fg3d_builder.transform.target_shape import TargetShape
from fg3d_builder.transform.transformed import Transformed, transform_capture

SOLVER = "cholmod"
HAIRY, STRIPED = Look(702, 0.0, 8.0), Look(702, 0.0, 8.0, False, 60.0)


class Moved(NamedTuple):
    scene: HeadScene
    head: HeadLayers
    made: Transformed


@functools.lru_cache(maxsize=4)
def moved(look: Look, wider: float) -> Moved:
    """A face that is so many times wider, in a picture whose colours tell the place.

    Red grows to the right and green downwards; nothing is known of its light.
    """
    scene = head_scene(look)
    given = (scene.model, scene.capture, scene.registration)
    texture = fit_texture(*given, TextureConfig())
    mesh = image_mesh(*given, CONFIG, SOLVER)
    head = HeadLayers.of(*given, texture.light, CONFIG, SOLVER)
    before = before_face(*given, CONFIG, head.measured)
    height, width = scene.capture.depth_mm.shape
    rgb = np.zeros((height, width, 3), np.uint8)
    rgb[..., 0], rgb[..., 1] = np.arange(width) * 0.7, np.arange(height)[:, None] * 0.7
    shape = scene.registration.shape_obj_mm * [wider, 1.0, 1.0]
    target = TargetShape(
        shape, scene.registration.alpha_id, np.zeros(len(scene.model.exp_sd)),
        np.ones(len(shape)), 1.0, 0.0,
    )  # fmt: skip
    made = transform_capture(
        scene.model, replace(scene.capture, rgb=rgb), scene.registration, mesh, texture, before,
        target, SOLVER, head,
    )  # fmt: skip
    assert made is not None
    return Moved(scene, head, made)


@pytest.mark.parametrize("look", [HAIRY, STRIPED])
def test_a_face_that_stays_moves_nothing(look: Look) -> None:
    _, head, made = moved(look, 1.0)
    assert made.head is not None
    for was, now in (
        (head.face_cam_mm, made.head.face_cam_mm),
        (head.captured.vertices_cam_mm, made.head.captured.vertices_cam_mm),
        (head.surround_cam_mm, made.head.surround_cam_mm),
    ):
        np.testing.assert_allclose(now, was, atol=0.01)


@pytest.mark.parametrize("look", [HAIRY, STRIPED])
def test_what_was_measured_is_where_the_new_picture_shows_it(look: Look) -> None:
    scene, head, made = moved(look, 1.06)
    assert made.head is not None
    was, now = (
        px_from_cam(layers.captured.vertices_cam_mm, INTRINSICS) for layers in (head, made.head)
    )
    height, width = scene.capture.depth_mm.shape
    inside = ((now > 1) & (now < [width - 2, height - 2])).all(axis=1)
    inside &= ((was > 1) & (was < [width - 2, height - 2])).all(axis=1) & ~head.captured.edge
    # The face has another light now, and with it other colours.
    column, row = np.rint(np.clip(was, 0, [width - 1, height - 1])).astype(int).T
    inside &= ~scene.parts[1][row, column]
    x, y = now[inside].astype(np.float32).T
    color = cv2.remap(made.capture.rgb, x[None], y[None], cv2.INTER_LINEAR)[0].astype(float)
    off = np.linalg.norm(color[:, :2] / 0.7 - was[inside], axis=1)
    assert np.linalg.norm(now - was, axis=1)[inside].max() > 3.0
    # A level of grey is one and a half pixels.
    assert np.quantile(off, 0.99) < 2.5
    if look.strip_mm:
        strip = head.captured.before[inside]
        assert strip.sum() > 100
        assert np.quantile(off[strip], 0.95) < 2.5


def test_the_surround_stays_joined_to_the_face() -> None:
    scene, head, made = moved(HAIRY, 1.06)
    surround = scene.model.surround
    assert surround is not None
    assert made.head is not None

    def below(layers: HeadLayers, face: Array) -> Array:
        under = surround.attached(face, scene.model.triangles)
        return np.asarray(layers.surround_cam_mm[surround.skirt] - under)

    was = below(head, scene.registration.vertices_cam_mm)
    now = below(made.head, made.registration.vertices_cam_mm)
    np.testing.assert_allclose(now, was, atol=0.05)
    # The back of the head, which nobody saw, is hardly another one.
    crown = np.argmax(surround.mean[:, 1])
    step = made.head.surround_cam_mm - head.surround_cam_mm
    assert np.linalg.norm(step[crown]) < 2.0


def test_a_turned_view_of_the_new_face_has_the_captured_head_around_it() -> None:
    """Hair and clothes cover as many pixels, in the same places, as about the captured face."""
    scene, head, made = moved(HAIRY, 1.06)
    camera = scene.camera(0.0, 30.0)
    drawn = []
    for given in (
        (scene.capture, scene.registration, image_mesh_of(scene), head),
        (made.capture, made.registration, made.mesh, made.head),
    ):
        capture, registration, mesh, layers = given
        source = Source.of(scene.model, capture, registration, mesh, None, CONFIG, SOLVER, layers)
        view = render_view(source, camera, CONFIG)
        drawn.append(view.face | view.captured | view.surround)
    both, either = drawn[0] & drawn[1], drawn[0] | drawn[1]
    assert both.sum() > 0.95 * either.sum()


def image_mesh_of(scene: HeadScene):  # type: ignore[no-untyped-def]
    return image_mesh(scene.model, scene.capture, scene.registration, CONFIG, SOLVER)
