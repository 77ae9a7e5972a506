"""What can be observed of a registration without the truth; `quality` judges by it."""

from __future__ import annotations

import numpy as np
from scipy.spatial import KDTree

from fg3d_builder.facemodel.mesh_facts import edges_of_triangles
from fg3d_builder.facemodel.model import FaceModel
from fg3d_builder.geometry.camera import px_from_cam
from fg3d_builder.geometry.meshes import (
    turned_triangles,
    vertex_areas,
    vertex_normals,
)
from fg3d_builder.landmarks.edges import MEDIAPIPE
from fg3d_builder.numerics.robust import GemanMcClure
from fg3d_builder.numerics.weighted import weighted_quantile, weighted_rms
from fg3d_builder.records import Array, Capture, QualityFigures
from fg3d_builder.registration.correspondence import Correspondences
from fg3d_builder.registration.disentangle import PATCH_MM2, Disentangled
from fg3d_builder.registration.edge_points import EdgePoints
from fg3d_builder.registration.image_agreement import image_agreement, odd_hue
from fg3d_builder.rendering.depth_surface import DepthSurface

OUTLIER_SHARE = 0.05
"""Landmark residuals well beyond this part of the face's spread lose their weight."""

_REWEIGHTINGS = 6

PULL_SIGMA_MM = 3.0
"""Distances to the depth well beyond it lose their weight in `rigid_pull_mm`."""

PULL_PRIOR_MM = 10.0
"""Rigid motion that is expected at most: where the depth determines little it stays small."""


OUTER_EYE_CORNERS_MM = 90.0
"""Mean distance of adults' outer eye corners, which differ by about 4 mm (standard deviation)."""

_OUTER_CORNERS = (33, 263)

PIERCED_MAX_MM = 10.0
"""What lies farther behind the mesh is the background beside a face rather than a fault of it."""


def observe(
    model: FaceModel,
    capture: Capture,
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
    capture : Capture
    surface : DepthSurface
        Surface of the capture's depth.
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
    inside = np.asarray(seen[model.triangles].all(axis=1))
    edges_inside = edges_of_triangles(model, inside)
    ratios = edge_ratios(start_cam_mm, vertices_cam_mm, edges_inside)
    flips = turned_triangles(start_cam_mm, vertices_cam_mm, model.triangles)[inside]
    delta_mm = np.linalg.norm(split.delta_obj_mm, axis=1)
    coarse_cam_mm = split.pose.cam_from_obj(split.coarse_obj_mm)
    ratio, motion = landmark_residual(model, vertices_cam_mm, edges)
    weights = area * good
    size, distortion = size_and_distortion(model, split.shape_obj_mm, weights)
    agreement = image_agreement(
        model, capture.rgb, capture.intrinsics, vertices_cam_mm, pairs.visible
    )
    moved = np.linalg.norm(vertices_cam_mm - start_cam_mm, axis=1)
    return QualityFigures(
        uncovered=1.0 - float(area[good].sum() / max(area[seen].sum(), 1e-9)),
        gap_mm=mean_gap_mm(vertices_cam_mm, area, seen, good),
        surface_mm=weighted_rms(pairs.distance_mm, weights),
        noise_mm=float(np.median(pairs.noise_mm[good])),
        landmark_ratio=ratio,
        landmark_motion=motion,
        landmark_gap_mm=landmark_gap_mm(model, surface, vertices_cam_mm, edges),
        deformation_mm=weighted_rms(delta_mm, weights),
        deformation_peak_mm=weighted_quantile(delta_mm[good], area[good], 0.95),
        relief=relief(vertices_cam_mm, split.delta_obj_mm, edges_inside),
        moved_mm=weighted_rms(moved, area * seen),
        refit_mm=weighted_rms(
            np.linalg.norm(start_cam_mm - split.posterior_cam_mm, axis=1), weights
        ),
        turned_deg=turned_deg(model, start_cam_mm, vertices_cam_mm, weights),
        pull_mm=rigid_pull_mm(coarse_cam_mm, pairs, weights),
        identity_peak=float(np.abs(split.alpha_id / model.id_sd).max(initial=0.0)),
        identity_norm=_rms(split.alpha_id / model.id_sd),
        expression_norm=_rms(split.alpha_exp / model.exp_sd),
        size=size,
        distortion=distortion,
        flipped=float(flips.mean()) if len(flips) else 0.0,
        stretch=stretch(ratios) if len(ratios) else 0.0,
        unconverged=float(not converged),
        image_shift_mm=agreement.shift_mm,
        image_mismatch=agreement.mismatch,
        odd_hue=odd_hue(model, capture.rgb, capture.intrinsics, vertices_cam_mm, weights),
        pierced_mm=pierced_mm(model, surface, vertices_cam_mm, pairs, area * seen),
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
    targets = edges.targets_px(vertices_cam_mm, model.triangles)
    residual = px_from_cam(points, edges.intrinsics) - targets
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


def turned_deg(model: FaceModel, before_mm: Array, after_mm: Array, weights: Array) -> float:
    """Return the weighted mean angle between the normals of two shapes (n, 3), degrees.

    `before_mm` and `after_mm` are the two; `weights` those of vertices.
    """
    normals = [vertex_normals(vertices, model.triangles) for vertices in (before_mm, after_mm)]
    cosine = np.einsum("nd,nd->n", *normals)
    angle = np.degrees(np.arccos(np.clip(cosine, -1.0, 1.0)))
    return float(weights @ angle / max(float(weights.sum()), 1e-9))


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


def size_and_distortion(
    model: FaceModel, shape_obj_mm: Array, weights: Array
) -> tuple[float, float]:
    """Return `QualityFigures.size` and `QualityFigures.distortion`.

    The linear map takes the model's mean to the shape (n, 3), each about its weighted centre. A
    wrong depth unit or focal length shows as a face that is too large, too deep or too flat. The
    size counts as far as the distance of the outer eye corners, the yardstick of adults, says the
    same: a model's mean may be of another size than people are, and eyes may be wide apart.
    """
    share = weights / weights.sum()
    source, target = model.mean - share @ model.mean, shape_obj_mm - share @ shape_obj_mm
    weighted = source * share[:, None]
    linear = np.linalg.solve(weighted.T @ source, weighted.T @ target)
    logs = np.log(np.linalg.svd(linear, compute_uv=False))
    size = abs(float(logs.mean()))
    embedding = model.embeddings.get(MEDIAPIPE)
    if embedding is not None and np.isin(_OUTER_CORNERS, embedding.point_index).all():
        corners = embedding.subset(np.array(_OUTER_CORNERS))
        points = corners.points(shape_obj_mm, model.triangles)
        breadth_mm = max(float(np.linalg.norm(points[0] - points[1])), 1.0)
        size = min(size, abs(float(np.log(breadth_mm / OUTER_EYE_CORNERS_MM))))
    return size, float(np.abs(logs - logs.mean()).max())


def pierced_mm(
    model: FaceModel,
    surface: DepthSurface,
    vertices_cam_mm: Array,
    pairs: Correspondences,
    weights: Array,
) -> float:
    """Return the mean distance by which the depth lies behind the mesh, mm.

    Along the mesh's normal, less three standard deviations of the noise: the camera looks
    through a surface that should be there. Depth in front of the mesh says nothing like it,
    hair and hands are in front.

    Parameters
    ----------
    weights : (n,) float
        Areas of the vertices that count, those without depth included.
    """
    points, _, known = surface.lookup(px_from_cam(vertices_cam_mm, surface.intrinsics))
    used = known & (weights > 0)
    if not used.any():
        return 0.0
    normals = vertex_normals(vertices_cam_mm, model.triangles)[used]
    line = vertices_cam_mm[used] / np.linalg.norm(vertices_cam_mm[used], axis=1, keepdims=True)
    cosine = np.clip(-np.einsum("nd,nd->n", normals, line), 0.0, 1.0)
    behind = (points[used, 2] - vertices_cam_mm[used, 2]) * cosine
    noise = float(np.median(pairs.noise_mm[pairs.accepted])) if pairs.accepted.any() else 0.0
    behind = np.clip(behind - 3.0 * noise, 0.0, PIERCED_MAX_MM)
    return float(weights[used] @ behind / weights.sum())


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
