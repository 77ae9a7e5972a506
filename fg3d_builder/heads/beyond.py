"""What surrounds the face of the embedded model, from the population's own heads."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from fg3d_builder.facemodel.model import FaceModel
from fg3d_builder.facemodel.surround import Surround, mirror_vertices
from fg3d_builder.geometry.meshes import compact_triangles
from fg3d_builder.heads.head import smoothstep
from fg3d_builder.heads.population import HeadPopulation
from fg3d_builder.heads.thinning import thinned
from fg3d_builder.records import Array


def build_surround(
    model: FaceModel, population: HeadPopulation, people: Iterable[tuple[Array, Array]]
) -> Surround:
    """Make the surround: mesh, statistics given the identity of the face, regions.

    Parameters
    ----------
    model : FaceModel
        Of the population; its identity model and its topology are used.
    population : HeadPopulation
    people : iterable of (face, context)
        The (n, 3) faces that the identity model was made of and the (c, 3) context of each.
    """
    head, settings = population.head, population.recipe["surround"]
    base = head.base(population.sampler.average())
    context = head.surroundings(base, head.face(base))
    welded, triangles = _welded(population)
    mirror = _mirror(context, welded, len(head.skirt))
    skirted = np.arange(len(context)) >= len(context) - len(head.skirt)
    kept, triangles = thinned(
        context,
        triangles,
        mirror,
        skirted,
        _importance(context, settings),
        settings["vertices"],
        settings["longest_edge_mm"],
    )
    _, triangles = compact_triangles(triangles, len(context))
    number = np.full(len(context), -1)
    number[kept] = np.arange(len(kept))
    mirror = number[mirror[kept]]
    mean, id_basis = conditional_mean(
        ((face, around[kept]) for face, around in people), model, mirror
    )
    skirt = number[np.flatnonzero(skirted)]
    first = _first_triangle(model.triangles, model.vertex_count)[head.skirt]
    corner = model.triangles[first] == head.skirt[:, None]
    ear = head.context_ears[kept]
    return Surround(
        mean=mean,
        triangles=triangles,
        id_basis=id_basis,
        skirt=skirt.astype(np.int32),
        skirt_triangle=first.astype(np.int32),
        skirt_barycentric=corner.astype(np.float64),
        skirt_depth_mm=head.skirt_depth_mm,
        ear=_even(ear, mirror),
        scalp=_even(_scalp(population, kept, ear, settings), mirror),
        neck=_even(_neck(context[kept], settings), mirror),
        mirror=mirror.astype(np.int32),
    )


def conditional_mean(
    people: Iterable[tuple[Array, Array]], model: FaceModel, mirror: Array
) -> tuple[Array, Array]:
    """Regress what surrounds a face on the identity of the face.

    ``E[around | alpha] = mean + B alpha`` over the faces that the model is made of and their
    mirror images. There the coefficients are uncorrelated with variances ``id_sd ** 2``, so
    ``B = E[around alpha^T] / id_sd ** 2`` is the least-squares solution.

    Parameters
    ----------
    people : iterable of (face, around)
        (n, 3) and (c, 3), mm.
    model : FaceModel
        Symmetric, every component symmetric or antisymmetric.
    mirror : (c,) int
        Partners of the surrounding vertices.

    Returns
    -------
    mean : (c, 3), basis : (c, 3, k) float64
    """
    basis = model.id_basis.reshape(-1, len(model.id_sd))
    face_mirror = mirror_vertices(model.mean)
    flip = np.array([-1.0, 1.0, 1.0])
    alphas, arounds = [], []
    for face, around in people:
        for own, rest in ((face, around), (face[face_mirror] * flip, around[mirror] * flip)):
            alphas.append((own - model.mean).reshape(-1) @ basis)
            arounds.append(rest.reshape(-1))
    centre = np.mean(arounds, axis=0)
    moments = (np.array(arounds) - centre).T @ np.array(alphas) / len(alphas)
    regression = (moments / model.id_sd**2).reshape(len(mirror), 3, -1)
    mean = centre.reshape(-1, 3)
    # Exact to the last bit, whatever the order of the sums.
    return (mean + mean[mirror] * flip) / 2, _with_parity(regression, mirror, model, face_mirror)


def _with_parity(basis: Array, mirror: Array, model: FaceModel, face_mirror: Array) -> Array:
    """Give each surrounding component the parity of the face's component."""
    flip = np.array([-1.0, 1.0, 1.0])[:, None]
    image = model.id_basis[face_mirror] * flip
    parity = np.sign((image * model.id_basis).sum(axis=(0, 1)))
    return np.asarray((basis + parity * basis[mirror] * flip) / 2)


def _welded(population: HeadPopulation) -> tuple[Array, Array]:
    """Context triangles in which the rest of the head meets the skirt in one ring.

    Returns
    -------
    welded : (c,) int64
        The vertex that takes the place of each; itself but for the ring's copies.
    triangles : (k, 3) int64
    """
    head = population.head
    matrix = head.context
    first = matrix.shape[0] - len(head.skirt)
    ring = first + np.flatnonzero(head.skirt_depth_mm == 0)
    # The copies have the same rows: they are the same points on every head.
    of_row = {_row(matrix, int(v)): int(v) for v in ring}
    welded = np.arange(matrix.shape[0])
    border = np.setdiff1d(np.unique(head.context_triangles), np.arange(first, matrix.shape[0]))
    for v in border.tolist():
        welded[v] = of_row.get(_row(matrix, v), v)
    if (welded[:first] >= first).sum() != len(ring):
        raise ValueError("the context does not end at the border of the face sheet")
    return welded, welded[head.context_triangles]


def _row(matrix: Any, index: int) -> tuple[bytes, bytes]:
    part = slice(matrix.indptr[index], matrix.indptr[index + 1])
    order = np.argsort(matrix.indices[part])
    return matrix.indices[part][order].tobytes(), matrix.data[part][order].tobytes()


def _mirror(context_mm: Array, welded: Array, skirt_count: int) -> Array:
    """Partners of the context's vertices, skirt with skirt; dropped copies keep themselves."""
    out = np.arange(len(context_mm))
    skirted = out >= len(out) - skirt_count
    for part in (skirted, ~skirted & (welded == out)):
        own = np.flatnonzero(part)
        out[own] = own[mirror_vertices(context_mm[own])]
    return out


def _importance(points_mm: Array, settings: Mapping[str, Any]) -> Array:
    """1 on the head, less below the neck, of which pictures show little."""
    low, high = settings["body_y_mm"]
    return np.asarray(settings["body_share"] ** (1 - smoothstep(points_mm[:, 1], low, high)))


def _first_triangle(triangles: Array, count: int) -> Array:
    first = np.zeros(count, dtype=np.int64)
    first[triangles[::-1].reshape(-1)] = np.repeat(np.arange(len(triangles))[::-1], 3)
    return first


def _scalp(
    population: HeadPopulation, kept: Array, ear: Array, settings: Mapping[str, Any]
) -> Array:
    fade = settings["hair_fade_mm"]
    height = population.anatomy.context_hair_line_mm[kept]
    return np.asarray(smoothstep(height, -fade, fade) * (1 - smoothstep(ear, 0.0, 0.5)))


def _neck(points_mm: Array, settings: Mapping[str, Any]) -> Array:
    """Below the jaw and the base of the skull: a line of (azimuth in degrees, y in mm)."""
    line, fade = np.asarray(settings["neck_line_mm"]), settings["neck_fade_mm"]
    azimuth = np.abs(np.degrees(np.arctan2(points_mm[:, 0], points_mm[:, 2])))
    depth = np.interp(azimuth, line[:, 0], line[:, 1]) - points_mm[:, 1]
    return smoothstep(depth, -fade, fade)


def _even(field: Array, mirror: Array) -> Array:
    return np.asarray((field + field[mirror]) / 2)
