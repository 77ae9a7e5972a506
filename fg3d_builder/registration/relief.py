"""Relief that the depth resolves, and no other: a Wiener filter of what the 3DMM does not explain.

What sets a registered face off the 3DMM's is relief of its own plus the depth's noise. The
relief's power spectral density falls with the wave number k as ``RELIEF / k^4``, the noise's is
``N`` (see `fg3d_builder.rendering.noise_density`). The filter that leaves the least error keeps of
each wavelength the share that is signal (Wiener 1949) ::

    gain(k) = S / (S + N) = 1 / (1 + (N / RELIEF) k^4)

the minimum of the smoothing spline's energy, with weights where the depth says less or nothing ::

    integral  w |x - e|^2 + (N / RELIEF) |laplacian x|^2

``e`` is the registered residual, ``x`` the one that stays: a clean scan has no N and keeps all,
noise takes first what is fine and last what is wide. What a 3DMM leaves over is more where what it
knows is more, see `relief_share`: ``w`` is the depth's confidence times that share. The spline's
``w + k^4`` is between half of and all of ``(w^(1/2) + k^2)^2``, two membranes: conjugate gradients
with these as preconditioner need few steps, each of two solutions of a system that nonrigid ICP
has already analysed.
"""

from __future__ import annotations

import numpy as np

from fg3d_builder.facemodel.mesh_facts import joined_vertices, mean_areas_mm2, mesh_edges
from fg3d_builder.facemodel.model import FaceModel
from fg3d_builder.geometry.meshes import vertex_areas, vertex_normals
from fg3d_builder.numerics.remembered import remembered
from fg3d_builder.records import Array
from fg3d_builder.registration.membrane import Pattern, shared_pattern

RELIEF = 0.035
"""Power spectral density of faces off the 3DMM, times k^4; it has no unit. Clean scans of
modelled heads registered: 0.04 at wavelengths of 8 to 16 mm, 0.035 at 16 to 32 mm, 0.02 at 32 to
64 mm, the registration's own smoothing undone."""

SHARE_WITHIN_MM2 = 60.0
"""Area over which the model's own relief is averaged: a lid's breadth."""

LEAST_SHARE, MOST_SHARE = 0.3, 5.5
"""The inside of lips has a hundred times the relief of cheeks; nobody sees it."""

LEAST_WEIGHT = 1e-6
"""Weight of a vertex that nothing holds, against 1 where the depth is good."""

ROWS_AT_ONCE = 2048
"""Vertices whose relief in all modes is in memory at a time."""

STEPS = 20
TOLERANCE = 1e-2
"""Conjugate gradients end there, relative to the first residual: within 0.003 mm."""

TINY = 1e-300
"""Stands for zero in a column that has nothing left to do."""


def resolved(
    model: FaceModel,
    vertices_cam_mm: Array,
    posterior_cam_mm: Array,
    confidence: Array,
    density_mm4: float,
    solver: str,
) -> Array:
    """Return the registered vertices (n, 3) without relief that the depth does not resolve.

    Parameters
    ----------
    model : FaceModel
    vertices_cam_mm : (n, 3) float64
        Registered.
    posterior_cam_mm : (n, 3) float64
        The 3DMM's face given the registered one; see `disentangle`.
    confidence : (n,) float64
        In [0, 1]: how well the depth supports each vertex. Where it does not, the residual
        continues smoothly that of the vertices around. More than 1 holds a vertex in place.
    density_mm4 : float
        ``N``; with 0 the vertices come back as they are.
    solver : str
        Backend, see `analyze`.
    """
    if density_mm4 <= 0:
        return vertices_cam_mm
    pattern = shared_pattern(model.triangles, model.vertex_count, solver)
    areas = vertex_areas(posterior_cam_mm, model.triangles)
    residual = vertices_cam_mm - posterior_cam_mm
    shared = np.where(confidence > 1.0, confidence, confidence * relief_share(model))
    kept = smoothing_spline(pattern, areas, shared, residual, density_mm4 / RELIEF)
    return np.asarray(posterior_cam_mm + kept)


@remembered(
    lambda model: (
        model.mean,
        model.triangles,
        model.id_basis,
        model.id_sd,
        model.exp_basis,
        model.reliable,
    )
)
def relief_share(model: FaceModel) -> Array:
    """Return (n,) how much relief off the 3DMM is expected at a vertex, against `RELIEF`.

    Eyes, the wings of a nose and lips differ from person to person in what is fine, cheeks in
    what is wide; and what no basis holds is distributed like what it does hold. The share is the
    root mean square, over the prior, of the Laplacian along the normal of the model's own
    directions; its geometric mean over the reliable region is 1.
    """
    areas = mean_areas_mm2(model)
    normals = vertex_normals(model.mean, model.triangles)[:, None]
    along = np.concatenate(
        [
            (normals @ model.id_basis)[:, 0] * model.id_sd,
            (normals @ model.exp_basis)[:, 0] * model.exp_sd,
        ],
        axis=1,
    )
    edges = mesh_edges(model)
    joined = joined_vertices(model)
    degree = np.maximum(np.asarray(joined.sum(axis=1)).ravel(), 1.0)
    power, area = np.empty(len(areas)), areas.copy()
    # All at once, a registration's memory would be at its peak here.
    for first in range(0, len(areas), ROWS_AT_ONCE):
        rows = slice(first, first + ROWS_AT_ONCE)
        curved = degree[rows, None] * along[rows] - joined[rows] @ along
        curved /= areas[rows, None]
        power[rows] = (curved**2).sum(axis=1) * areas[rows]
    # Halfway to the mean of the neighbours: k rounds average over k edges' squares in area.
    length2 = ((model.mean[edges[:, 0]] - model.mean[edges[:, 1]]) ** 2).sum(axis=1).mean()
    for _ in range(round(SHARE_WITHIN_MM2 / length2)):
        power = 0.5 * (power + joined @ power / degree)
        area = 0.5 * (area + joined @ area / degree)
    local = np.sqrt(power / area)
    inside = model.reliable & (local > 0.0)
    if not inside.any():
        return np.ones(len(local))
    typical = np.exp(np.average(np.log(local[inside]), weights=areas[inside]))
    return np.clip(local / typical, LEAST_SHARE, MOST_SHARE)


def smoothing_spline(
    pattern: Pattern, areas_mm2: Array, weights: Array, values: Array, bending_mm4: float
) -> Array:
    """Minimise ``integral w |x - values|^2 + bending |laplacian x|^2`` over a mesh.

    Parameters
    ----------
    pattern : Pattern
        Of the mesh.
    areas_mm2 : (n,) float64
        Of the vertices.
    weights : (n,) float64
    values : (n, c) float64
    bending_mm4 : float

    Returns
    -------
    (n, c) float64
    """
    held = (areas_mm2 * np.maximum(weights, LEAST_WEIGHT))[:, None]
    areas = areas_mm2[:, None]
    # The sum over the edges of a regular triangulation is sqrt(3) times the integral of the
    # squared gradient, whatever the edges' length.
    stiffness = np.full(len(pattern.edges), (bending_mm4 / 3.0) ** 0.25)
    membrane = pattern.laplacian(stiffness)

    def energy(x: Array) -> Array:
        return np.asarray(held * x + membrane @ (membrane @ x / areas))

    diagonal = np.sqrt(held * areas)[:, 0]
    factor = pattern.analysis.factor(pattern.values(stiffness, diagonal))

    def preconditioned(x: Array) -> Array:
        return factor.solve(areas * factor.solve(x))

    # Each column has its own step lengths: c systems with one matrix.
    x = np.zeros(values.shape)
    rest = held * values
    direction = step = preconditioned(rest)
    size = first = (rest * step).sum(axis=0)
    for _ in range(STEPS):
        if (size <= TOLERANCE**2 * first).all():
            break
        pushed = energy(direction)
        length = size / np.maximum((direction * pushed).sum(axis=0), TINY)
        x += length * direction
        rest = rest - length * pushed
        step = preconditioned(rest)
        size, before = (rest * step).sum(axis=0), size
        direction = step + size / np.maximum(before, TINY) * direction
    return x
