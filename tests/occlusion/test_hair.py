"""Hair is told by its colour and by standing off the skin; brows and shadows are not hair."""

from __future__ import annotations

import dataclasses

import cv2
import numpy as np
import pytest
from toy_faces import HEIGHT, INTRINSICS, WIDTH, Scene, make_scene

from fg3d_builder.facemodel.model import PARTS, FaceModel
from fg3d_builder.geometry.camera import px_from_cam
from fg3d_builder.occlusion.foreign import AT_START, ForeignFinder
from fg3d_builder.records import Array
from fg3d_builder.rendering.depth_surface import DepthSurface
from fg3d_builder.rendering.shading import srgb_from_linear

PALE, BROWN, DARK = (0.62, 0.42, 0.32), (0.33, 0.19, 0.12), (0.09, 0.05, 0.035)
BLACK_HAIR, BLOND_HAIR = (0.012, 0.011, 0.012), (0.30, 0.26, 0.14)


@pytest.fixture(scope="module")
def face(model: FaceModel) -> FaceModel:
    """The toy face with cheeks and a nose to learn the skin from."""
    parts = np.zeros(len(model.mean), np.uint8)
    x, y = model.mean[:, 0], model.mean[:, 1]
    parts[(np.abs(x) > 15) & (np.abs(x) < 45) & (y > -40) & (y < 10)] = PARTS.index("cheeks")
    parts[(np.abs(x) < 12) & (np.abs(y) < 22)] = PARTS.index("nose")
    return dataclasses.replace(model, parts=parts)


def picture(scene: Scene, skin: tuple[float, ...], spots: list[tuple[Array, tuple[float, ...]]]):
    """A lit face of one skin colour with spots (H, W) of other colours; a little noise."""
    surface = DepthSurface.from_depth(scene.capture.depth_mm, INTRINSICS)
    light = np.clip(0.35 - 0.65 * np.nan_to_num(surface.normals_cam[..., 2]), 0.2, 1.0)
    colour = np.broadcast_to(np.array(skin), (HEIGHT, WIDTH, 3)).copy()
    for mask, of in spots:
        colour[mask] = of
    noise = np.random.default_rng(3).normal(1.0, 0.05, colour.shape)
    return srgb_from_linear(colour * light[..., None] * noise)


def row_of(scene: Scene, y_obj: float) -> int:
    point = scene.pose.cam_from_obj(np.array([[0.0, y_obj, 30.0]]))
    return round(float(px_from_cam(point, INTRINSICS)[0, 1]))


def with_hair(scene: Scene, above_mm: float) -> tuple[Array, Array]:
    """Hair over the upper forehead and beside it: its mask, and the depth with it."""
    hair = np.zeros((HEIGHT, WIDTH), bool)
    hair[: row_of(scene, 52.0)] = True
    hair &= np.isfinite(scene.capture.depth_mm)
    return hair, np.where(hair, scene.capture.depth_mm - above_mm, scene.capture.depth_mm)


@pytest.mark.parametrize(
    ("skin", "hair_colour"),
    [
        (PALE, BLACK_HAIR),
        (BROWN, BLACK_HAIR),
        (DARK, BLACK_HAIR),
        (PALE, BLOND_HAIR),
        (DARK, BLOND_HAIR),
    ],
)
def test_hair_that_stands_off_the_forehead_is_foreign(
    face: FaceModel, skin: tuple[float, ...], hair_colour: tuple[float, ...]
) -> None:
    """3.5 mm before the skin: less than what the depth alone would need against a coarse fit."""
    scene = make_scene(face, face.mean, noise_mm=0.1)
    hair, depth = with_hair(scene, 3.5)
    rgb = picture(scene, skin, [(hair, hair_colour)])
    surface = DepthSurface.from_depth(depth, INTRINSICS)
    foreign = ForeignFinder(face, surface, rgb).find(scene.truth_cam_mm, AT_START)
    assert foreign[hair].mean() > 0.9
    assert foreign[~hair & np.isfinite(depth)].mean() < 0.01


@pytest.mark.parametrize("above_mm", [0.0, 1.2])
def test_hair_that_lies_flat_and_brows_stay(face: FaceModel, above_mm: float) -> None:
    scene = make_scene(face, face.mean, noise_mm=0.1)
    hair, depth = with_hair(scene, above_mm)
    brows = np.zeros((HEIGHT, WIDTH), np.uint8)
    for side in (-1, 1):
        cv2.ellipse(brows, (325 + side * 48, row_of(scene, 40.0)), (24, 5), 0, 0, 360, 1, -1)
    rgb = picture(scene, BROWN, [(hair, BLACK_HAIR), (brows > 0, BLACK_HAIR)])
    surface = DepthSurface.from_depth(depth, INTRINSICS)
    foreign = ForeignFinder(face, surface, rgb).find(scene.truth_cam_mm, AT_START)
    assert foreign[np.isfinite(depth)].mean() < 0.005


def test_brows_below_loose_hair_stay(face: FaceModel) -> None:
    scene = make_scene(face, face.mean, noise_mm=0.1)
    hair, depth = with_hair(scene, 4.0)
    brows = np.zeros((HEIGHT, WIDTH), np.uint8)
    low = int(np.flatnonzero(hair.any(axis=1))[-1])
    for side in (-1, 1):
        cv2.ellipse(brows, (325 + side * 48, low + 4), (24, 5), 0, 0, 360, 1, -1)
    brow = (brows > 0) & ~hair
    rgb = picture(scene, BROWN, [(hair, BLACK_HAIR), (brow, BLACK_HAIR)])
    surface = DepthSurface.from_depth(depth, INTRINSICS)
    foreign = ForeignFinder(face, surface, rgb).find(scene.truth_cam_mm, AT_START)
    assert foreign[hair].mean() > 0.9
    assert foreign[brow].mean() < 0.35


def test_without_anything_unlike_skin_around_there_is_no_hair(face: FaceModel) -> None:
    scene = make_scene(face, face.mean, noise_mm=0.1)
    shadow = np.zeros((HEIGHT, WIDTH), bool)
    shadow[:, 330:] = True
    skin = picture(scene, BROWN, [(shadow, tuple(0.6 * np.array(BROWN)))])
    surface = DepthSurface.from_depth(scene.capture.depth_mm, INTRINSICS)
    off = scene.truth_cam_mm + np.array([0.0, 0.0, 2.4])
    assert not ForeignFinder(face, surface, skin).find(off, AT_START).any()
