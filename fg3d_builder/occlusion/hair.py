"""Hair told by its colour, and by standing off the skin where the two meet.

The skin's colour is learned on the picture itself: where the template's cheeks and nose are, after
the light's fall-off over them. The hair's colour is what surrounds the face above and beside and
is not the skin's. The likelihood ratio of the two, smoothed, labels pixels. Colour alone is no
reason to leave a pixel out: brows, beards and hair that is combed flat have hair's colour and lie
on the face. So the labelled pixels are cut along the steps of the depth into regions, and a region
is foreign where it stands off the skin along its border, or as a whole before the template.
"""

from __future__ import annotations

from typing import NamedTuple

import cv2
import numpy as np

from fg3d_builder.facemodel.model import PARTS, FaceModel
from fg3d_builder.numerics.robust import GemanMcClure
from fg3d_builder.occlusion.view import TemplateView
from fg3d_builder.records import Array
from fg3d_builder.rendering.shading import linear_from_srgb

DARK = 0.004
"""Linear light that is added before logarithms: below it colour is noise."""

BLUR_MM, SMOOTH_MM = 0.6, 1.2
"""Gaussians over the colours, and over the likelihood ratio."""

SEED_MM = 8.0
"""Skin is learned where the depth is so near the template."""

SKIN_SPREAD = (0.25, 0.06, 0.06)
"""Least standard deviations of skin: logarithms of brightness, red over green, green over blue."""

HAIR_SPREAD = (0.5, 0.12, 0.12)

UNLIKE_SKIN = 3.5
"""Standard deviations off the skin's colour from which on something beside the face is not skin."""

RING_MM = 55.0
"""Hair is learned around the face as far as this."""

HEAD_BEFORE_MM, HEAD_BEHIND_MM = 60.0, 160.0
"""... and at most so far before or behind the middle of the face: no background."""

MIN_SHARE = 0.02
"""Hair that covers less than this part of the face's area around it is not learned."""

MAX_RATIO = 8.0
"""Log likelihood ratios are clipped here: one pixel must not outvote its neighbours."""

STEP_MM = 2.0
"""A border along which hair stands this much before the skin is that of loose hair. Shorter hair
is taken for the surface: it is wrong by no more than this."""

MIXED_MM, STEP_REACH_MM = 2.0, 6.0
"""The skin is compared with the hair from here to there inside it: nearer, colours are mixed."""

LOOSE_MM = 3.0
"""Hair without any skin beside it is loose where it is so far before the template."""

CUT_SLOPE = 1.5
SPECK_MM2 = 12.0
"""Regions smaller than this are not looked at."""


class Colours(NamedTuple):
    """A Gaussian over brightness and two chromaticities, all logarithms.

    Attributes
    ----------
    centre : (3,) float64
    deviation : (3,) float64
    """

    centre: Array
    deviation: Array

    @staticmethod
    def of(samples: Array, least: tuple[float, float, float]) -> Colours:
        """Estimate it robustly from (k, 3) samples."""
        centre = np.median(samples, axis=0)
        spread = 1.4826 * np.median(np.abs(samples - centre), axis=0)
        return Colours(centre, np.maximum(spread, least))

    def squared(self, colour: Array) -> Array:
        """Return the (...) squared deviations of colours (..., 3)."""
        return np.asarray((((colour - self.centre) / self.deviation) ** 2).sum(axis=-1))

    def cost(self, colour: Array) -> Array:
        """Return the (...) negative log likelihoods of colours (..., 3), but for a constant."""
        return 0.5 * self.squared(colour) + float(np.log(self.deviation).sum())


def log_colours(rgb: Array, blur_px: float, step: int) -> Array:
    """Return (h, w, 3) float32: log brightness, log red over green, log green over blue.

    Of every `step`-th row and column of the blurred image.
    """
    linear = cv2.GaussianBlur(linear_from_srgb(rgb), (0, 0), max(blur_px, 0.5))[::step, ::step]
    red, green, blue = np.moveaxis(np.log(linear + DARK), -1, 0)
    return np.stack([(red + green + blue) / 3.0, red - green, green - blue], axis=-1)


def hair_ratio(
    model: FaceModel, view: TemplateView, colour: Array, normals_cam: Array
) -> Array | None:
    """Return the (h, w) log likelihood ratio of hair to skin; None where no hair is found."""
    part = np.where(view.triangle >= 0, model.parts[model.triangles[view.triangle, 0]], 255)
    reliable = (view.triangle >= 0) & model.reliable[model.triangles[view.triangle, 0]]
    known = np.isfinite(normals_cam[..., 2])
    with np.errstate(invalid="ignore"):
        near = np.abs(view.distance_mm) < SEED_MM
    plain = np.isin(part, [PARTS.index("cheeks"), PARTS.index("nose")])
    seeds = plain & reliable & near & known & (view.cosine > 0.4)
    ring = _ring(view, reliable) & known
    if seeds.sum() < 50 or not ring.any():
        return None
    level = colour.astype(np.float64)
    level[..., 0] -= _light(colour[..., 0], normals_cam, seeds, known)
    skin = Colours.of(level[seeds], SKIN_SPREAD)
    around = level[ring]
    unlike = skin.squared(around) > UNLIKE_SKIN**2
    if unlike.sum() < MIN_SHARE * reliable.sum():
        return None
    hair = Colours.of(around[unlike], HAIR_SPREAD)
    ratio = np.clip(skin.cost(level) - hair.cost(level), -MAX_RATIO, MAX_RATIO)
    # Smoothed over the depth alone: the background beside hair is no skin.
    inside = np.isfinite(view.measured_mm).astype(np.float64)
    sigma = max(SMOOTH_MM / view.pitch_mm, 0.5)
    total = cv2.GaussianBlur(ratio * inside, (0, 0), sigma)
    share = cv2.GaussianBlur(inside, (0, 0), sigma)
    return np.where(inside > 0, total / np.maximum(share, 1e-6), -MAX_RATIO)


def _light(brightness: Array, normals_cam: Array, seeds: Array, known: Array) -> Array:
    """(h, w) log brightness that the light's fall-off gives a normal, from the seeds; about 0."""
    rows = np.nan_to_num(normals_cam[seeds])
    target = brightness[seeds].astype(np.float64)
    middle, slope = float(np.median(target)), np.zeros(3)
    ridge = 0.02 * len(rows) * np.eye(3)
    for _ in range(4):
        left = target - middle - rows @ slope
        weight = GemanMcClure(3.0 * SKIN_SPREAD[0]).weight(left**2)
        mean = weight @ rows / weight.sum()
        middle = float(weight @ (target - rows @ slope) / weight.sum())
        centred = rows - mean
        slope = np.linalg.solve(
            (centred * weight[:, None]).T @ centred + ridge,
            centred.T @ (weight * (target - weight @ target / weight.sum())),
        )
    shade = np.where(known, np.nan_to_num(normals_cam) @ slope - mean @ slope, 0.0)
    # Beyond what the seeds show, the fall-off is not known: no darker than they are.
    low, high = np.quantile(rows @ slope - mean @ slope, [0.02, 0.98])
    return np.asarray(np.clip(shade, low, high))


def _ring(view: TemplateView, reliable: Array) -> Array:
    """(h, w) bool: around the reliable face, above its lower third, at the head's depth."""
    size = 2 * view.pixels(RING_MM) + 1
    around = cv2.dilate(reliable.astype(np.uint8), np.ones((size, size), np.uint8)) > 0
    inside = cv2.dilate(reliable.astype(np.uint8), view.window(4.0)) > 0
    rows = np.flatnonzero(reliable.any(axis=1))
    middle = float(np.nanmedian(view.template_mm[reliable])) if len(rows) else 0.0
    with np.errstate(invalid="ignore"):
        head = view.measured_mm > middle - HEAD_BEFORE_MM
        head &= view.measured_mm < middle + HEAD_BEHIND_MM
    ring = around & ~inside & head
    if len(rows):
        ring[round(rows[0] + 0.67 * (rows[-1] - rows[0])) :] = False
    return np.asarray(ring)


def standing_off(view: TemplateView, hair: Array, distance_mm: Array) -> Array:
    """Return those of the pixels with hair's colour that are before the skin.

    Parameters
    ----------
    view : TemplateView
    hair : (h, w) bool
        Cut here along the steps of the depth.
    distance_mm : (h, w) float64
        See `distance_from_face`.
    """
    step = view.steep(view.measured_mm, CUT_SLOPE)
    covered = np.isfinite(distance_mm)
    regions = _regions(hair & ~step, SPECK_MM2 / view.pitch_mm**2)
    # How far before the template the skin is that is next to a region.
    inner = cv2.erode(np.isfinite(view.measured_mm).astype(np.uint8), view.window(MIXED_MM)) > 0
    skin = np.where(covered & inner & ~hair & ~step, distance_mm, np.nan)
    gap = distance_mm - _local_mean(skin, view.window(STEP_REACH_MM))
    pure = cv2.erode(hair.astype(np.uint8), view.window(MIXED_MM)) > 0
    slack = 3.0 * view.noise_mm
    loose, flush = np.zeros(hair.shape, dtype=bool), np.zeros(hair.shape, dtype=bool)
    for here, own in regions:
        beside, over = own & np.isfinite(gap[here]), own & covered[here]
        inside = beside & pure[here]
        beside = inside if 2 * inside.sum() > beside.sum() else beside
        is_beside = beside.sum() * view.pitch_mm > STEP_REACH_MM
        height = gap[here][beside] if is_beside else distance_mm[here][over]
        limit = slack + (STEP_MM if is_beside else LOOSE_MM)
        if height.size and np.median(height) > limit:
            loose[here] |= own
        elif is_beside:
            flush[here] |= own
    # Pieces that touch no skin go with the hair that they hang together with, and so do steps.
    _, label = cv2.connectedComponents((hair & ~flush).astype(np.uint8), connectivity=8)
    with_loose = np.zeros(int(label.max()) + 1, dtype=bool)
    with_loose[label[loose]] = True
    with_loose[0] = False
    return np.asarray(with_loose[label])


def _regions(mask: Array, least: float) -> list[tuple[tuple[slice, slice], Array]]:
    """Connected regions of at least so many pixels: their boxes, and their masks in them."""
    _, label, stats, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8), connectivity=4)
    found = []
    for number in np.flatnonzero(stats[:, cv2.CC_STAT_AREA] >= least):
        if number > 0:
            x, y, width, height, _ = stats[number]
            here = (slice(y, y + height), slice(x, x + width))
            found.append((here, label[here] == number))
    return found


def _local_mean(values: Array, window: Array) -> Array:
    """Mean of the values within the window that are not NaN; NaN where there is none."""
    known = np.isfinite(values)
    kernel = window.astype(np.float64)
    total = cv2.filter2D(np.where(known, values, 0.0), cv2.CV_64F, kernel)
    count = cv2.filter2D(known.astype(np.float64), cv2.CV_64F, kernel)
    return np.where(count > 0.5, total / np.maximum(count, 1.0), np.nan)
