"""Real heads of several makers as sources of face models, for the import's tests and figures.

What has no variation of its own gets some smooth modes, so that every step of an import has
something to carry.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path

import numpy as np

from fg3d_builder.facemodel.ict import EYEBALL_VERTICES, HEAD_VERTICES
from fg3d_builder.facemodel.sources.source import ModelSource
from fg3d_builder.files.bounded import read_npz
from fg3d_builder.files.mesh_io import read_mesh
from fg3d_builder.files.textured_mesh import colors_at_vertices
from fg3d_builder.records import Array
from fg3d_builder.rendering.shading import linear_from_srgb

_MODES = 3


def ict_source(data: Path, modes: int = 100) -> tuple[ModelSource, Array]:
    """Return ICT-FaceKit as one mesh with eyeballs, and its (68,) published points.

    The points are withheld from the source.
    """
    file = read_npz(data / "ict_facekit" / "all_modes.npz", "unreadable_model")
    number = file["source_vertex_index"]
    place = np.full(int(number.max()) + 2, -1)
    place[number] = np.arange(len(number))
    ball = (number >= EYEBALL_VERTICES[0]) & (number < EYEBALL_VERTICES[1])
    used = (number < HEAD_VERTICES) | ball
    assert used.all()
    polygons, corners_uv = file["faces"], file["faces_uv"]
    uv = np.where(corners_uv[..., None] >= 0, file["uv"][corners_uv], 0.0)
    expression = 10.0 * np.moveaxis(file["expression"].astype(np.float64), 0, 2)
    source = ModelSource(
        layout="ict",
        name="ict-general",
        licence="MIT (USC Institute for Creative Technologies)",
        mean=10.0 * file["neutral"].astype(np.float64),
        polygons=polygons.astype(np.int32),
        id_basis=10.0 * np.moveaxis(file["identity"][:modes].astype(np.float64), 0, 2),
        id_sd=np.ones(min(modes, len(file["identity"]))),
        exp_basis=expression,
        exp_sd=np.full(expression.shape[2], 0.3),
        exp_names=tuple(str(name) for name in file["expression_names"]),
        exp_lower=np.zeros(expression.shape[2]),
        exp_upper=np.ones(expression.shape[2]),
        uv=uv.astype(np.float64),
        groups={"eyes": np.flatnonzero(ball).astype(np.int32)},
        unit_said="centimetres",
    )
    return source, place[file["landmarks_multipie68"]]


def valid_source(data: Path, head: str) -> ModelSource:
    """Return a hand-modelled head with eyes and teeth, cut off at the shoulders."""
    mesh = read_mesh(data / "heads" / head / "mesh.glb")
    low = np.array([-130.0, -170.0, -1000.0])
    inside = np.all((mesh.vertices > low) & (mesh.vertices < -low), axis=1)
    triangles = mesh.triangles[inside[mesh.triangles].all(axis=1)]
    return _welded_source(head, mesh.vertices, triangles, colors_at_vertices(mesh))


def meshmonk_source(data: Path) -> ModelSource:
    """Return the mean and the modes of 30 faces without hair or inner mouth."""
    file = read_npz(data / "meshmonk" / "faces.npz", "unreadable_model")
    faces = file["vertices_mm"].astype(np.float64)
    mean = faces.mean(axis=0)
    _, size, across = np.linalg.svd((faces - mean).reshape(len(faces), -1), full_matrices=False)
    count = 20
    return _source(
        "meshmonk",
        mean - [*mean[:, :2].mean(axis=0), 0.0],
        file["triangles"].astype(np.int32),
        None,
        across[:count].T.reshape(*mean.shape, count),
        size[:count] / np.sqrt(len(faces) - 1),
    )


def facefuns_source(data: Path, name: str = "f18", texture: bool = True) -> ModelSource:
    """Return an averaged scan."""
    folder = data / "scans" / f"facefuns-{name}"
    file = folder / ("mesh.obj" if (folder / "mesh.obj").is_file() else "mesh.glb")
    mesh = read_mesh(file)
    colours = colors_at_vertices(mesh) if texture else None
    return _welded_source(f"facefuns-{name}", mesh.vertices, mesh.triangles, colours)


def perry_smith_source(data: Path) -> ModelSource:
    """Return a scan with closed eyes, brought to millimetres by its height."""
    mesh = read_mesh(data / "scans" / "lee-perry-smith" / "mesh.glb")
    height = float(np.ptp(mesh.vertices[:, 1]))
    colours = colors_at_vertices(mesh)
    return _welded_source("lee-perry-smith", mesh.vertices * 330 / height, mesh.triangles, colours)


def all_sources(data: Path) -> dict[str, Callable[[], ModelSource]]:
    """Return how to make each source, by name."""
    found: dict[str, Callable[[], ModelSource]] = {
        "ict": lambda: ict_source(data)[0],
        "meshmonk": lambda: meshmonk_source(data),
        "facefuns-f18": lambda: facefuns_source(data),
        "facefuns-m66": lambda: facefuns_source(data, "m66"),
        "lee-perry-smith": lambda: perry_smith_source(data),
    }
    for folder in sorted((data / "heads").iterdir()):
        if folder.is_dir():
            found[folder.name] = functools.partial(valid_source, data, folder.name)
    return found


def _welded_source(
    name: str, vertices: Array, triangles: Array, colours: Array | None
) -> ModelSource:
    """A source of a mesh that is split along the seams of its texture."""
    used, inverse = np.unique(triangles, return_inverse=True)
    _, first, same = np.unique(
        np.round(vertices[used], 4), axis=0, return_index=True, return_inverse=True
    )
    corners = same.ravel()[inverse.reshape(triangles.shape)]
    proper = (corners != np.roll(corners, 1, axis=1)).all(axis=1)
    points = vertices[used][first].astype(np.float64)
    linear = None if colours is None else linear_from_srgb(colours[used][first])
    basis = _smooth_modes(points)
    return _source(name, points, corners[proper].astype(np.int32), linear, basis, np.ones(_MODES))


def _smooth_modes(points: Array) -> Array:
    """(n, 3, k) waves of some 100 mm and 3 mm height."""
    random = np.random.default_rng(0)
    waves = random.normal(0.0, 0.02, (3, _MODES))
    towards = random.normal(0.0, 1.0, (3, _MODES))
    towards *= 3.0 / np.linalg.norm(towards, axis=0)
    return np.asarray(np.sin(points @ waves)[:, None, :] * towards)


def _source(
    name: str, points: Array, triangles: Array, albedo: Array | None, basis: Array, sd: Array
) -> ModelSource:
    n = len(points)
    return ModelSource(
        layout="mesh",
        name=name,
        licence="",
        mean=points,
        polygons=triangles,
        id_basis=basis,
        id_sd=sd,
        exp_basis=np.zeros((n, 3, 0)),
        exp_sd=np.zeros(0),
        albedo_mean=albedo,
        albedo_basis=None if albedo is None else np.zeros((n, 3, 0)),
        albedo_sd=None if albedo is None else np.zeros(0),
    )
