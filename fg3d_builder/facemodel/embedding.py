"""Places a detector's points on a face model by showing it the model.

The model is rendered, the detector looks at the renderings, and what it marks is traced back
to the surface. A habit of the detector, such as brows marked a little high, thereby becomes
part of the correspondence and cancels when it looks at a real face.
"""

from __future__ import annotations

import dataclasses

import numpy as np
from scipy.spatial import cKDTree

from fg3d_builder.facemodel.model import Embedding, FaceModel, check_model
from fg3d_builder.facemodel.regions import LEFT_EYE, RIGHT_EYE, painted_albedo, signed_distance
from fg3d_builder.facemodel.showing import VIEWS_DEG, Scene, Spot, Surroundings, nearest_on_surface
from fg3d_builder.landmarks.edges import (
    MEDIAPIPE,
    MEDIAPIPE_CURVES,
    MEDIAPIPE_IRISES,
    MEDIAPIPE_OVAL,
    edge_points,
    mediapipe_mirror,
)
from fg3d_builder.records import Array

_OPEN_MOUTH_MM = 10.0
_UPPER_LIP, _LOWER_LIP = 0, 17


def with_embeddings(model: FaceModel, subjects: int = 10, seed: int = 0) -> FaceModel:
    """Return the model with a ``"mediapipe478"`` embedding; unchanged where it has one.

    The detector sees the mean and random subjects of the model itself.

    Raises
    ------
    ValueError
        No face is found on the renderings.
    """
    if MEDIAPIPE in model.embeddings:
        return model
    random = np.random.default_rng(seed)
    shapes, albedos = [model.mean], [_visible_albedo(model, np.zeros(len(model.albedo_sd)))]
    for _ in range(subjects):
        # A little less than the population's own spread keeps faces from being odd.
        shapes.append(model.shape(0.8 * model.id_sd * random.standard_normal(len(model.id_sd))))
        beta = 0.8 * model.albedo_sd * random.standard_normal(len(model.albedo_sd))
        albedos.append(_visible_albedo(model, beta))
    embedding, edge = mediapipe_embedding(model, np.array(shapes), np.array(albedos))
    full = dataclasses.replace(
        model,
        embeddings={**model.embeddings, MEDIAPIPE: embedding},
        edge_points={**model.edge_points, MEDIAPIPE: edge},
    )
    check_model(full)
    return full


def mediapipe_embedding(
    model: FaceModel,
    shapes_obj_mm: Array,
    albedos: Array,
    context: Surroundings | None = None,
    max_spread_mm: float = 4.0,
) -> tuple[Embedding, Array]:
    """Place MediaPipe's points on a model by detecting them on renderings.

    Each shape is rendered from `VIEWS_DEG` under soft light; each detected point is traced
    back to a triangle and from there to the mean shape. The place of a point is the mean of
    these, far ones left out, drawn to the nearest visible surface. Points between the lips
    are looked at with the mouth open, where the model has an expression for it: on a closed
    mouth, nothing tells the upper lip from the lower.

    Parameters
    ----------
    model : FaceModel
        Its mean, triangles and expression basis are used.
    shapes_obj_mm : (s, n, 3) float64
        Shapes in the model's topology, of neutral expression.
    albedos : (s, n, 3) float64
        Linear RGB.
    context : Surroundings or None
    max_spread_mm : float
        Points whose median distance from their place exceeds it are left out, and so are
        those that are beside the sheet in half of the renderings.

    Returns
    -------
    embedding : Embedding
        Has no irises, and no outline, which slides over the skin as the head turns.
    edge_ids : (p,) int32
        Its points that enter Eq. 9.

    Raises
    ------
    ValueError
        The detector finds a face on fewer than half of the renderings.
    """
    scene = Scene(model.name, model.triangles, context)
    scene.frame(shapes_obj_mm[0], albedos[0])
    spots, spread = _place(scene, model.mean, shapes_obj_mm, albedos)
    opening = _open_mouth(model, spots)
    if opening is not None:
        inner = list(MEDIAPIPE_CURVES["inner_lips"].points)
        opened = model.mean + opening
        in_lips, spread_lips = _place(scene, opened, shapes_obj_mm + opening, albedos)
        spread[inner] = spread_lips[inner]
        for field, better in zip(spots, in_lips, strict=True):
            field[inner] = better[inner]
    wanted = spread <= max_spread_mm
    wanted[[*MEDIAPIPE_IRISES, *MEDIAPIPE_OVAL.points]] = False
    index = np.flatnonzero(wanted).astype(np.int32)
    embedding = Embedding(index, spots.triangle[index], spots.barycentric[index])
    edge = edge_points(MEDIAPIPE)
    return embedding, edge[np.isin(edge, index)]


def robust_mean(places: Array) -> tuple[Array, Array]:
    """Return the (p, 3) mean places of (r, p, 3), NaN where unseen, and their (p,) spread.

    The mean is over the places within 2.5 median distances of the coordinate-wise median;
    the spread is the median distance, infinite for points seen in less than half.
    """
    seen = np.isfinite(places[..., 0])
    often = 2 * seen.sum(axis=0) >= len(places)
    place = np.zeros(places.shape[1:])
    spread = np.full(places.shape[1], np.inf)
    for point in np.flatnonzero(often):
        there = places[seen[:, point], point]
        away = np.linalg.norm(there - np.median(there, axis=0), axis=1)
        spread[point] = float(np.median(away))
        place[point] = there[away <= 2.5 * spread[point]].mean(axis=0)
    return place, spread


def is_symmetric(vertices: Array, tolerance_mm: float = 0.3) -> bool:
    """Return whether nearly all vertices (n, 3) have a partner on the other side of x = 0."""
    distance = cKDTree(vertices).query(vertices * [-1.0, 1.0, 1.0])[0]
    return float(np.quantile(distance, 0.98)) < tolerance_mm


def _place(
    scene: Scene, base_obj_mm: Array, shapes_obj_mm: Array, albedos: Array
) -> tuple[Spot, Array]:
    """Spots of all points, averaged on the shape `base_obj_mm`, and their spread in mm."""
    places = []
    for subject, (shape, albedo) in enumerate(zip(shapes_obj_mm, albedos, strict=True)):
        for number, view in enumerate(VIEWS_DEG):
            spots = scene.show(shape, albedo, subject, view, subject + number)
            if spots is not None:
                places.append(scene.on_shape(spots, base_obj_mm))
    renderings = len(shapes_obj_mm) * len(VIEWS_DEG)
    if 2 * len(places) < renderings:
        raise ValueError(
            f"face model '{scene.name}': a face is found on {len(places)} of {renderings} "
            f"renderings only; store an embedding '{MEDIAPIPE}' in the model file"
        )
    place, spread = robust_mean(np.array(places))
    if is_symmetric(base_obj_mm):
        # Left and right differ by chance alone; the mean of both halves the variance.
        other = mediapipe_mirror()
        both = np.isfinite(spread) & np.isfinite(spread[other])
        place[both] = (0.5 * (place + place[other] * [-1.0, 1.0, 1.0]))[both]
    seen = scene.visible_triangles(base_obj_mm)
    return nearest_on_surface(place, base_obj_mm, scene.triangles, seen), spread


def _open_mouth(model: FaceModel, spots: Spot) -> Array | None:
    """(n, 3) displacement of the expression that parts the lips most, to 10 mm more."""
    if model.exp_basis.shape[2] == 0:
        return None
    corners = model.triangles[spots.triangle]
    upper, lower = (
        np.einsum("c,cde->de", spots.barycentric[i], model.exp_basis[corners[i]])
        for i in (_UPPER_LIP, _LOWER_LIP)
    )
    apart = upper[1] - lower[1]
    # Each direction counts with the sign that parts the lips, as far as its bounds allow.
    reach = np.where(apart >= 0, model.exp_upper, -model.exp_lower)
    gain = np.abs(apart) * np.where(np.isfinite(reach), reach, 3 * model.exp_sd)
    best = int(np.argmax(gain))
    if gain[best] < 0.5 * _OPEN_MOUTH_MM:
        return None
    return np.asarray(model.exp_basis[:, :, best] * (_OPEN_MOUTH_MM / apart[best]))


def _visible_albedo(model: FaceModel, beta: Array) -> Array:
    """The model's albedo; for a model without one, paint by its 68 landmarks."""
    albedo = model.albedo(beta)
    known = model.embeddings.get("ibug68")
    if float(np.ptp(albedo, axis=0).max()) > 0.02 or known is None or len(known.point_index) < 68:
        return albedo
    marks = known.points(model.mean, model.triangles)
    eyes = np.zeros(model.vertex_count, dtype=bool)
    for eye in (RIGHT_EYE, LEFT_EYE):
        eyes |= signed_distance(model.mean[:, :2], marks[eye, :2]) > 0
    eyes &= model.mean[:, 2] > marks[36:48, 2].min() - 10.0
    iris = np.array([marks[RIGHT_EYE].mean(axis=0), marks[LEFT_EYE].mean(axis=0)])
    nothing = np.zeros(model.vertex_count, dtype=bool)
    return painted_albedo(model.mean, marks, eyes, nothing, iris)
