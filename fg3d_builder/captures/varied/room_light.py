"""Light of a room in second-order spherical harmonics, and lamps that cast shadows.

Irradiance of convex matte surfaces is known to within a percent from nine coefficients of the
radiance around them (Ramamoorthi and Hanrahan, "An Efficient Representation for Irradiance
Environment Maps", SIGGRAPH 2001). Lamps are too sharp for that: they are added one by one, as in
Eq. 14, each with a soft shadow. Directions are in the camera frame: x right, y down, z forward.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import open3d
from open3d.core import Tensor

from fg3d_builder.config import VarietyConfig
from fg3d_builder.geometry.meshes import normalized
from fg3d_builder.records import Array

_COSINE_LOBE = np.pi * np.repeat([1.0, 2.0 / 3.0, 0.25], [1, 3, 5])
"""Coefficients by which a cosine lobe weights the nine harmonics (their Eq. 8)."""
_QUADRATURE = 2000
_SHADOW_RAYS = 6
_SHADOW_START_MM = 0.4
_WARMEST_K, _COLDEST_K = 2500.0, 9000.0
_COLOURED_LAMPS = 0.12
"""Share of lamps whose colour is no black body's: screens, signs, light off painted walls."""


class Lamp(NamedTuple):
    """A lamp or window far away.

    Attributes
    ----------
    towards : (3,) float64
        Unit vector from the face.
    color : (3,) float64
        Linear RGB of white paper that faces it.
    spread : float
        Tangent of half the angle under which it is seen: how soft its shadows are.
    """

    towards: Array
    color: Array
    spread: float


@dataclass(frozen=True)
class RoomLight:
    """All light on a face.

    Attributes
    ----------
    radiance : (9, 3) float64
        Spherical harmonic coefficients of what comes from all around, linear RGB; white paper in
        a uniform room of radiance 1 has the colour 1.
    lamps : tuple of Lamp
    specular, shininess : float
        Gloss of the skin, as in Eq. 14.
    """

    radiance: Array
    lamps: tuple[Lamp, ...]
    specular: float
    shininess: float

    def shade(self, albedo: Array, normals: Array, view: Array, lit: Array) -> Array:
        """Return the linear RGB (n, 3) of surface points.

        Parameters
        ----------
        albedo : (n, 3) float
            Linear RGB.
        normals, view : (n, 3) float
            Unit vectors: of the surface, and towards the camera.
        lit : (n, k) float
            Share in [0, 1] of each lamp that is seen from there.
        """
        color = albedo * np.maximum(irradiance(self.radiance, normals), 0.0)
        for lamp, share in zip(self.lamps, lit.T, strict=True):
            facing = normals @ lamp.towards
            amount = (np.maximum(facing, 0.0) * share)[:, None]
            along = 2.0 * facing * np.einsum("nd,nd->n", normals, view) - view @ lamp.towards
            glint = np.maximum(along, 0.0) ** self.shininess * (facing > 0) * share
            color = color + albedo * lamp.color * amount
            color += self.specular * lamp.color * glint[:, None]
        return np.asarray(color)


def irradiance(radiance: Array, normals: Array) -> Array:
    """Return (n, 3) of the irradiance over pi on surfaces with the given normals.

    `radiance` (9, 3) are coefficients, `normals` (n, 3) unit vectors.
    """
    return np.asarray(harmonics(normals) @ (radiance * (_COSINE_LOBE / np.pi)[:, None]))


def harmonics(directions: Array) -> Array:
    """Return the (n, 9) real spherical harmonics of degrees 0 to 2 in (n, 3) unit directions."""
    x, y, z = directions.T
    return np.stack(
        [
            np.full_like(x, 0.28209479),
            0.48860251 * y,
            0.48860251 * z,
            0.48860251 * x,
            1.09254843 * x * y,
            1.09254843 * y * z,
            0.31539157 * (3 * z * z - 1),
            1.09254843 * x * z,
            0.54627422 * (x * x - y * y),
        ],
        axis=1,
    )


def projected(radiance_of: Array, directions: Array) -> Array:
    """Return the (9, 3) coefficients of a radiance known in evenly spread directions.

    `radiance_of` (n, 3) is the linear RGB in each of the (n, 3) `directions`.
    """
    return np.asarray(4.0 * np.pi / len(directions) * harmonics(directions).T @ radiance_of)


def evenly_spread(count: int) -> Array:
    """Return (count, 3) unit vectors, spread evenly over the sphere (Fibonacci's spiral)."""
    height = 1.0 - 2.0 * (np.arange(count) + 0.5) / count
    turn = np.pi * (1.0 + np.sqrt(5.0)) * np.arange(count)
    around = np.sqrt(1.0 - height**2)
    return np.stack([around * np.cos(turn), height, around * np.sin(turn)], axis=1)


def draw_room_light(config: VarietyConfig, rng: np.random.Generator) -> RoomLight:
    """Draw sky and ground, bright and dark parts of the room, and lamps.

    The camera exposes for a face: white paper that looks at it has a linear colour around 0.9,
    more or less by a factor of 1.6, and the white balance takes out most of the light's colour.
    """
    directions = evenly_spread(_QUADRATURE)
    around = _drawn_room(directions, rng)
    lamps = [_draw_lamp(rng) for _ in range(rng.integers(0, config.lamps + 1))]
    share = rng.uniform(0.35, 0.85) if lamps else 0.0
    radiance = projected(around, directions)
    front = normalized(np.array([[0, 0, -1], [0.6, 0, -1], [-0.6, 0, -1], [0, -0.6, -1]]))
    of_room = irradiance(radiance, front).mean(axis=0)
    of_lamps = np.zeros(3)
    for lamp in lamps:
        of_lamps += np.maximum(front @ lamp.towards, 0.0).mean() * lamp.color
    exposure = rng.uniform(0.7, 1.2) * np.exp(rng.normal(0.0, 0.15))
    room_gain = (1.0 - share) * exposure / of_room.mean()
    lamp_gain = share * exposure / max(float(of_lamps.mean()), 0.15) if lamps else 0.0
    total = room_gain * of_room + lamp_gain * of_lamps
    balance = _white_balance(total / total.mean(), config, rng)
    return RoomLight(
        radiance=radiance * room_gain * balance,
        lamps=tuple(lamp._replace(color=lamp.color * lamp_gain * balance) for lamp in lamps),
        specular=rng.uniform(0.02, 0.14),
        shininess=rng.uniform(6.0, 30.0),
    )


def shares_of_lamps(
    light: RoomLight,
    vertices_cam_mm: Array,
    triangles: Array,
    normals: Array,
    rng: np.random.Generator,
) -> Array:
    """Return (n, k): which share of each lamp the vertices of a mesh see, in [0, 1].

    Parameters
    ----------
    light : RoomLight
    vertices_cam_mm : (n, 3) float
    triangles : (m, 3) int
    normals : (n, 3) float
        Unit vectors.
    rng : numpy.random.Generator
        Places on the lamps that are looked at.
    """
    out = np.zeros((len(vertices_cam_mm), len(light.lamps)))
    if not light.lamps:
        return out
    scene = open3d.t.geometry.RaycastingScene(nthreads=1)
    scene.add_triangles(
        Tensor.from_numpy(vertices_cam_mm.astype(np.float32)),
        Tensor.from_numpy(triangles.astype(np.uint32)),
    )
    start = vertices_cam_mm + _SHADOW_START_MM * normals
    for column, lamp in enumerate(light.lamps):
        facing = normals @ lamp.towards > 0.0
        for _ in range(_SHADOW_RAYS):
            way = normalized(
                (lamp.towards + lamp.spread * rng.standard_normal((len(start), 3)))[facing]
            )
            rays = np.concatenate([start[facing], way], axis=1).astype(np.float32)
            hidden = scene.test_occlusions(Tensor.from_numpy(rays), nthreads=1).numpy()
            out[facing, column] += ~hidden / _SHADOW_RAYS
    return out


def black_body(kelvin: float) -> Array:
    """Return the linear RGB (3,) of light of a colour temperature, mean 1, none below 0.

    Place on the Planckian locus by Kim et al., US patent 7024034 (2006), 1667 to 25000 K.
    """
    t = 1000.0 / kelvin
    if kelvin < 4000.0:
        x = -0.2661239 * t**3 - 0.2343589 * t**2 + 0.8776956 * t + 0.179910
        y = -0.9549476 * x**3 - 1.37418593 * x**2 + 2.09137015 * x - 0.16748867
    else:
        x = -3.0258469 * t**3 + 2.1070379 * t**2 + 0.2226347 * t + 0.240390
        y = 3.0817580 * x**3 - 5.87338670 * x**2 + 3.75112997 * x - 0.37001483
    xyz = np.array([x / y, 1.0, (1.0 - x - y) / y])
    rgb_of_xyz = np.array(
        [[3.2406, -1.5372, -0.4986], [-0.9689, 1.8758, 0.0415], [0.0557, -0.2040, 1.0570]]
    )
    rgb = np.maximum(rgb_of_xyz @ xyz, 0.01)
    return np.asarray(rgb / rgb.mean())


def _drawn_room(directions: Array, rng: np.random.Generator) -> Array:
    """Radiance (n, 3) of a room: ceiling or sky, floor, and a few wide bright or dark walls."""
    up = -directions[:, 1]
    above = _tint(rng) * rng.uniform(0.5, 1.6)
    below = _tint(rng) * rng.uniform(0.1, 0.9)
    out = below + (0.5 + 0.5 * up)[:, None] * (above - below)
    for _ in range(rng.integers(1, 5)):
        middle = normalized(rng.standard_normal(3) * [1.0, 0.5, 1.0])
        wide = np.exp(rng.uniform(1.0, 6.0) * (directions @ middle - 1.0))
        out = out * (1.0 - wide[:, None]) + wide[:, None] * _tint(rng) * rng.uniform(0.0, 4.0)
    return np.asarray(out)


def _draw_lamp(rng: np.random.Generator) -> Lamp:
    """Draw a lamp somewhere before or beside the face, sometimes behind it."""
    side, height = np.radians(rng.uniform(-115, 115)), np.radians(rng.uniform(-20, 70))
    towards = np.array(
        [np.sin(side) * np.cos(height), -np.sin(height), -np.cos(side) * np.cos(height)]
    )
    return Lamp(towards, _tint(rng) * rng.uniform(0.3, 1.0), rng.uniform(0.02, 0.35))


def _tint(rng: np.random.Generator) -> Array:
    """Colour of a light, mean 1."""
    if rng.uniform() < _COLOURED_LAMPS:
        hue = np.exp(rng.normal(0.0, 0.6, size=3))
        return np.asarray(hue / hue.mean())
    return black_body(float(np.exp(rng.uniform(np.log(_WARMEST_K), np.log(_COLDEST_K)))))


def _white_balance(color: Array, config: VarietyConfig, rng: np.random.Generator) -> Array:
    """Gains (3,) of a camera that takes out most of the light's `color` and errs a little."""
    gains = color ** -rng.uniform(0.6, 1.0) * np.exp(rng.normal(0.0, config.color_cast, size=3))
    return np.asarray(gains / (gains * color).mean())
