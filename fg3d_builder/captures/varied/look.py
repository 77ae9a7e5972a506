"""Everything in which one varied capture differs from a plain one, and its picture."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from fg3d_builder.captures.background import random_background
from fg3d_builder.captures.fine_surface import FineSurface, fine_surface
from fg3d_builder.captures.varied.glasses import draw_glasses
from fg3d_builder.captures.varied.hair import draw_hair
from fg3d_builder.captures.varied.phone_picture import PhoneCamera, draw_camera
from fg3d_builder.captures.varied.room_light import (
    RoomLight,
    draw_room_light,
    irradiance,
    shares_of_lamps,
)
from fg3d_builder.captures.varied.structured_background import structured_background
from fg3d_builder.captures.varied.worn import HeadSurface, Lens, Solid
from fg3d_builder.config import VarietyConfig
from fg3d_builder.geometry.meshes import normalized
from fg3d_builder.records import Array

_GLASS_REFLECTANCE = 0.04
"""Share of the light that glass mirrors when it is looked at straight (Schlick 1994)."""
_MIRRORED_LAMP = 12.0
"""Radiance of a lamp in the mirror, over the colour of white paper under it."""


@dataclass(frozen=True)
class Look:
    """What a varied capture has beyond a plain one.

    Attributes
    ----------
    light : RoomLight
    worn : tuple of Solid
        Hair and frames of glasses.
    lenses : tuple of Lens
        Clear ones.
    camera : PhoneCamera
    """

    light: RoomLight
    worn: tuple[Solid, ...]
    lenses: tuple[Lens, ...]
    camera: PhoneCamera


def draw_look(
    config: VarietyConfig,
    surface: HeadSurface,
    eyes_obj_mm: Array,
    hair_albedo: Array | None,
    rng: np.random.Generator,
) -> Look:
    """Draw light, camera, and what a person wears.

    Parameters
    ----------
    config : VarietyConfig
    surface : HeadSurface
        The head with its expression.
    eyes_obj_mm : (2, 3) float
        Middles of the left and the right eye.
    hair_albedo : (3,) float or None
        Linear RGB of the hair; None for a bald head.
    rng : numpy.random.Generator
    """
    light, camera = draw_room_light(config, rng), draw_camera(config, rng)
    has_hair, has_glasses = rng.uniform(size=2) < [config.hair, config.glasses]
    worn: list[Solid] = []
    lenses: tuple[Lens, ...] = ()
    if has_hair and hair_albedo is not None:
        worn.append(draw_hair(surface, hair_albedo, rng))
    if has_glasses:
        glasses = draw_glasses(surface, eyes_obj_mm, rng)
        worn.append(glasses.frame)
        lenses = glasses.lenses
    return Look(light, tuple(worn), lenses, camera)


def draw_background(
    config: VarietyConfig, size: tuple[int, int], rng: np.random.Generator
) -> Array:
    """Draw what is behind the head, (H, W, 3) linear light.

    Parameters
    ----------
    config : VarietyConfig
    size : (int, int)
        Height and width in pixels.
    rng : numpy.random.Generator
    """
    make = (
        structured_background if rng.uniform() < config.structured_background else random_background
    )
    return make(*size, rng)


def lit_by_room(
    light: RoomLight,
    solid: Solid,
    lenses: tuple[Lens, ...],
    background: Array,
    intrinsics: Array,
    rng: np.random.Generator,
) -> Array:
    """Render a head, and what it wears, before its background.

    Parameters
    ----------
    light : RoomLight
    solid : Solid
        Head, hair and frames in the camera frame.
    lenses : tuple of Lens
        In the camera frame.
    background : (H, W, 3) float
        Linear light.
    intrinsics : (3, 3) float
    rng : numpy.random.Generator
        Places on lamps that shadows are cast from.

    Returns
    -------
    (H, W, 3) float64
        Linear light.
    """
    size = background.shape[:2]
    lit = shares_of_lamps(light, solid.vertices_mm, solid.triangles, solid.normals, rng)
    attributes = np.hstack([solid.albedo, solid.normals, solid.vertices_mm, lit])
    surface = fine_surface(solid.vertices_mm, solid.triangles, attributes, intrinsics, size)
    values = surface.values
    normal, view = normalized(values[:, 3:6]), normalized(-values[:, 6:9])
    color, coverage = surface.picture(light.shade(values[:, :3], normal, view, values[:, 9:]), size)
    linear = color + (1.0 - coverage[:, :, None]) * background
    for lens in lenses:
        linear = _through(lens, linear, surface, light, intrinsics)
    return linear


def _through(
    lens: Lens, linear: Array, behind: FineSurface, light: RoomLight, intrinsics: Array
) -> Array:
    """Look through a lens where nothing is before it, and at what it mirrors."""
    size = linear.shape[:2]
    attributes = np.hstack([lens.normals, lens.vertices_mm])
    glass = fine_surface(
        lens.vertices_mm, lens.triangles, attributes, intrinsics, size, behind.window
    )
    hidden = np.nan_to_num(behind.depth_mm, nan=np.inf) < glass.depth_mm
    seen = glass.covered & ~hidden
    values = glass.values[seen[glass.covered]]
    normal, view = normalized(values[:, :3]), normalized(-values[:, 3:])
    color, coverage = glass._replace(covered=seen).picture(_mirrored(normal, view, light), size)
    share = coverage[:, :, None]
    return np.asarray(linear * (1.0 - share + share * lens.transmission) + color)


def _mirrored(normal: Array, view: Array, light: RoomLight) -> Array:
    """Colour (n, 3) of the room and its lamps in the mirror of the glass."""
    facing = np.einsum("nd,nd->n", normal, view)
    way = 2.0 * facing[:, None] * normal - view
    # The room as smooth as its irradiance: nine coefficients ring around bright windows.
    room = np.maximum(irradiance(light.radiance, way), 0.0)
    for lamp in light.lamps:
        near = np.exp((way @ lamp.towards - 1.0) / (0.5 * lamp.spread**2 + 1e-4))
        room += _MIRRORED_LAMP * lamp.color * near[:, None]
    grazing = np.clip(1.0 - np.abs(facing), 0.0, 1.0) ** 5
    share = _GLASS_REFLECTANCE + (1.0 - _GLASS_REFLECTANCE) * grazing
    return np.asarray(share[:, None] * room)
