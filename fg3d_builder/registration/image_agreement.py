"""Whether the image shows the features of a face where a registered mesh has them.

Depth says nothing along smooth skin and landmarks may be wrong together with the fit that they
led, so the image is asked once more, by what neither of them used: around eyes, brows, lips and
nose the albedo of the face model, or what `feature_albedo` knows of it, is correlated with the
image as the mesh puts it there, and as it would be somewhat beside, all features together: single
ones differ from person to person.

Skin has one hue, whatever the light's direction: what has another and counts as measured face is
something else.
"""

from __future__ import annotations

from typing import NamedTuple

import cv2
import numpy as np
from scipy.spatial import KDTree

from fg3d_builder.facemodel.mesh_facts import mean_areas_mm2
from fg3d_builder.facemodel.model import PARTS, FaceModel
from fg3d_builder.geometry.camera import px_from_cam
from fg3d_builder.landmarks.edges import MEDIAPIPE, MEDIAPIPE_CURVES
from fg3d_builder.numerics.remembered import remembered
from fg3d_builder.records import Array
from fg3d_builder.registration.feature_albedo import DARKEST, feature_albedo
from fg3d_builder.rendering.image_samples import has_colour, sampled
from fg3d_builder.rendering.shading import linear_from_srgb

FEATURES = {
    "right eye": ("right_eye",),
    "left eye": ("left_eye",),
    "right brow": ("right_brow_upper", "right_brow_lower"),
    "left brow": ("left_brow_upper", "left_brow_lower"),
    "lips": ("outer_lips", "inner_lips"),
}
NOSE = "nose"

AROUND_MM = 9.0
"""A feature is what lies within this distance of its curves on the model's mean."""

BEHIND_MM = 12.0
"""What lies deeper than the curves by this much is the inside of the mouth or of an eye."""

REACH_MM, STEP_MM = 9.0, 3.0
"""Shifts that are tried, to every side."""

MOST = 0.75
"""Share of the features that must correlate better with a shift for it to count fully; one that
half of them gain by does not count."""

SEEN_SHARE = 0.4
"""Least visible share of a feature that is looked at."""

ORDINARY_HUE, ODD_HUE = 0.25, 0.75
"""Distances in the plane of log chromaticities. Skin with its blushes and lips stays within the
first once the model's own hues are taken off; what is beyond the second is no skin."""

_MIN_VERTICES = 30


class ImageAgreement(NamedTuple):
    """How well the image agrees with a mesh about where the features are.

    Attributes
    ----------
    shift_mm : float
        Length of the shift common to all features at which the middle one of them correlates
        best, times the part of that correlation that is missing without a shift, as far as most
        features gain by it; 0 where nothing is seen.
    mismatch : float
        1 minus the correlation, without a shift, of the better half of the features; in [0, 1].
    """

    shift_mm: float
    mismatch: float


def _features_follow_from(model: FaceModel) -> tuple[Array, ...]:
    embedding = model.embeddings.get(MEDIAPIPE)
    places = () if embedding is None else tuple(vars(embedding).values())
    return (model.mean, model.triangles, model.parts, *places)


@remembered(_features_follow_from)
def feature_vertices(model: FaceModel) -> dict[str, Array]:
    """Return the indices of each feature's vertices; without MediaPipe's points the nose alone."""
    found = {NOSE: np.flatnonzero(model.parts == PARTS.index("nose"))}
    embedding = model.embeddings.get(MEDIAPIPE)
    if embedding is None:
        return found
    points = embedding.points(model.mean, model.triangles)
    place = dict(zip(embedding.point_index.tolist(), points, strict=True))
    for name, curves in FEATURES.items():
        numbers = [p for curve in curves for p in MEDIAPIPE_CURVES[curve].points]
        known = np.array([place[p] for p in numbers if p in place])
        if len(known) == 0:
            continue
        distance, _ = KDTree(known).query(model.mean, distance_upper_bound=AROUND_MM)
        outside = model.mean[:, 2] > known[:, 2].min() - BEHIND_MM
        found[name] = np.flatnonzero(np.isfinite(distance) & outside)
    return found


def image_agreement(
    model: FaceModel, rgb: Array, intrinsics: Array, vertices_cam_mm: Array, visible: Array
) -> ImageAgreement:
    """Correlate the model's features with an image, where the mesh has them and beside.

    What varies smoothly over a feature, light above all, is taken off before: a polynomial of
    second order in the image's axes.

    Parameters
    ----------
    model : FaceModel
    rgb : (H, W, 3) uint8
    intrinsics : (3, 3) float
    vertices_cam_mm : (n, 3) float
    visible : (n,) bool
        Features that are not seen well enough are left out.

    Returns
    -------
    ImageAgreement
        Nothing against the mesh where the image has no colours, or nothing is known of the
        features' albedo (see `feature_albedo`).
    """
    albedo = feature_albedo(model) if has_colour(rgb) else None
    if albedo is None:
        return ImageAgreement(0.0, 0.0)
    area = mean_areas_mm2(model)
    px = px_from_cam(vertices_cam_mm, intrinsics)
    steps = np.arange(-REACH_MM, REACH_MM + 0.5 * STEP_MM, STEP_MM)
    shifts_mm = np.stack(np.meshgrid(steps, steps), axis=-1).reshape(-1, 2)
    px_per_mm = float(intrinsics[0, 0] / np.median(vertices_cam_mm[:, 2]))
    grey = cv2.GaussianBlur(
        linear_from_srgb(rgb).mean(axis=2, dtype=np.float32), (0, 0), max(0.5, px_per_mm)
    )
    log_grey = np.log(grey + DARKEST)
    maps = []
    for vertices in feature_vertices(model).values():
        seen = vertices[visible[vertices]]
        if len(seen) < max(_MIN_VERTICES, SEEN_SHARE * len(vertices)):
            continue
        image = sampled(log_grey, px[seen] + px_per_mm * shifts_mm[:, None])
        maps.append(_correlations(image, albedo[seen], px[seen], area[seen]))
    return _agreement(np.array(maps), np.linalg.norm(shifts_mm, axis=1))


def _agreement(correlations: Array, length_mm: Array) -> ImageAgreement:
    """Summarise the (features, shifts) correlations; see `ImageAgreement`."""
    if len(correlations) == 0:
        return ImageAgreement(0.0, 0.0)
    still = int(np.argmin(length_mm))
    # A beard or a fringe makes one feature look as if it were elsewhere, not most of them.
    common = np.median(correlations, axis=0)
    best = int(np.argmax(common))
    gained = float(common[best] - max(common[still], 0.0)) / max(float(common[best]), 1e-6)
    # Half of them may gain by chance, or by one beard; a shift that is real serves most.
    share = float((correlations[:, best] > correlations[:, still]).mean())
    gained *= min(max((share - 0.5) / (MOST - 0.5), 0.0), 1.0)
    here = np.sort(np.clip(correlations[:, still], 0.0, 1.0))
    better = here[len(here) // 2 :]
    return ImageAgreement(max(gained, 0.0) * float(length_mm[best]), 1.0 - float(better.mean()))


def _correlations(images: Array, expected: Array, places: Array, weights: Array) -> Array:
    """Correlate (s, m) samples with (m,) expected ones, both without their smooth part."""
    root = np.sqrt(weights)
    centred = places - places.mean(axis=0)
    x, y = (centred / max(float(centred.std()), 1e-9)).T
    smooth = np.column_stack([np.ones(len(x)), x, y, x * x, x * y, y * y]) * root[:, None]
    axes, _ = np.linalg.qr(smooth)

    def detail(values: Array) -> Array:
        scaled = values * root
        left = scaled - (scaled @ axes) @ axes.T
        return np.asarray(left / (np.linalg.norm(left, axis=-1, keepdims=True) + 1e-6))

    return np.asarray(detail(images) @ detail(expected))


def odd_hue(
    model: FaceModel, rgb: Array, intrinsics: Array, vertices_cam_mm: Array, area: Array
) -> float:
    """Return the share in [0, 1] of an area whose hue is not the one of the face.

    The logarithms of the image's colour over the model's albedo, less their mean over the
    channels, are the same all over a face in light of one colour; their median over the area is
    the face's own. Hues between `ORDINARY_HUE` and `ODD_HUE` count in part, and so does what is
    darker than the face: the hue of dark hair and of shadows is mostly noise.

    Parameters
    ----------
    area : (n,) float
        Of the vertices that count, 0 elsewhere.
    """
    used = np.flatnonzero(area > 0)
    if len(used) < _MIN_VERTICES:
        return 0.0
    colour = sampled(linear_from_srgb(rgb), px_from_cam(vertices_cam_mm[used], intrinsics))
    ratio = np.log(colour + DARKEST) - np.log(model.albedo_mean[used] + DARKEST)
    hue = ratio - ratio.mean(axis=1, keepdims=True)
    apart = np.linalg.norm(hue - np.median(hue, axis=0), axis=1)
    odd = np.clip((apart - ORDINARY_HUE) / (ODD_HUE - ORDINARY_HUE), 0.0, 1.0)
    bright = colour.mean(axis=1)
    odd *= np.clip(bright / max(float(np.median(bright)), DARKEST), 0.0, 1.0)
    return float(area[used] @ odd / area[used].sum())
