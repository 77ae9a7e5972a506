"""The embedded default model: statistics over the synthetic population, and its semantics."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from fg3d_builder.facemodel.chart import balanced_chart
from fg3d_builder.facemodel.ibug_points import BRIDGE, JAW, bridge_points
from fg3d_builder.facemodel.model import Embedding, FaceModel
from fg3d_builder.facemodel.regions import contour_lines, part_labels, reliable_mask
from fg3d_builder.facemodel.surround import mirror_vertices
from fg3d_builder.geometry.meshes import vertex_normals
from fg3d_builder.heads.beyond import build_surround
from fg3d_builder.heads.makehuman import LICENCE, MakeHumanData
from fg3d_builder.heads.population import HeadPopulation
from fg3d_builder.landmarks.edges import (
    IBUG,
    MEDIAPIPE,
    MEDIAPIPE_OF_IBUG,
    MEDIAPIPE_RIDGE,
    edge_points,
)
from fg3d_builder.records import Array

_EMBEDDING_SEED = 9_000_000
_POPULATION_SEED = 10_000_000


def build_model(population: HeadPopulation) -> FaceModel:
    """Make the model: identity and albedo PCA, actions, surround, chart, landmarks, regions."""
    recipe = population.recipe
    size = recipe["population"]
    seeds = [_POPULATION_SEED + i for i in range(size["subjects"])]
    triangles = population.head.sheet_triangles
    mirror = mirror_vertices(population.average_mm)
    people = [population.neutral(seed)[1:] for seed in seeds]
    mean, id_basis, id_sd = symmetric_pca(
        (face for face, _ in people), len(seeds), mirror, size["components"]
    )
    albedo_mean, albedo_basis, albedo_sd = symmetric_pca(
        (population.albedo(seed)[0] for seed in seeds),
        len(seeds),
        mirror,
        size["albedo_components"],
        flips_x=False,
    )
    actions = population.actions_mm
    count = actions.shape[2]
    model = FaceModel(
        name=recipe["name"],
        licence=f"{LICENCE} {MakeHumanData.version()}",
        mean=mean,
        triangles=triangles,
        id_basis=id_basis,
        id_sd=id_sd,
        exp_basis=actions.astype(np.float64),
        exp_sd=np.full(count, float(recipe["expression"]["sd"])),
        exp_names=population.action_names,
        exp_lower=np.zeros(count),
        exp_upper=np.ones(count),
        albedo_mean=albedo_mean,
        albedo_basis=albedo_basis,
        albedo_sd=albedo_sd,
        uv=balanced_chart(mean, triangles),
    )
    model = dataclasses.replace(model, surround=build_surround(model, population, people))
    return _with_semantics(_with_mediapipe(model, population), population)


def symmetric_pca(
    samples: Iterator[Array], count: int, mirror: Array, components: int, flips_x: bool = True
) -> tuple[Array, Array, Array]:
    """PCA of `count` samples together with their mirror images.

    The mean is symmetric; every component is either symmetric or antisymmetric, since
    mirroring commutes with the covariance: both halves are decomposed on their own.

    At most `components` are kept. `flips_x`: samples are vectors, whose x changes sign in the
    mirror.

    Returns
    -------
    mean : (n, 3), basis : (n, 3, k) with orthonormal columns, sd : (k,) float64
    """
    sign = np.array([-1.0, 1.0, 1.0]) if flips_x else np.ones(3)
    even: Array | None = None
    for i, sample in enumerate(samples):
        if even is None:
            even = np.empty((count, sample.size), dtype=np.float32)
            odd = np.empty_like(even)
        image = sample[mirror] * sign
        even[i] = ((sample + image) / 2).reshape(-1)
        odd[i] = ((sample - image) / 2).reshape(-1)
    if even is None:
        raise ValueError("PCA needs samples")
    mean = even.mean(axis=0, dtype=np.float64)
    parts = [_components(even - mean.astype(np.float32)), _components(odd)]
    sd = np.concatenate([part[1] for part in parts])
    basis = np.concatenate([part[0] for part in parts], axis=1)
    order = np.argsort(-sd, kind="stable")[:components]
    shape = (len(mirror), 3)
    return mean.reshape(shape), basis[:, order].reshape(*shape, -1), sd[order]


def _components(centred: Array) -> tuple[Array, Array]:
    """Principal directions (d, r) and deviations (r,) of centred rows, by the Gram matrix."""
    gram = (centred @ centred.T).astype(np.float64)
    value, vector = np.linalg.eigh(gram)
    keep = value > value[-1] * 1e-6
    value, vector = value[keep][::-1], vector[:, keep][:, ::-1]
    basis = centred.T.astype(np.float64) @ vector / np.sqrt(value)
    largest = basis[np.argmax(np.abs(basis), axis=0), np.arange(basis.shape[1])]
    return basis * np.sign(largest), np.sqrt(value / len(centred))


def _with_mediapipe(model: FaceModel, population: HeadPopulation) -> FaceModel:
    # The detector is heavy to import, and a cached model does not need it.
    from fg3d_builder.facemodel.embedding import mediapipe_embedding
    from fg3d_builder.facemodel.showing import Surroundings

    seeds = [_EMBEDDING_SEED + i for i in range(population.recipe["embedding"]["subjects"])]
    people = [population.neutral(seed) for seed in seeds]
    paint = [population.albedo(seed) for seed in seeds]
    embedding, edge = mediapipe_embedding(
        model,
        np.array([face for _, face, _ in people]),
        np.array([face for face, _ in paint]),
        Surroundings(
            np.array([context for _, _, context in people]),
            population.head.context_triangles,
            np.array([context for _, context in paint]),
        ),
    )
    return dataclasses.replace(
        model, embeddings={MEDIAPIPE: embedding}, edge_points={MEDIAPIPE: edge}
    )


def _with_semantics(model: FaceModel, population: HeadPopulation) -> FaceModel:
    """Add the 68 points and what follows from them: parts, masks, contour lines."""
    from fg3d_builder.facemodel.showing import nearest_on_surface

    known = model.embeddings[MEDIAPIPE]
    row = {int(point): i for i, point in enumerate(known.point_index)}
    missing = [p for p in MEDIAPIPE_OF_IBUG[17:] if p not in row]
    if missing:
        raise ValueError(f"MediaPipe's points {missing} were not placed on the default model")
    inner = [row[p] for p in MEDIAPIPE_OF_IBUG[17:]]
    jaw = jaw_points(model.mean, model.triangles, population.recipe["jaw"])
    ridge = model.embedded(MEDIAPIPE, MEDIAPIPE_RIDGE).points(model.mean, model.triangles)
    everywhere = np.ones(len(model.triangles), dtype=bool)
    placed = np.concatenate([jaw, bridge_points(ridge)])
    spots = nearest_on_surface(placed, model.mean, model.triangles, everywhere)
    triangle = np.concatenate([np.zeros(17), known.triangle[inner]]).astype(np.int32)
    barycentric = np.concatenate([np.zeros((17, 3)), known.barycentric[inner]])
    triangle[[*JAW, *BRIDGE]], barycentric[[*JAW, *BRIDGE]] = spots.triangle, spots.barycentric
    ibug = Embedding(np.arange(68, dtype=np.int32), triangle, barycentric)
    marks = ibug.points(model.mean, model.triangles)
    head, anatomy = population.head, population.anatomy
    interior = (head.eye > 0) | (head.seam > 0.05) | (anatomy.nostril > 0.5)
    reliable = reliable_mask(model.mean, model.triangles, marks, interior)
    reliable &= (head.border_calm > 0.05) & (anatomy.hair < -4.0)
    return dataclasses.replace(
        model,
        embeddings={**model.embeddings, IBUG: ibug},
        edge_points={**model.edge_points, IBUG: edge_points(IBUG)},
        contour_lines=contour_lines(model.mean, model.triangles, marks),
        parts=part_labels(model.mean, marks),
        reliable=reliable,
        rigid=population.align & reliable,
    )


def jaw_points(face_mm: Array, triangles: Array, settings: Mapping[str, Any]) -> Array:
    """Return (17, 3) points of the jaw line near the surface, from right ear to left ear.

    The line goes down in front of the ear at a fixed azimuth and follows the jaw, where the
    skin, followed downwards, turns to face the ground.
    """
    normals = vertex_normals(face_mm, triangles)
    azimuth = np.degrees(np.arctan2(np.abs(face_mm[:, 0]), face_mm[:, 2]))
    side = float(settings["azimuth_deg"])
    degrees = np.linspace(0.0, side, 29)
    heights = np.arange(settings["lowest_y_mm"], settings["mouth_y_mm"], 2.0)
    turning = []
    for angle in degrees:
        down = np.array([_outer_mean(face_mm, azimuth, angle, y, normals[:, 1]) for y in heights])
        # Up from where the skin faces the ground most: a fold of the chin may do so as well.
        bottom = int(np.nanargmin(down))
        limit = max(-0.88, 0.97 * float(down[bottom]))
        turning.append(heights[bottom + int(np.argmax(down[bottom:] > limit))])
    smooth = np.polynomial.Polynomial.fit(degrees / side, turning, 4)
    jaw = np.column_stack([degrees, smooth(degrees / side)])
    up = np.linspace(jaw[-1, 1], settings["ear_y_mm"], 12)[1:]
    line = np.vstack([jaw, np.column_stack([np.full(len(up), side), up])])
    reach = np.hypot(face_mm[:, 0], face_mm[:, 2])
    radius = np.array([_outer_mean(face_mm, azimuth, a, y, reach) for a, y in line])
    angle = np.radians(line[:, 0])
    half = np.column_stack([radius * np.sin(angle), line[:, 1], radius * np.cos(angle)])
    length = np.concatenate([[0], np.cumsum(np.linalg.norm(np.diff(half, axis=0), axis=1))])
    at = np.linspace(0, length[-1], 9)
    left = np.column_stack([np.interp(at, length, half[:, k]) for k in range(3)])
    return np.vstack([left[:0:-1] * [-1.0, 1.0, 1.0], left])


def _outer_mean(face_mm: Array, azimuth: Array, angle: float, y: float, values: Array) -> float:
    """Mean of the values of the outermost vertices around a direction."""
    near = np.flatnonzero((np.abs(azimuth - angle) < 4) & (np.abs(face_mm[:, 1] - y) < 4))
    if not len(near):
        return float("nan")
    radius = np.hypot(face_mm[near, 0], face_mm[near, 2])
    return float(values[near[radius >= radius.max() - 4.0]].mean())
