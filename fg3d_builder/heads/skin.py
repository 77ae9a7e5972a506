"""Procedural skin: linear RGB albedo per vertex, drawn from a handful of traits."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from fg3d_builder.heads.anatomy import Anatomy
from fg3d_builder.heads.head import smoothstep
from fg3d_builder.heads.makehuman import Macro
from fg3d_builder.records import Array

# Linear RGB reflectance of skin from very light to very dark.
_TONES = np.array(
    [
        [0.66, 0.44, 0.35],
        [0.55, 0.34, 0.24],
        [0.39, 0.22, 0.14],
        [0.21, 0.11, 0.07],
        [0.10, 0.052, 0.034],
    ]
)
_IRISES = np.array(
    [
        [0.055, 0.028, 0.015],
        [0.13, 0.07, 0.03],
        [0.09, 0.12, 0.07],
        [0.10, 0.17, 0.25],
        [0.14, 0.16, 0.17],
    ]
)
_HAIRS = np.array(
    [
        [0.012, 0.010, 0.009],
        [0.045, 0.025, 0.015],
        [0.12, 0.065, 0.03],
        [0.28, 0.18, 0.09],
        [0.32, 0.31, 0.30],
    ]
)


@dataclass(frozen=True)
class Traits:
    """What a person's colours depend on; shares are in [0, 1].

    Attributes
    ----------
    tone : float
        0 very light to 1 very dark.
    redness, lip_red, freckles, dark_circles, stubble, blotch, make_up : float
    brow_thickness_mm, brow_darkness : float
    iris, hair : (3,) float64
        Linear RGB.
    bald : bool
    cloth : (3,) float64
    """

    tone: float
    redness: float
    lip_red: float
    freckles: float
    dark_circles: float
    stubble: float
    blotch: float
    make_up: float
    brow_thickness_mm: float
    brow_darkness: float
    iris: Array
    hair: Array
    bald: bool
    cloth: Array


def draw_traits(macro: Macro, rng: np.random.Generator) -> Traits:
    """Draw the traits of a person with the given phenotype."""
    tone = 0.82 * macro.african + 0.34 * macro.asian + 0.2 * macro.caucasian
    tone = float(np.clip(tone + rng.normal(0, 0.09), 0.0, 1.0))
    dark = macro.african + macro.asian
    colour = float(np.clip(rng.beta(1.2, 1.6) * (1.25 - dark), 0.0, 1.0))
    grey = float(smoothstep(macro.age + rng.normal(0, 0.12), 0.35, 0.75))
    hair = _ramp(_HAIRS[:4], colour) * (1 - grey) + grey * _HAIRS[4]
    male = float(np.clip(macro.gender, 0, 1))
    return Traits(
        tone=tone,
        redness=float(rng.beta(2, 3)),
        lip_red=float(rng.beta(2, 2)),
        freckles=float(rng.beta(1, 5) * (1 - tone)),
        dark_circles=float(rng.beta(1.5, 4)),
        stubble=float(rng.beta(1.2, 2.5) * male * male),
        blotch=float(rng.beta(2, 3)),
        make_up=float(rng.beta(1, 3) * (1 - male)),
        brow_thickness_mm=float(rng.uniform(2.6, 3.6) + 1.3 * male),
        brow_darkness=float(rng.uniform(0.6, 0.95)),
        iris=_ramp(_IRISES, float(np.clip(rng.beta(1, 1.5) * (1.3 - dark), 0, 1)))
        * rng.uniform(0.8, 1.2),
        hair=hair * rng.uniform(0.8, 1.2),
        bald=bool(rng.random() < 0.15 * male + 0.3 * male * macro.age),
        cloth=rng.uniform(0.03, 0.6, 3) * rng.uniform(0.4, 1.0),
    )


def paint_face(
    traits: Traits, anatomy: Anatomy, banks: list[Array], calm: Array, rng: np.random.Generator
) -> Array:
    """Paint the (n, 3) albedo of the face sheet.

    Parameters
    ----------
    banks : list of (count, n) float
        Random fields of zero mean and unit RMS from fine to coarse; see `smooth_fields`.
    calm : (n,) float
        0 on the border, where the skin has the plain tone of the context.
    """
    n = len(anatomy.lips)
    fine, middle, _, coarse = (bank[int(rng.integers(len(bank)))] for bank in banks)
    albedo = np.tile(_ramp(_TONES, traits.tone), (n, 1))
    albedo = albedo * (1 + traits.blotch * (0.035 * fine + 0.045 * coarse))[:, None]
    light = 1 - 0.65 * traits.tone
    red = (
        traits.redness * (0.30 * anatomy.cheek + 0.34 * anatomy.nose_tip)
        + 0.04 * traits.blotch * middle
    )
    albedo *= 1 - light * np.clip(red, -0.2, 0.8)[:, None] * np.array([0.12, 0.55, 0.5])
    spots = smoothstep(fine + 0.35 * middle, 1.3, 2.0) * (0.35 + anatomy.cheek + anatomy.nose_tip)
    albedo *= 1 - 0.35 * traits.freckles * np.clip(spots, 0, 1)[:, None] * np.array([0.7, 0.9, 1.0])
    circles = traits.dark_circles * anatomy.under_eye
    albedo *= 1 - circles[:, None] * np.array([0.45, 0.5, 0.35])
    beard = traits.stubble * anatomy.stubble * (0.85 + 0.1 * fine)
    albedo = _mix(albedo, 0.6 * traits.hair + 0.02, 0.6 * np.clip(beard, 0, 1))

    skin = _ramp(_TONES, traits.tone)
    albedo = skin + calm[:, None] * (albedo - skin)
    lip = skin * np.array([0.82, 0.5, 0.52]) * (1 - 0.15 * traits.lip_red)
    lip = lip * (1 - traits.make_up) + traits.make_up * np.array([0.35, 0.06, 0.08])
    albedo = _mix(albedo, lip, (0.55 + 0.4 * traits.lip_red) * smoothstep(anatomy.lips, 0.1, 0.9))
    albedo = _mix(albedo, 0.1 * skin, smoothstep(anatomy.seam, 0.05, 0.5))
    albedo = _mix(albedo, 0.12 * skin, 0.9 * anatomy.nostril)

    brow_hair = np.minimum(traits.hair, 0.5 * skin)
    albedo = _mix(albedo, brow_hair, traits.brow_darkness * brow_weight(anatomy, traits, fine))
    albedo = _paint_eyes(albedo, traits, anatomy, brow_hair)
    return paint_hair(albedo, traits, anatomy.hair)


def brow_weight(anatomy: Anatomy, traits: Traits, noise: Array) -> Array:
    """Return the (n,) cover by the hair of the brows: a body that thins out into a tail."""
    along = anatomy.brow_along
    half = traits.brow_thickness_mm * np.interp(along, [0, 0.15, 0.55, 1], [0.75, 1.0, 0.85, 0.25])
    edge = np.abs(anatomy.brow_across_mm) - half
    return np.asarray((1 - smoothstep(edge, -1.4, 1.0)) * np.clip(0.9 + 0.1 * noise, 0, 1))


def _paint_eyes(albedo: Array, traits: Traits, anatomy: Anatomy, hair: Array) -> Array:
    lash = (1 - smoothstep(anatomy.lash_mm, 0.6, 2.0)) * np.where(anatomy.upper_lash, 0.85, 0.4)
    albedo = _mix(albedo, 0.6 * hair, np.clip(lash + 0.3 * traits.make_up * (lash > 0.1), 0, 1))
    crease = np.exp(-0.5 * ((anatomy.lash_mm - 8.0) / 1.5) ** 2) * anatomy.upper_lash
    albedo = albedo * (1 - 0.25 * crease)[:, None]
    radius = anatomy.iris_radius_mm
    albedo = _mix(albedo, np.array([0.62, 0.57, 0.54]), anatomy.white)
    ring = anatomy.iris_mm / radius
    iris = anatomy.white * (1 - smoothstep(ring, 0.92, 1.12))
    albedo = _mix(albedo, traits.iris, iris)
    rim = anatomy.white * np.exp(-0.5 * ((ring - 0.98) / 0.1) ** 2)
    albedo = _mix(albedo, 0.35 * traits.iris, 0.7 * rim)
    return _mix(albedo, np.full(3, 0.008), anatomy.white * (1 - smoothstep(ring, 0.3, 0.5)))


def paint_hair(albedo: Array, traits: Traits, height_mm: Array) -> Array:
    """Cover the skin above the hair line.

    `height_mm` (n,) is the height of each vertex above the hair line, negative below it.
    """
    if traits.bald:
        return albedo
    return _mix(albedo, traits.hair, smoothstep(height_mm, -2.0, 5.0))


def paint_context(traits: Traits, anatomy: Anatomy) -> Array:
    """Paint the (c, 3) albedo of ears, scalp, neck and shoulders."""
    skin = np.tile(_ramp(_TONES, traits.tone), (len(anatomy.context_hair_mm), 1))
    skin = paint_hair(skin, traits, anatomy.context_hair_mm)
    return _mix(skin, traits.cloth, smoothstep(anatomy.context_cloth_mm, -1.5, 1.5))


def _ramp(colours: Array, position: float) -> Array:
    """Colour between rows, interpolated in log reflectance."""
    place = np.linspace(0, 1, len(colours))
    return np.exp([np.interp(position, place, np.log(colours[:, c])) for c in range(3)])


def _mix(under: Array, over: Array, weight: Array) -> Array:
    return np.asarray(under + np.asarray(weight)[:, None] * (over - under))
