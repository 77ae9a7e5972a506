"""How far a registration can be trusted, from what can be observed without the truth.

`observe` collects figures; `quality_score` turns them into the probability that the
registration is good, were good and bad ones equally frequent. It is a logistic model that
falls in every figure, fitted to registrations whose truth is known, good ones and spoilt
ones; ``quality.json`` holds what ``python -m benchmarks.quality --calibrate`` found.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from scipy.spatial import KDTree

from fg3d_builder.facemodel.model import FaceModel
from fg3d_builder.geometry.camera import px_from_cam
from fg3d_builder.geometry.meshes import turned_triangles, undirected_edges, vertex_areas
from fg3d_builder.numerics.robust import GemanMcClure
from fg3d_builder.numerics.weighted import weighted_quantile, weighted_rms
from fg3d_builder.records import Array, QualityFigures
from fg3d_builder.registration.correspondence import Correspondences
from fg3d_builder.registration.disentangle import PATCH_MM2, Disentangled
from fg3d_builder.registration.edge_points import EdgePoints
from fg3d_builder.rendering.depth_surface import DepthSurface

OUTLIER_SHARE = 0.05
"""Landmark residuals well beyond this part of the face's spread lose their weight."""

_REWEIGHTINGS = 6

PULL_SIGMA_MM = 3.0
"""Distances to the depth well beyond it lose their weight in `rigid_pull_mm`."""

PULL_PRIOR_MM = 10.0
"""Rigid motion that is expected at most: where the depth determines little it stays small."""


MAX_DOUBTS = 3
DOUBT_COST = 1.0
"""Log odds: a figure that costs less is not worth mentioning."""

CALIBRATION_FILE = Path(__file__).with_name("quality.json")


class QualityModel(NamedTuple):
    """Logistic model of a registration's quality.

    ``score = 1 / (1 + exp(-(offset - sum_i weight_i * fault_i)))`` with the fault
    ``log(1 + (x_i / ordinary_i)^2) / 2`` of each figure: nothing below what is ordinary, and
    the logarithm of the excess above, so that one grave fault suffices for a low score.

    Attributes
    ----------
    offset : float
        Log odds of flawless figures.
    ordinary : dict of str to float
        By figure.
    weights : dict of str to float
        Not negative: no figure gets better by being larger.
    """

    offset: float
    ordinary: dict[str, float]
    weights: dict[str, float]

    def costs(self, figures: QualityFigures) -> dict[str, float]:
        """Return by how much each figure lowers the log odds."""
        values, names = fault_values(figures), list(self.weights)
        ordinary = np.array([self.ordinary[n] for n in names])
        faults = fault(np.array([values[n] for n in names]), ordinary)
        return {n: self.weights[n] * float(f) for n, f in zip(names, faults, strict=True)}

    def score(self, figures: QualityFigures) -> float:
        """Return the quality in [0, 1]; 0 where a figure that counts is no number."""
        logit = self.offset - sum(self.costs(figures).values())
        if np.isnan(logit):
            return 0.0
        return float(1.0 / (1.0 + np.exp(-np.clip(logit, -60.0, 60.0))))


def fault(values: Array, ordinary: Array) -> Array:
    """Return how much larger than ordinary figures are, on a scale that ends in a logarithm."""
    return np.asarray(0.5 * np.log1p((values / ordinary) ** 2))


def fault_values(figures: QualityFigures) -> dict[str, float]:
    """Return the figures that can be faults, each 0 at best.

    A residual of the size of the depth's noise is none: ``surface_mm`` is taken relative to
    a millimetre more than the noise.
    """
    values = asdict(figures)
    noise_mm = values.pop("noise_mm")
    return values | {"surface_mm": values["surface_mm"] / (1.0 + noise_mm)}


def quality_score(figures: QualityFigures) -> float:
    """Return the probability in [0, 1] that a registration is good; see `QualityModel`."""
    return calibrated_model().score(figures)


def quality_doubts(figures: QualityFigures) -> list[str]:
    """Name the figures, at most `MAX_DOUBTS`, that cost the quality most, the worst first."""
    costs = calibrated_model().costs(figures)
    worst = sorted(costs, key=lambda name: -costs[name])[:MAX_DOUBTS]
    return [name for name in worst if costs[name] > DOUBT_COST]


@lru_cache(maxsize=1)
def calibrated_model() -> QualityModel:
    """Return the model in the package's calibration file."""
    table = json.loads(CALIBRATION_FILE.read_text(encoding="utf-8"))
    return model_from(table["model"])


def model_from(table: Mapping[str, Any]) -> QualityModel:
    """Make a model from JSON values: ``offset`` and, by figure, [ordinary value, weight]."""
    figures = table["figures"]
    return QualityModel(
        table["offset"],
        {name: pair[0] for name, pair in figures.items()},
        {name: pair[1] for name, pair in figures.items()},
    )


def observe(
    model: FaceModel,
    surface: DepthSurface,
    start_cam_mm: Array,
    vertices_cam_mm: Array,
    pairs: Correspondences,
    edges: EdgePoints,
    split: Disentangled,
    converged: bool,
) -> QualityFigures:
    """Collect what the quality is judged by.

    Parameters
    ----------
    model : FaceModel
    surface : DepthSurface
        Surface of the capture.
    start_cam_mm, vertices_cam_mm : (n, 3) float
        Coarse fit and registration.
    pairs : Correspondences
        Pairs of the registration.
    edges : EdgePoints
    split : Disentangled
    converged : bool
    """
    area = vertex_areas(vertices_cam_mm, model.triangles)
    seen, good = pairs.visible & model.reliable, pairs.accepted & model.reliable
    inside = seen[model.triangles].all(axis=1)
    mesh_edges = undirected_edges(model.triangles[inside])
    ratios = edge_ratios(start_cam_mm, vertices_cam_mm, mesh_edges)
    flips = turned_triangles(start_cam_mm, vertices_cam_mm, model.triangles)[inside]
    delta_mm = np.linalg.norm(split.delta_obj_mm, axis=1)
    coarse_cam_mm = split.pose.cam_from_obj(split.coarse_obj_mm)
    ratio, motion = landmark_residual(model, vertices_cam_mm, edges)
    size, distortion = size_and_distortion(model.mean, split.shape_obj_mm, area * good)
    moved = np.linalg.norm(vertices_cam_mm - start_cam_mm, axis=1)
    return QualityFigures(
        uncovered=1.0 - float(area[good].sum() / max(area[seen].sum(), 1e-9)),
        gap_mm=mean_gap_mm(vertices_cam_mm, area, seen, good),
        surface_mm=weighted_rms(pairs.distance_mm, area * good),
        noise_mm=float(np.median(pairs.noise_mm[good])),
        landmark_ratio=ratio,
        landmark_motion=motion,
        landmark_gap_mm=landmark_gap_mm(model, surface, vertices_cam_mm, edges),
        deformation_mm=weighted_rms(delta_mm, area * good),
        deformation_peak_mm=weighted_quantile(delta_mm[good], area[good], 0.95),
        relief=relief(vertices_cam_mm, split.delta_obj_mm, mesh_edges),
        moved_mm=weighted_rms(moved, area * seen),
        pull_mm=rigid_pull_mm(coarse_cam_mm, pairs, area * good),
        identity_peak=float(np.abs(split.alpha_id / model.id_sd).max(initial=0.0)),
        identity_norm=_rms(split.alpha_id / model.id_sd),
        expression_norm=_rms(split.alpha_exp / model.exp_sd),
        size=size,
        distortion=distortion,
        flipped=float(flips.mean()) if len(flips) else 0.0,
        stretch=stretch(ratios) if len(ratios) else 0.0,
        unconverged=float(not converged),
    )


def landmark_residual(
    model: FaceModel, vertices_cam_mm: Array, edges: EdgePoints
) -> tuple[float, float]:
    """Return the edge points' median residual and the similarity that is common to them.

    Both over the RMS spread of the detected points, so that they do not depend on how large
    the face is in the image. The similarity is fitted with weights that outliers lose
    (Geman-McClure) and given as the RMS distance by which it moves the points. 0 without
    detected points, which give no evidence against the registration.
    """
    weights = edges.confidence
    if not weights.sum() > 0:
        return 0.0, 0.0
    points = edges.embedding.points(vertices_cam_mm, model.triangles)
    residual = px_from_cam(points, edges.intrinsics) - edges.points_px
    centred = edges.points_px - weights @ edges.points_px / weights.sum()
    spread = max(weighted_rms(np.linalg.norm(centred, axis=1), weights), 1e-9)
    centred, residual = centred / spread, residual / spread
    length = np.linalg.norm(residual, axis=1)
    # Shift, turn and scale are linear in what they do to a point.
    rows = np.zeros((len(centred), 2, 4))
    rows[:, 0, 0] = rows[:, 1, 1] = 1.0
    rows[:, :, 2] = centred
    rows[:, :, 3] = centred[:, ::-1] * [-1.0, 1.0]
    robust, motion = weights, np.zeros(4)
    for _ in range(_REWEIGHTINGS):
        weighted = rows * robust[:, None, None]
        # Far points alone would leave the system singular: a small prior says "no motion".
        system = np.einsum("pia,pib->ab", weighted, rows) + 1e-6 * np.eye(4)
        motion = np.linalg.solve(system, np.einsum("pia,pi->a", weighted, residual))
        left = np.linalg.norm(residual - rows @ motion, axis=1)
        robust = weights * GemanMcClure(OUTLIER_SHARE).weight(left**2)
    common = np.linalg.norm(rows @ motion, axis=1)
    return weighted_quantile(length, weights, 0.5), weighted_rms(common, weights)


def landmark_gap_mm(
    model: FaceModel, surface: DepthSurface, vertices_cam_mm: Array, edges: EdgePoints
) -> float:
    """Return the median difference in depth between detected and registered edge points, mm.

    Over points that have depth; 0 without any, since coverage accounts for that.
    """
    measured, _, known = surface.lookup(surface.px_from(edges.points_px, edges.intrinsics))
    used = known & (edges.confidence > 0)
    if not used.any():
        return 0.0
    registered = edges.embedding.points(vertices_cam_mm, model.triangles)[used, 2]
    gap = np.abs(measured[used, 2] - registered)
    return weighted_quantile(gap, edges.confidence[used], 0.5)


def rigid_pull_mm(coarse_cam_mm: Array, pairs: Correspondences, weights: Array) -> float:
    """Return how far depth alone would move the coarse shape rigidly, RMS mm.

    One Gauss-Newton step of the distances along the depth's normals, from where pose and
    coefficients put the shape. Landmarks that hold a face beside its true place leave the
    depth pulling at it.

    Parameters
    ----------
    coarse_cam_mm : (n, 3) float
    pairs : Correspondences
        Pairs of the registration.
    weights : (n,) float
        Areas, 0 where there is no pair.
    """
    used = weights > 0
    share = weights[used] / weights[used].sum()
    normals, points = pairs.normals_cam[used], coarse_cam_mm[used]
    centred = points - share @ points
    reach = weighted_rms(np.linalg.norm(centred, axis=1), share)
    distance = np.einsum("nd,nd->n", normals, pairs.targets_cam_mm[used] - points)
    rows = np.hstack([np.cross(centred / reach, normals), normals])
    robust = share * GemanMcClure(PULL_SIGMA_MM).weight(distance**2)
    independent = weights.sum() / PATCH_MM2
    system = independent * (rows * robust[:, None]).T @ rows
    system += np.eye(6) / PULL_PRIOR_MM**2
    motion = np.linalg.solve(system, independent * (robust * distance) @ rows)
    displaced = np.cross(motion[:3], centred / reach) + motion[3:]
    return weighted_rms(np.linalg.norm(displaced, axis=1), share)


def relief(vertices_mm: Array, delta_mm: Array, edges: Array) -> float:
    """Return the RMS slope of an offset field along mesh edges, weighted by their length.

    Parameters
    ----------
    vertices_mm, delta_mm : (n, 3) float
    edges : (k, 2) int
    """
    if len(edges) == 0:
        return 0.0
    low, high = edges.T
    length = np.linalg.norm(vertices_mm[low] - vertices_mm[high], axis=1)
    slope = np.linalg.norm(delta_mm[low] - delta_mm[high], axis=1) / np.maximum(length, 1e-9)
    # An edge represents an area in proportion to the square of its length.
    return weighted_rms(slope, length**2)


def mean_gap_mm(vertices_mm: Array, area: Array, seen: Array, good: Array) -> float:
    """Return the mean distance of the area `seen` to the nearest vertex that is `good`, mm.

    Parameters
    ----------
    vertices_mm : (n, 3) float
    area : (n,) float
    seen, good : (n,) bool
        `good` is part of `seen` and not empty.
    """
    lacking = seen & ~good
    distance, _ = KDTree(vertices_mm[good]).query(vertices_mm[lacking])
    return float(area[lacking] @ distance / max(area[seen].sum(), 1e-9))


def size_and_distortion(mean_mm: Array, shape_mm: Array, weights: Array) -> tuple[float, float]:
    """Return `QualityFigures.size` and `QualityFigures.distortion`.

    The linear map takes `mean_mm` to `shape_mm` (n, 3), each about its weighted centre. A
    wrong depth unit or focal length shows as a face that is too large, too deep or too flat.
    """
    share = weights / weights.sum()
    source, target = mean_mm - share @ mean_mm, shape_mm - share @ shape_mm
    weighted = source * share[:, None]
    linear = np.linalg.solve(weighted.T @ source, weighted.T @ target)
    logs = np.log(np.linalg.svd(linear, compute_uv=False))
    return float(abs(logs.mean())), float(np.abs(logs - logs.mean()).max())


def edge_ratios(before: Array, after: Array, edges: Array) -> Array:
    """Return the (k,) edge lengths `after` divided by those `before`."""
    length = [np.linalg.norm(v[edges[:, 0]] - v[edges[:, 1]], axis=1) for v in (before, after)]
    return np.asarray(length[1] / np.maximum(length[0], 1e-9))


def stretch(ratios: Array) -> float:
    """Return the larger of ``log(99th)`` and ``-log(1st percentile)`` of edge ratios."""
    low, high = np.quantile(ratios, [0.01, 0.99])
    return float(max(np.log(high), -np.log(max(low, 1e-6)), 0.0))


def _rms(values: Array) -> float:
    return float(np.sqrt(np.mean(values**2))) if len(values) else 0.0
