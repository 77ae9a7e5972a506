"""Turned synthetic captures against renderings of the same scene, turned."""

from __future__ import annotations

import dataclasses
from typing import NamedTuple

import cv2
import numpy as np
import pytest

from fg3d_builder.captures.sensor import capture_generator
from fg3d_builder.captures.synthetic import (
    Scene,
    Subject,
    draw_scene,
    draw_subject,
    render_capture,
)
from fg3d_builder.config import FullViewConfig, SensorConfig, SourceConfig, TextureConfig
from fg3d_builder.facemodel.model import FaceModel
from fg3d_builder.fullview.augment import finished_view, view_mesh
from fg3d_builder.fullview.render_view import RenderedView, render_view
from fg3d_builder.fullview.source import Source
from fg3d_builder.fullview.texture_fit import fit_texture
from fg3d_builder.fullview.views import ViewCamera, schedule, view_camera
from fg3d_builder.geometry.crop import crop_image
from fg3d_builder.heads.library import default_model
from fg3d_builder.records import Array, Capture, CoarseFit, Pose, Registration

SOURCE = SourceConfig(max_yaw_deg=8.0, sensor=SensorConfig("structured_light"))
SIZE = 256


class Photographed(NamedTuple):
    """A subject of the population, and a capture of it."""

    subject: Subject
    scene: Scene
    capture: Capture


def photographed(seed: int) -> Photographed:
    subject = draw_subject(seed)
    scene = draw_scene(SOURCE, subject, 0, capture_generator(seed, "truth", "scene"))
    return Photographed(subject, scene, render_capture(SOURCE, subject, scene, "truth", "truth"))


def true_view(made: Photographed, camera: ViewCamera) -> Array:
    """The picture (S, S, 3) that a camera takes of the scene, turned with its light."""
    pose = made.scene.pose
    turned = dataclasses.replace(
        made.scene,
        pose=Pose(1.0, camera.rotation @ pose.rotation, camera.view_from_cam(pose.translation_mm)),
        light=dataclasses.replace(
            made.scene.light, direction=camera.rotation @ made.scene.light.direction
        ),
    )
    still = dataclasses.replace(SOURCE, sensor=SensorConfig("none"))
    seen = render_capture(still, made.subject, turned, "view", "truth")
    return crop_image(seen.rgb, camera.px_crop_from_px, SIZE)


def true_registration(model: FaceModel, made: Photographed) -> tuple[Registration, CoarseFit]:
    truth = made.capture.truth
    assert truth is not None
    shape = truth.shape_obj_mm.astype(np.float64)
    zero = np.zeros(0)
    registration = Registration(
        topology_hash=model.topology_hash,
        vertices_cam_mm=truth.pose.cam_from_obj(shape),
        pose=truth.pose,
        shape_obj_mm=shape,
        coarse_obj_mm=shape,
        alpha_id=zero,
        alpha_exp=zero,
        visible=truth.visible,
        confidence=truth.visible.astype(float),
        surface_error_mm=np.zeros(len(shape)),
        landmark_error_px=0.0,
        quality=1.0,
        converged=True,
    )
    return registration, CoarseFit(zero, zero, truth.pose, shape, 0.0, 0.0, True, 1)


def decibel(picture: Array, truth: Array, where: Array) -> float:
    error = picture[where].astype(float) - truth[where]
    return float(10 * np.log10(255.0**2 / np.mean(error**2)))


@pytest.mark.slow
@pytest.mark.parametrize("seed", [31337, 31338, 31339])
def test_full_view_is_nearer_to_the_truth_than_profiling(seed: int) -> None:
    model = default_model()
    made = photographed(seed)
    registration, initial = true_registration(model, made)
    texture = fit_texture(model, made.capture, registration, TextureConfig())

    capture = made.capture
    given = (model, registration, initial, capture.intrinsics)
    turns = schedule(registration.pose, FullViewConfig())
    cameras = [view_camera(*given, turn, 1.25, SIZE) for turn in turns]

    def views(method: str) -> list[tuple[RenderedView, Array]]:
        config = FullViewConfig(method=method)
        mesh = view_mesh(model, capture, registration, config)
        source = Source.of(model, capture, registration, mesh, texture, config)
        rendered = [render_view(source, camera, config) for camera in cameras]
        return [
            (seen, finished_view(source, camera, seen, texture, config).rgb)
            for camera, seen in zip(cameras, rendered, strict=True)
        ]

    both = zip(views("full_view"), views("face_profiling"), strict=True)
    for camera, ((seen, full), (_, profiling)) in zip(cameras, both, strict=True):
        truth = true_view(made, camera)
        # A pixel at the face's outline shows two things in the truth, and either in a view.
        inside = cv2.erode(seen.face.astype(np.uint8), np.ones((5, 5), np.uint8)) > 0
        gain = decibel(full, truth, inside) - decibel(profiling, truth, inside)
        if camera.turn.yaw_deg:
            assert gain > 0.0
        if abs(camera.turn.yaw_deg) > 40:
            exposed = decibel(profiling, truth, seen.face_unseen)
            assert decibel(full, truth, seen.face_unseen) > exposed + 2.0
        # Where the picture shows the face, both are as near to the truth as resampling allows.
        assert decibel(full, truth, inside & (seen.trust > 0.99)) > 33.0
