"""Pictures of an evaluation: cumulative curves (Fig. 17) and errors on the face (Fig. 11).

Errors are fractions of the interocular distance; the pictures show percentages, as the
paper's tables do. Pictures are RGB uint8 arrays.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from fg3d_builder.evaluation.summary import CED_LIMIT, cumulative_error
from fg3d_builder.records import Array

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_DOTS_PER_INCH = 100
_PANEL_PX = 300
# From this far away a face looks as in a telephoto portrait.
_DISTANCE_FACES = 8.0
_NO_ERROR_RGB = (0.62, 0.62, 0.64)
_COLOURS = "turbo"
_LINE_STYLES = ("-", "--", "-.", ":")
_VIEWS_DEG = ((0.0, -45.0), (0.0, 0.0), (0.0, 45.0))


def ced_picture(
    errors: Mapping[str, Array],
    limit: float = CED_LIMIT,
    error_name: str = "NME",
) -> Array:
    """Draw one cumulative error curve per method, ordered and labelled by mean error.

    Parameters
    ----------
    errors : mapping of method to (s,) float
        Errors of samples; infinite for failures.
    limit : float
        End of the error axis.
    error_name : str
        ``"NME"`` or ``"DACE"``.

    Returns
    -------
    (520, 720, 3) uint8
    """
    if not errors:
        raise ValueError("cumulative error: no method to draw")
    figure = _figure(720, 520)
    axes = figure.add_subplot()
    order = sorted(errors, key=lambda name: float(np.mean(errors[name])))
    for place, name in enumerate(order):
        curve = cumulative_error(errors[name], limit, points=1000)
        mean = 100.0 * float(np.mean(errors[name]))
        axes.plot(
            100.0 * curve.thresholds,
            100.0 * curve.fraction,
            linestyle=_LINE_STYLES[place // 10 % len(_LINE_STYLES)],
            linewidth=1.8,
            label=f"{name}: mean {mean:.2f} %, area {curve.area:.3f}",
        )
    axes.set_xlim(0, 100.0 * limit)
    axes.set_ylim(0, 100.5)
    axes.set_xlabel(f"{error_name} in % of the outer interocular distance")
    axes.set_ylabel("samples with at most this error, %")
    axes.grid(alpha=0.3)
    axes.legend(loc="lower right", fontsize=9)
    return _pixels(figure)


def error_map_picture(
    maps: Mapping[str, Array],
    vertices_obj_mm: Array,
    triangles: Array,
    limit: float,
    error_name: str = "NME",
    views_deg: Sequence[tuple[float, float]] = _VIEWS_DEG,
) -> Array:
    """Draw the error of every vertex on the face: one row per method, one column per view.

    Parameters
    ----------
    maps : mapping of method to (n,) float
        Such as `VertexErrorMap.mean`; vertices without an error (NaN) are drawn grey.
    vertices_obj_mm : (n, 3) float
        The shape to draw on, object frame.
    triangles : (m, 3) int
    limit : float
        Error at the end of the colour scale.
    error_name : str
    views_deg : sequence of (pitch, yaw)

    Returns
    -------
    (H, W, 3) uint8
    """
    for name, values in maps.items():
        if np.shape(values) != (len(vertices_obj_mm),):
            raise ValueError(
                f"error map '{name}': {np.shape(values)} for {len(vertices_obj_mm)} vertices"
            )
    if not maps or not views_deg or not limit > 0:
        raise ValueError("error map: nothing to draw")
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import Normalize

    figure = _figure(_PANEL_PX * len(views_deg) + 110, (_PANEL_PX + 24) * len(maps))
    grid = figure.subplots(len(maps), len(views_deg), squeeze=False)
    for row, (name, values) in enumerate(maps.items()):
        for column, (pitch, yaw) in enumerate(views_deg):
            axes = grid[row][column]
            axes.imshow(_rendering(values, vertices_obj_mm, triangles, limit, pitch, yaw))
            axes.set_axis_off()
            if column == 0:
                known = np.asarray(values)[np.isfinite(values)]
                mean = f"{100.0 * known.mean():.2f} %" if len(known) else "none"
                axes.set_title(f"{name}: mean {mean}", fontsize=10, loc="left")
    bar = ScalarMappable(Normalize(0.0, 100.0 * limit), _COLOURS)
    label = f"{error_name} in % of the outer interocular distance"
    figure.colorbar(bar, ax=list(grid.ravel()), label=label, extend="max", fraction=0.05)
    return _pixels(figure)


def _rendering(
    values: Array, vertices_obj_mm: Array, triangles: Array, limit: float, pitch: float, yaw: float
) -> Array:
    """Return a (p, p, 3) float picture in [0, 1] of a face coloured by error."""
    from matplotlib import colormaps

    # The rasteriser needs a compiler package that a machine for training goes without.
    from fg3d_builder.geometry.camera import intrinsics_matrix
    from fg3d_builder.geometry.meshes import vertex_normals
    from fg3d_builder.geometry.pose import rotation_from_angles
    from fg3d_builder.rendering.rasterizer import interpolate, rasterize

    size = 2 * _PANEL_PX  # drawn at twice the size and averaged: smooth edges
    vertices = np.asarray(vertices_obj_mm, dtype=np.float64)
    centre = 0.5 * (vertices.min(axis=0) + vertices.max(axis=0))
    extent = 2.0 * float(np.linalg.norm(vertices - centre, axis=1).max())
    rotation = rotation_from_angles(pitch, yaw, 0.0)
    cam = (vertices - centre) @ rotation.T + [0.0, 0.0, _DISTANCE_FACES * extent]
    focal_px, middle_px = 0.98 * size * _DISTANCE_FACES, (size - 1) / 2.0
    camera = intrinsics_matrix(focal_px, focal_px, middle_px, middle_px)
    fragments = rasterize(cam, triangles, camera, size, size)
    known = np.isfinite(values)
    attributes = np.column_stack(
        [np.where(known, values, 0.0), known, vertex_normals(cam, triangles)]
    )
    drawn = interpolate(fragments, triangles, attributes)
    colour = colormaps[_COLOURS](np.clip(drawn[..., 0] / limit, 0.0, 1.0))[..., :3]
    # A pixel next to a vertex without error would mix its value with nothing.
    colour[drawn[..., 1] < 1.0 - 1e-5] = _NO_ERROR_RGB
    normal = drawn[..., 2:] / np.maximum(np.linalg.norm(drawn[..., 2:], axis=2), 1e-9)[..., None]
    colour *= (0.55 + 0.45 * np.clip(-normal[..., 2], 0.0, 1.0))[..., None]
    colour[fragments.triangle < 0] = 1.0
    halved = colour.reshape(_PANEL_PX, 2, _PANEL_PX, 2, 3).mean(axis=(1, 3))
    return np.asarray(np.clip(halved, 0.0, 1.0))


def _figure(width_px: int, height_px: int) -> Figure:
    # A figure without pyplot has no window, no global state and the Agg canvas.
    from matplotlib.figure import Figure

    size = (width_px / _DOTS_PER_INCH, height_px / _DOTS_PER_INCH)
    return Figure(figsize=size, dpi=_DOTS_PER_INCH, layout="constrained")


def _pixels(figure: Figure) -> Array:
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3].copy()
