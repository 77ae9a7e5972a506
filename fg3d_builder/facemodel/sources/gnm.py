"""GNM Head (Google, Apache-2.0): one ``npz`` file.

Names, shapes and order of fields after github.com/google/GNM, folder ``gnm/shape``.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from fg3d_builder.facemodel.sources.fields import UNREADABLE, Fields, said_in_a_line
from fg3d_builder.facemodel.sources.layout import SourceLayout
from fg3d_builder.facemodel.sources.mesh_sides import turned_outwards
from fg3d_builder.facemodel.sources.source import ModelSource
from fg3d_builder.facemodel.sources.units import plausible_unit
from fg3d_builder.files.npy_streams import array_names, opened_npz
from fg3d_builder.records import Array

_ROLES = {
    "eyes": ("eyes", "left_eye", "right_eye"),
    "teeth": (
        "teeth",
        "gums",
        "upper_teeth",
        "lower_teeth",
        "upper_teeth_and_gums",
        "lower_teeth_and_gums",
    ),
    "mouth_interior": ("mouth_sock", "tongue"),
}
"""What the model's groups are called here; its other groups keep their names."""

_FIELDS = (
    "version",
    "template_vertex_positions",
    "vertex_identity_basis",
    "expression_basis",
    "expression_names",
    "triangles",
    "triangle_uvs",
    "vertex_groups",
    "vertex_group_names",
)


def read_gnm(path: Path) -> ModelSource:
    """Read a GNM model; a folder is read where it holds ``gnm_head.npz``.

    Raises
    ------
    ValueError
        One line with the file and the field.
    """
    file = path / "gnm_head.npz" if path.is_dir() else path
    with said_in_a_line(), opened_npz(file, UNREADABLE) as archive:
        values: dict[str, Any] = {n: archive.array(n) for n in _FIELDS if n in archive.names}
    fields = Fields(str(file), values)
    template = fields.real("template_vertex_positions", None, 3)
    count = len(template)
    if count == 0:
        raise fields.wrong("template_vertex_positions", "has no vertices")
    try:
        unit_mm, said = plausible_unit(template)
    except ValueError as error:
        raise fields.wrong("template_vertex_positions", str(error)) from None
    identity = fields.real("vertex_identity_basis", None, count, 3)
    expression = fields.real("expression_basis", None, count, 3)
    names = fields.texts("expression_names", len(expression))
    triangles = fields.indices("triangles", count, None, 3)
    triangles, uv = turned_outwards(
        template, triangles, fields.real("triangle_uvs", len(triangles), 3, 2)
    )
    return ModelSource(
        layout="gnm",
        name=f"gnm-{file.stem.removeprefix('gnm_')}",
        licence="Apache-2.0 (Google)",
        mean=unit_mm * template,
        polygons=triangles,
        id_basis=unit_mm * np.moveaxis(identity, 0, 2),
        id_sd=np.ones(len(identity)),
        exp_basis=unit_mm * np.moveaxis(expression, 0, 2),
        exp_sd=np.ones(len(expression)),
        exp_names=names,
        uv=uv,
        groups=_groups(fields, count),
        unit_said=said,
    )


def _groups(fields: Fields, count: int) -> dict[str, Array]:
    """Return the vertices that belong to a group by more than half."""
    names = fields.texts("vertex_group_names", None)
    member = fields.real("vertex_groups", len(names), count) > 0.5
    known = dict(zip(names, member, strict=True))
    taken = {name for parts in _ROLES.values() for name in parts} | set(_ROLES)
    groups = {name: mask for name, mask in known.items() if name not in taken}
    for role, parts in _ROLES.items():
        masks = [known[name] for name in parts if name in known]
        if masks:
            groups[role] = np.any(masks, axis=0)
    return {name: np.flatnonzero(mask).astype(np.int32) for name, mask in groups.items()}


def _files(path: Path) -> tuple[Path, ...]:
    file = path / "gnm_head.npz" if path.is_dir() else path
    return (file,) if "template_vertex_positions" in array_names(file) else ()


LAYOUT = SourceLayout(
    name="gnm",
    title="GNM Head",
    page="gnm.md",
    files=_files,
    read=read_gnm,
)
