"""Relief that the depth resolves, and no other: a Wiener filter of what the 3DMM does not explain.

What sets a registered face off the 3DMM's is relief of its own plus the depth's noise. The
relief's power spectral density falls with the wave number k as ``RELIEF / k^4``, the noise's is
``N`` (see `fg3d_builder.rendering.noise_density`). The filter that leaves the least error keeps of
each wavelength the share that is signal (Wiener 1949) ::

    gain(k) = S / (S + N) = 1 / (1 + (N / RELIEF) k^4)

the minimum of the smoothing spline's energy, with weights where the depth says less or nothing ::

    integral  w |x - e|^2 + (N / RELIEF) |laplacian x|^2

``e`` is the registered residual, ``x`` the one that stays: a clean scan has no N and keeps all,
noise takes first what is fine and last what is wide. The spline's ``w + k^4`` is between half of
and all of ``(w^(1/2) + k^2)^2``, two membranes: conjugate gradients with these as preconditioner
need few steps, each of two solutions of a system that nonrigid ICP has already analysed.
"""

from __future__ import annotations

import numpy as np

from fg3d_builder.facemodel.model import FaceModel
from fg3d_builder.geometry.meshes import vertex_areas
from fg3d_builder.records import Array
from fg3d_builder.registration.membrane import Pattern, shared_pattern

RELIEF = 0.035
"""Power spectral density of faces off the 3DMM, times k^4; it has no unit. Clean scans of
modelled heads registered: 0.04 at wavelengths of 8 to 16 mm, 0.035 at 16 to 32 mm, 0.02 at 32 to
64 mm, the registration's own smoothing undone."""

LEAST_WEIGHT = 1e-6
"""Weight of a vertex that nothing holds, against 1 where the depth is good."""

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
    kept = smoothing_spline(pattern, areas, confidence, residual, density_mm4 / RELIEF)
    return np.asarray(posterior_cam_mm + kept)


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
