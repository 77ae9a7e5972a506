"""Whether what was carried over to a model is right: figures, and what is wrong in words."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from fg3d_builder.facemodel.embedding import robust_mean
from fg3d_builder.facemodel.model import FaceModel
from fg3d_builder.facemodel.showing import VIEWS_DEG, Scene, Surroundings
from fg3d_builder.geometry.meshes import border_edges
from fg3d_builder.landmarks.edges import MEDIAPIPE, MEDIAPIPE_CURVES, MEDIAPIPE_NOSE
from fg3d_builder.records import Array

MAX_LANDMARK_MM = 4.0
"""Mean distance of a region's points beyond which an import is called doubtful."""

MAX_SURFACE_MM = 1.5
"""The same for the 95th percentile of the donor's distance over the reliable face."""

REGIONS: dict[str, tuple[int, ...]] = {
    "eyes": MEDIAPIPE_CURVES["right_eye"].points + MEDIAPIPE_CURVES["left_eye"].points,
    "brows": tuple(
        point
        for name, curve in MEDIAPIPE_CURVES.items()
        if "brow" in name
        for point in curve.points
    ),
    "nose": MEDIAPIPE_NOSE,
    "lips": MEDIAPIPE_CURVES["outer_lips"].points + MEDIAPIPE_CURVES["inner_lips"].points,
}


@dataclass(frozen=True)
class TransferCheck:
    """How well a donor's semantics lie on a model.

    Attributes
    ----------
    surface_mm : tuple of float
        Distances between the bent donor and the model over the reliable face: mean and 95th
        percentile.
    point_index : (k,) int32
        Numbers of MediaPipe's points that were carried over and are seen on renderings.
    distance_mm : (k,) float64
        Between the carried place and the place that the detector finds on renderings of the
        finished model.
    by_region_mm : dict of str to float
        Means of `distance_mm` over the points of eyes, brows, nose and lips; of all under
        "all". A region of which no point is seen is missing.
    problems : tuple of str
        What is beyond a limit, one sentence each.
    """

    surface_mm: tuple[float, float]
    point_index: Array
    distance_mm: Array
    by_region_mm: dict[str, float]
    problems: tuple[str, ...]


def checked_transfer(model: FaceModel, to_donor_mm: Array) -> TransferCheck:
    """Show a finished model to the detector and compare.

    Parameters
    ----------
    model : FaceModel
    to_donor_mm : (n,) float64
        Distance of each vertex to the bent donor.
    """
    reliable = to_donor_mm[model.reliable]
    surface = (
        (float(reliable.mean()), float(np.quantile(reliable, 0.95)))
        if len(reliable)
        else (np.inf, np.inf)
    )
    problems = []
    if not surface[1] <= MAX_SURFACE_MM:
        problems.append(
            f"the bent donor is {surface[1]:.1f} mm off the face at the 95th percentile, "
            f"at most {MAX_SURFACE_MM:g} mm are right"
        )
    seen = seen_landmarks(model)
    if seen is None:
        problems.append("no face is found on renderings of the finished model")
        return TransferCheck(surface, np.zeros(0, np.int32), np.zeros(0), {}, tuple(problems))
    for name, away in seen.by_region_mm.items():
        if name != "all" and away > MAX_LANDMARK_MM:
            problems.append(
                f"points of the {name} are {away:.1f} mm from where a detector "
                f"sees them, at most {MAX_LANDMARK_MM:g} mm are right"
            )
    return TransferCheck(surface, *seen, tuple(problems))


class SeenLandmarks(NamedTuple):
    """MediaPipe's points of a model and where it sees them; see `TransferCheck`.

    Attributes
    ----------
    point_index : (k,) int
        Points of MediaPipe that were seen.
    distance_mm : (k,) float
        Between the model's points and those that were seen.
    by_region_mm : dict of str to float
        Mean distance in each region of the face, and in ``"all"``.
    """

    point_index: Array
    distance_mm: Array
    by_region_mm: dict[str, float]


def seen_landmarks(model: FaceModel) -> SeenLandmarks | None:
    """Compare a model's points with what the detector finds on renderings; None for no face."""
    known, found = model.embeddings[MEDIAPIPE], _detected(model)
    if found is None:
        return None
    own = known.points(model.mean, model.triangles)
    distance = np.linalg.norm(found[known.point_index] - own, axis=1)
    seen = np.isfinite(distance)
    index, distance = known.point_index[seen], distance[seen]
    regions = {"all": float(distance.mean())} if len(distance) else {}
    for name, points in REGIONS.items():
        of_region = distance[np.isin(index, points)]
        if len(of_region):
            regions[name] = float(of_region.mean())
    return SeenLandmarks(index, distance, regions)


def _detected(model: FaceModel) -> Array | None:
    """(478, 3) places of the detector's points on the model's mean, NaN where it sees none."""
    albedo, context = model.albedo(), None
    if model.surround is not None:
        rim = albedo[np.unique(border_edges(model.triangles))].mean(axis=0)
        around = np.tile(rim, (model.surround.vertex_count, 1))
        context = Surroundings(
            model.surround.mean[None],
            model.surround.triangles,
            around[None],
        )
    scene = Scene(model.name, model.triangles, context)
    try:
        scene.frame(model.mean, albedo)
    except ValueError:
        return None
    looks = [scene.show(model.mean, albedo, 0, view, i) for i, view in enumerate(VIEWS_DEG)]
    places = [scene.on_shape(spots, model.mean) for spots in looks if spots is not None]
    if not places:
        return None
    points, spread = robust_mean(np.array(places))
    points[~np.isfinite(spread)] = np.nan
    return points
