"""Whole heads of unlike colours before a wall, whose every pixel and millimetre is known."""

from __future__ import annotations

import functools
from typing import NamedTuple

import numpy as np
from scipy.spatial import cKDTree

from fg3d_builder.captures.synthetic import draw_subject, whole_head
from fg3d_builder.config import FullViewConfig
from fg3d_builder.facemodel.model import FaceModel
from fg3d_builder.facemodel.surround import Surround
from fg3d_builder.fullview.augment import view_mesh
from fg3d_builder.fullview.head_hull import HeadHull, head_hull, with_lost_depth
from fg3d_builder.fullview.measured_head import MeasuredHead, measured_head
from fg3d_builder.fullview.source import Source
from fg3d_builder.fullview.views import Turn, ViewCamera, view_camera
from fg3d_builder.geometry.camera import intrinsics_matrix, scaled_intrinsics
from fg3d_builder.geometry.meshes import normalized
from fg3d_builder.geometry.pose import rotation_from_angles
from fg3d_builder.heads.library import default_model
from fg3d_builder.records import Array, Capture, CoarseFit, Pose, Registration
from fg3d_builder.rendering.rasterizer import interpolate, rasterize

HEIGHT, WIDTH = 360, 320
INTRINSICS = intrinsics_matrix(560.0, 560.0, (WIDTH - 1) / 2, (HEIGHT - 1) / 2)
CENTRE_CAM_MM = np.array([0.0, 10.0, 750.0])
WALL_MM = 1500.0

SKIN, HAIR, CLOTHES = (205, 150, 125), (62, 42, 32), (45, 60, 140)
WALL, STRIP = (70, 170, 80), (190, 60, 200)
"""sRGB. No mixture of two of the others is near one."""

COLLAR_MM = -125.0
"""Height in the object frame below which there are clothes."""

CONFIG = FullViewConfig()
SIZE = 160


class Look(NamedTuple):
    """What a scene shows.

    Attributes
    ----------
    person : int
        Seed of the population; 0 is the default model's own mean head, which is symmetric.
    yaw_deg : float
    hair_mm : float
        How far hair stands off the scalp where the model expects it; 0 is bald.
    over_ears : bool
        Hair covers the ears as well.
    strip_mm : float
        How far a strip is before the nearest point of the face; 0 for no strip.
    """

    person: int = 0
    yaw_deg: float = 0.0
    hair_mm: float = 0.0
    over_ears: bool = False
    strip_mm: float = 0.0


class HeadScene(NamedTuple):
    """A capture, its perfect registration, and what it was made of.

    Attributes
    ----------
    model : FaceModel
    capture : Capture
    registration : Registration
    initial : CoarseFit
    skin_cam_mm, outside_cam_mm : (v, 3) float64
        The whole head without and with its hair.
    triangles : (t, 3) int32
    colors : (v, 3) float64
        sRGB.
    strip_cam_mm : (4, 3) float64 or None
    """

    model: FaceModel
    capture: Capture
    registration: Registration
    initial: CoarseFit
    skin_cam_mm: Array
    outside_cam_mm: Array
    triangles: Array
    colors: Array
    strip_cam_mm: Array | None

    @property
    def parts(self) -> tuple[Array, Array, Array]:
        """Pixels (H, W) bool of the head without a strip, of its face sheet, and of the strip."""
        shape = self.capture.depth_mm.shape
        found = rasterize(self.outside_cam_mm, self.triangles, INTRINSICS, *shape).triangle
        strip = np.zeros(shape, dtype=bool)
        if self.strip_cam_mm is not None:
            strip = rasterize(self.strip_cam_mm, TWO, INTRINSICS, *shape).triangle >= 0
        face = (found >= 0) & (found < len(self.model.triangles))
        return (found >= 0) & ~strip, face & ~strip, strip

    @property
    def hair_depth_mm(self) -> Array:
        """How far (H, W) the hair is before the skin; infinite beside the skin."""
        shape = self.capture.depth_mm.shape
        skin, outside = (
            rasterize(v, self.triangles, INTRINSICS, *shape).depth_mm
            for v in (self.skin_cam_mm, self.outside_cam_mm)
        )
        return np.nan_to_num(np.abs(skin - outside), nan=np.inf)

    def measured(self, **changes: Array) -> MeasuredHead:
        """Measure the head in the capture, with changed images if wanted."""
        capture = Capture(**{**self.capture.__dict__, **changes})
        face = self.registration.vertices_cam_mm
        return measured_head(capture, face, self.model.triangles, CONFIG)

    def camera(self, pitch_deg: float, yaw_deg: float, size: int = SIZE) -> ViewCamera:
        turn = Turn(pitch_deg, yaw_deg, pitch_deg, yaw_deg)
        given = (self.model, self.registration, self.initial, INTRINSICS)
        return view_camera(*given, turn, 1.6, size)


TWO = np.array([[0, 2, 1], [1, 2, 3]], dtype=np.int32)


@functools.lru_cache(maxsize=16)
def head_scene(look: Look = Look()) -> HeadScene:  # noqa: B008
    """Render a head that is evenly lit, in flat colours, twice as fine as the camera's pixels."""
    model = default_model()
    surround = model.surround
    assert surround is not None
    if look.person:
        subject = draw_subject(look.person)
        skin, triangles, _ = whole_head(subject, subject.head.shape())
    else:
        skin = np.concatenate([model.mean, surround.mean])
        triangles = np.concatenate([model.triangles, surround.triangles + model.vertex_count])
    hair = _hair(model, surround, skin, look)
    colors = np.tile(np.array(SKIN, dtype=float), (len(skin), 1))
    colors[skin[:, 1] < COLLAR_MM] = CLOTHES
    colors = np.where(hair[:, None] > 0.3, HAIR, colors) if look.hair_mm else colors
    # Away from the middle between the ears, so that the shell has no folds.
    away = skin - (surround.ear @ surround.mean) / surround.ear.sum()
    outside = skin + look.hair_mm * hair[:, None] * normalized(away)
    face = skin[: model.vertex_count]
    rotation = rotation_from_angles(0.0, look.yaw_deg, 0.0)
    middle = (face.min(axis=0) + face.max(axis=0)) / 2.0
    middle[0] *= bool(look.person)
    pose = Pose(1.0, rotation, CENTRE_CAM_MM - rotation @ middle)
    skin_cam, outside_cam = pose.cam_from_obj(skin), pose.cam_from_obj(outside)
    strip = None
    if look.strip_mm:
        z = outside_cam[: model.vertex_count, 2].min() - look.strip_mm
        low, high = np.array([-20.0, -90.0]) * z / 750.0, np.array([-2.0, 110.0]) * z / 750.0
        strip = np.array([[x, y, z] for y in (low[1], high[1]) for x in (low[0], high[0])])
    alpha = model.id_basis.reshape(-1, len(model.id_sd)).T @ (face - model.mean).reshape(-1)
    registration = _registration(model, face, skin_cam[: len(face)], pose, alpha)
    initial = CoarseFit(np.zeros(0), np.zeros(0), pose, face, 0.0, 0.0, True, 1)
    rgb, depth = photograph(outside_cam, triangles, colors, strip, INTRINSICS, (HEIGHT, WIDTH))
    capture = Capture("head", "head", "test", rgb, depth, INTRINSICS)
    return HeadScene(
        model, capture, registration, initial, skin_cam, outside_cam, triangles, colors, strip
    )


def photograph(
    vertices_cam: Array,
    triangles: Array,
    colors: Array,
    strip: Array | None,
    intrinsics: Array,
    size: tuple[int, int],
) -> tuple[Array, Array]:
    """Picture (H, W, 3) uint8, edges mixed, and depth (H, W) float32 of a head, strip and wall."""
    if strip is not None:
        triangles = np.concatenate([triangles, TWO + len(vertices_cam)])
        vertices_cam = np.concatenate([vertices_cam, strip])
        colors = np.concatenate([colors, np.tile(np.array(STRIP, dtype=float), (4, 1))])
    depth = rasterize(vertices_cam, triangles, intrinsics, *size).depth_mm
    fine = rasterize(
        vertices_cam, triangles, scaled_intrinsics(intrinsics, 2.0), 2 * size[0], 2 * size[1]
    )
    rgb = np.where((fine.triangle >= 0)[..., None], interpolate(fine, triangles, colors), WALL)
    mixed = rgb.reshape(size[0], 2, size[1], 2, 3).mean(axis=(1, 3))
    depth = np.where(np.isfinite(depth), depth, WALL_MM).astype(np.float32)
    return np.rint(mixed).astype(np.uint8), depth


def bare_head(depth_mm: Array, intrinsics: Array, **parts: Array) -> MeasuredHead:
    """A measured head that is the whole picture, black and without noise, but for its `parts`."""
    none = np.zeros(depth_mm.shape, dtype=bool)
    plain = MeasuredHead(
        depth_mm=depth_mm,
        noise_mm=np.zeros(depth_mm.shape, np.float32),
        normals_cam=np.zeros((*depth_mm.shape, 3), np.float32),
        head=~none,
        face=none,
        before=none,
        lost=none,
        background=none,
        pure=~none,
        rim=none,
        inwards=np.zeros((*depth_mm.shape, 2), np.float32),
        rgb=np.zeros((*depth_mm.shape, 3), np.uint8),
        intrinsics=intrinsics,
    )
    return plain._replace(**parts)


def dressed(scene: HeadScene, colors: Array, outside_cam_mm: Array | None = None) -> HeadScene:
    """The same person in other colours (v, 3) and, if wanted, with another outside (v, 3)."""
    outside = scene.outside_cam_mm if outside_cam_mm is None else outside_cam_mm
    look = (outside, scene.triangles, colors, scene.strip_cam_mm)
    rgb, depth = photograph(*look, INTRINSICS, (HEIGHT, WIDTH))
    capture = Capture("dressed", "head", "test", rgb, depth, INTRINSICS)
    return scene._replace(capture=capture, outside_cam_mm=outside, colors=colors)


def _hair(model: FaceModel, surround: Surround, skin_obj: Array, look: Look) -> Array:
    """In [0, 1] (v,): how much hair there is, by the nearest vertices of the model's mean head."""
    mean = np.concatenate([model.mean, surround.mean])
    scalp = np.concatenate([np.zeros(model.vertex_count), surround.scalp])
    if look.over_ears:
        scalp[model.vertex_count :] = np.maximum(surround.scalp, surround.ear > 0.05)
    around = scalp[cKDTree(mean).query(skin_obj, k=40)[1]].mean(axis=1)
    return np.clip(1.4 * around - 0.4, 0.0, 1.0)


def _registration(
    model: FaceModel, shape: Array, vertices: Array, pose: Pose, alpha: Array
) -> Registration:
    n = len(shape)
    return Registration(
        topology_hash=model.topology_hash,
        vertices_cam_mm=vertices,
        pose=pose,
        shape_obj_mm=shape,
        coarse_obj_mm=shape,
        alpha_id=alpha,
        alpha_exp=np.zeros(len(model.exp_sd)),
        visible=np.ones(n, dtype=bool),
        confidence=np.ones(n),
        surface_error_mm=np.zeros(n),
        landmark_error_px=0.0,
        quality=1.0,
        converged=True,
    )


@functools.lru_cache(maxsize=16)
def hull_of(look: Look = Look()) -> tuple[MeasuredHead, HeadHull]:  # noqa: B008
    """The measured head of a scene, its lost depth found, and its hull."""
    scene = head_scene(look)
    head = scene.measured()
    hull = head_hull(scene.model, scene.registration, head, "cholmod")
    assert hull is not None
    face = scene.registration.vertices_cam_mm
    return with_lost_depth(scene.model, face, hull, head), hull


@functools.lru_cache(maxsize=16)
def source_of(look: Look = Look()) -> Source:  # noqa: B008
    """What all views of a scene share."""
    scene = head_scene(look)
    given = (scene.model, scene.capture, scene.registration)
    return Source.of(*given, view_mesh(*given, CONFIG), None, CONFIG)
