"""What may lie beside a FLAME model: masks, a chart, and the texture space of its makers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse as sp

from fg3d_builder.errors import printable
from fg3d_builder.facemodel.sources.colours import linear_albedo
from fg3d_builder.facemodel.sources.fields import UNREADABLE, Fields, said_in_a_line
from fg3d_builder.files.bounded import read_regular
from fg3d_builder.files.inert_pickle import read_inert_pickle
from fg3d_builder.files.npy_streams import ArrayArchive, opened_npz
from fg3d_builder.files.obj_reader import parse_obj
from fg3d_builder.records import Array

MASKS, TEXTURE = "FLAME_masks.pkl", "FLAME_texture.npz"
TEMPLATES = ("head_template.obj", "head_template_mesh.obj")

_MAX_MASKS_BYTES = 1 << 26
_MAX_OBJ_BYTES = 1 << 26


def masks_beside(model: Path, count: int) -> dict[str, Array]:
    """Return vertices by the names of the makers' masks, ``{}`` where there is no file of them."""
    file = model.parent / MASKS
    if not file.is_file():
        return {}
    masks = read_inert_pickle(file, _MAX_MASKS_BYTES)
    if not isinstance(masks, dict):
        raise ValueError(f"{file}: expected a table of masks, found {type(masks).__name__}")
    fields = Fields(str(file), {printable(str(name)): mask for name, mask in masks.items()})
    names = [printable(str(name)) for name in masks]
    return {name: fields.indices(name, count, None) for name in names}


def chart_beside(model: Path, triangles: Array) -> Array | None:
    """Return the (m, 3, 2) chart of the triangles from the texture space or a template, or None."""
    texture = model.parent / TEXTURE
    if texture.is_file():
        with said_in_a_line(), opened_npz(texture, UNREADABLE) as archive:
            if "vt" in archive.names and "ft" in archive.names:
                points, corners = _texture_chart(archive, texture, len(triangles))
                return points[corners]
    for name in TEMPLATES:
        file = model.parent / name
        if file.is_file():
            return _template_chart(file, triangles)
    return None


def albedo_beside(
    model: Path, chart: Array | None, triangles: Array, count: int
) -> tuple[Array, Array, Array] | None:
    """Return mean (n, 3), basis (n, 3, b) and deviations (b,) of the linear albedo, or None.

    `chart` is that of `chart_beside`: of the texture space itself, or of a template beside it.

    The texture space is a PCA of images: ``mean`` (height, width, 3) and ``tex_dir`` (height,
    width, 3, b), blue first, sRGB in [0, 255], coefficients of unit variance, the first row at the
    top of the chart. Vertices take its bilinear samples, the mean of their corners where the chart
    is cut.
    """
    texture = model.parent / TEXTURE
    if not texture.is_file():
        return None
    with said_in_a_line(), opened_npz(texture, UNREADABLE) as archive:
        if chart is None:
            raise ValueError(
                f"{texture}: field 'vt' is missing, and no {TEMPLATES[0]} with the chart is beside "
                "it; take the file away to do without its colours"
            )
        values: dict[str, Any] = {"mean": archive.array("mean")}
        image = Fields(str(texture), values).real("mean", None, None, 3)
        height, width = image.shape[:2]
        weights = _sampling(chart, triangles, count, height, width)
        mean = (weights @ image.reshape(height * width, 3))[:, ::-1]
        basis = _sampled_basis(archive, texture, weights, height, width)
    used = np.any(basis != 0, axis=(0, 1))
    linear, directions = linear_albedo(mean / 255.0, basis[..., used] / 255.0)
    assert directions is not None
    return linear, directions, np.ones(int(used.sum()))


def _sampled_basis(
    archive: ArrayArchive, texture: Path, weights: sp.csc_matrix, height: int, width: int
) -> Array:
    """Return the (n, 3, b) samples of the directions, red first; one block of rows at a time."""
    count = weights.shape[0]
    with archive.stream("tex_dir") as stream:
        shape = stream.shape
        if stream.dtype.kind != "f" or len(shape) != 4 or shape[:3] != (height, width, 3):
            text = f"shape {shape} of {stream.dtype}, wanted ({height}, {width}, 3, any)"
            raise ValueError(f"{texture}: field 'tex_dir': {text}")
        if count * 3 * shape[3] > 200_000_000:
            raise ValueError(f"{texture}: field 'tex_dir': {shape[3]} directions, too many")
        basis = np.zeros((count, 3 * shape[3]))
        for first, block in stream.blocks():
            rows = len(block)
            part = weights[:, first * width : (first + rows) * width]
            basis += part @ block.reshape(rows * width, -1).astype(np.float64)
    fields = Fields(str(texture), {"tex_dir": basis.reshape(count, 3, shape[3])[:, ::-1]})
    return fields.real("tex_dir", count, 3, None)


def _sampling(chart: Array, triangles: Array, count: int, height: int, width: int) -> sp.csc_matrix:
    """Return the (n, height * width) weights that take an image to vertices."""
    place = np.clip(
        np.stack(
            [chart[..., 0] * width - 0.5, (1.0 - chart[..., 1]) * height - 0.5], axis=-1
        ).reshape(-1, 2),
        0.0,
        [width - 1.0, height - 1.0],
    )
    low = np.minimum(np.floor(place), [max(width - 2, 0), max(height - 2, 0)]).astype(np.int64)
    share = place - low
    vertex = triangles.ravel()
    corners_of = np.bincount(vertex, minlength=count)[vertex]
    entries = []
    for dx in (0, 1):
        for dy in (0, 1):
            weight = np.abs(1 - dx - share[:, 0]) * np.abs(1 - dy - share[:, 1]) / corners_of
            x, y = np.minimum(low[:, 0] + dx, width - 1), np.minimum(low[:, 1] + dy, height - 1)
            entries.append((weight, vertex, y * width + x))
    weights, rows, columns = (np.concatenate(part) for part in zip(*entries, strict=True))
    return sp.csc_matrix((weights, (rows, columns)), shape=(count, height * width))


def _texture_chart(archive: ArrayArchive, texture: Path, count: int) -> tuple[Array, Array]:
    values = {"vt": archive.array("vt"), "ft": archive.array("ft")}
    fields = Fields(str(texture), values)
    points = fields.real("vt", None, 2)
    return points, fields.indices("ft", len(points), count, 3)


def _template_chart(file: Path, triangles: Array) -> Array:
    with said_in_a_line():
        data = read_regular(file, UNREADABLE, _MAX_OBJ_BYTES)
    try:
        mesh = parse_obj(data)
    except ValueError as error:
        raise ValueError(f"{file}: no readable OBJ file ({error})") from None
    corners = mesh.corners.reshape(-1, 3, 2) if set(mesh.sizes.tolist()) == {3} else None
    if corners is None or not np.array_equal(corners[..., 0], triangles):
        raise ValueError(f"{file}: its triangles are not the model's")
    if corners[..., 1].min() < 0 or corners[..., 1].max() >= len(mesh.uv):
        raise ValueError(f"{file}: its triangles have no chart")
    chart = np.asarray(mesh.uv[corners[..., 1]])
    if not np.isfinite(chart).all():
        raise ValueError(f"{file}: a chart coordinate is not finite")
    return chart
