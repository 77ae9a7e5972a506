"""A 3DMM as its own file has it: the whole topology, before any of it becomes a face sheet."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from fg3d_builder.geometry.meshes import split_polygons
from fg3d_builder.records import Array


@dataclass(frozen=True)
class ModelSource:
    """What a published model says of itself; object frame, mm.

    Attributes
    ----------
    layout : str
        Which kind of file it was, for example ``"bfm2009"``.
    name, licence : str
    mean : (n, 3) float64
        ``S_mean`` in the file's own order of vertices, all of them: back of the head, eyeballs
        and teeth, where the file has them.
    polygons : (m, 3) or (m, 4) int32
        Counter-clockwise from outside, in the file's order. In the form for quads, triangles
        have -1 in the last place.
    id_basis : (n, 3, k) float64
        ``A_id``, scaled so that ``alpha_id = id_sd * standard_normal``.
    id_sd : (k,) float64
    exp_basis : (n, 3, e) float64
        ``A_exp``, scaled in the same way; ``e`` may be 0.
    exp_sd : (e,) float64
    exp_names : tuple of str
        One name per direction, ``()`` where the file has none.
    exp_lower, exp_upper : (e,) float64 or None
        Box of the coefficients, None where they have no bounds.
    albedo_mean : (n, 3) float64 or None
        Linear RGB reflectance in [0, 1]; None where the file has no colours.
    albedo_basis : (n, 3, b) float64 or None
    albedo_sd : (b,) float64 or None
    uv : (m, 3 or 4, 2) float64 or None
        Chart coordinates of the polygons' corners, v upwards; zeros in the fourth place of
        triangles. None where the file has no chart.
    landmarks68 : (68,) int32 or None
        Vertices of the iBUG-68 points, where the file or its documentation names all of them.
    groups : dict of str to (g,) int32
        Vertices by the role that the file or its documentation gives them; of the names, "eyes"
        (eyeballs and what belongs to them), "teeth" and "mouth_interior" are known to what
        makes a face sheet.
    unit_said : str
        How the unit was found, one sentence for the person who imports the model.
    """

    layout: str
    name: str
    licence: str
    mean: Array
    polygons: Array
    id_basis: Array
    id_sd: Array
    exp_basis: Array
    exp_sd: Array
    exp_names: tuple[str, ...] = ()
    exp_lower: Array | None = None
    exp_upper: Array | None = None
    albedo_mean: Array | None = None
    albedo_basis: Array | None = None
    albedo_sd: Array | None = None
    uv: Array | None = None
    landmarks68: Array | None = None
    groups: dict[str, Array] = field(default_factory=dict)
    unit_said: str = ""

    @property
    def triangles(self) -> Array:
        """(t, 3) int32 triangles: quads are split, in the file's order."""
        return split_polygons(self.polygons)


def check_source(source: ModelSource) -> None:
    """Raise `ValueError` naming the field where a source contradicts itself."""
    n, (m, corners) = len(source.mean), source.polygons.shape
    if m == 0 or corners not in (3, 4):
        raise ValueError(f"field 'polygons': shape {source.polygons.shape}, wanted (m, 3 or 4)")
    k, e = len(source.id_sd), len(source.exp_sd)
    b = 0 if source.albedo_sd is None else len(source.albedo_sd)
    for name, array, shape in (
        ("mean", source.mean, (n, 3)),
        ("id_basis", source.id_basis, (n, 3, k)),
        ("exp_basis", source.exp_basis, (n, 3, e)),
        ("exp_lower", source.exp_lower, (e,)),
        ("exp_upper", source.exp_upper, (e,)),
        ("albedo_mean", source.albedo_mean, (n, 3)),
        ("albedo_basis", source.albedo_basis, (n, 3, b)),
        ("uv", source.uv, (m, corners, 2)),
        ("landmarks68", source.landmarks68, (68,)),
    ):
        if array is None:
            continue
        if array.shape != shape:
            raise ValueError(f"field '{name}': shape {array.shape}, wanted {shape}")
        if not name.startswith("exp_") and not np.all(np.isfinite(array)):
            raise ValueError(f"field '{name}': not finite")
    if not np.all(np.isfinite(source.exp_basis)):
        raise ValueError("field 'exp_basis': not finite")
    for name, sd in (("id_sd", source.id_sd), ("exp_sd", source.exp_sd)):
        if not np.all(np.isfinite(sd) & (sd > 0)):
            raise ValueError(f"field '{name}': not positive")
    low = source.polygons[:, :3].min()
    if low < 0 or source.polygons.min() < -1 or source.polygons.max() >= n:
        raise ValueError("field 'polygons': out of range")
    lower, upper = source.exp_lower, source.exp_upper
    if lower is not None and upper is not None and np.any(lower > upper):
        raise ValueError("field 'exp_upper': below 'exp_lower'")
    if source.exp_names and len(source.exp_names) != e:
        raise ValueError(f"field 'exp_names': {len(source.exp_names)} names, wanted {e}")
    for name, index in [("landmarks68", source.landmarks68), *source.groups.items()]:
        if index is not None and len(index) and not 0 <= index.min() <= index.max() < n:
            raise ValueError(f"field '{name}': out of range")
