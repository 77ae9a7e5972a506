"""Checks a face model: landmarks, chart, sizes and what it has."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from fg3d_builder.commands.model_options import add_model_options, model_config
from fg3d_builder.config import FaceModelConfig

if TYPE_CHECKING:
    from fg3d_builder.facemodel import FaceModel

DESCRIPTION = """\
Checks what a build relies on: that a detector sees the landmarks where the model has them, that
the chart loses nothing that networks need, that sizes are those of faces, and what is missing. A
line for each; exit status 1 if one is doubtful.

  fg3d models check --model bfm.h5
"""

_EYES_MM = (75.0, 110.0)
"""Distances of the outer eye corners of adults' mean faces, with room."""

_VARIATION_MM = (1.5, 12.0)
"""Root mean square distance of people from the mean, over the reliable face, with room."""


class Finding(NamedTuple):
    """One line of the check.

    Attributes
    ----------
    good : bool
        Whether the model is as it should be here.
    text : str
        For a person.
    """

    good: bool
    text: str


def add_options(command: argparse.ArgumentParser) -> None:
    """Add the options."""
    add_model_options(command)


def run(options: argparse.Namespace) -> int:
    """Check a model."""
    from fg3d_builder.heads.library import get_model

    findings = list(findings_of(get_model(model_config(options, FaceModelConfig()))))
    for finding in findings:
        print(f"{'good    ' if finding.good else 'doubtful'}  {finding.text}")
    return 0 if all(finding.good for finding in findings) else 1


def findings_of(model: FaceModel) -> Iterator[Finding]:
    """Yield what a check finds, one thing after the other."""
    yield _sheet(model)
    yield from _sizes(model)
    yield from _landmarks(model)
    yield _chart(model)
    around = model.surround
    has = f"{around.vertex_count} vertices around the face" if around else "none"
    yield Finding(around is not None, f"surround: {has}")
    colours = float(np.ptp(model.albedo_mean, axis=0).max()) > 0.02
    has = f"mean and {len(model.albedo_sd)} modes" if colours else "one grey"
    yield Finding(colours, f"colours: {has}")


def _sheet(model: FaceModel) -> Finding:
    from fg3d_builder.facemodel.patches import border_loops
    from fg3d_builder.geometry.meshes import undirected_edges

    borders = len(border_loops(model.triangles))
    euler = model.vertex_count - len(undirected_edges(model.triangles)) + len(model.triangles)
    text = f"sheet: {model.vertex_count} vertices, borders: {borders}, Euler number {euler}"
    return Finding(borders == 1 and euler == 1, text)


def _sizes(model: FaceModel) -> Iterator[Finding]:
    from fg3d_builder.facemodel.ibug_points import OUTER_EYE_CORNERS

    marks = model.embeddings.get("ibug68")
    if marks is not None and set(OUTER_EYE_CORNERS) <= set(marks.point_index.tolist()):
        corners = model.embedded("ibug68", OUTER_EYE_CORNERS).points(model.mean, model.triangles)
        apart = float(np.linalg.norm(corners[1] - corners[0]))
        low, high = _EYES_MM
        yield Finding(low < apart < high, f"outer eye corners: {apart:.1f} mm apart")
    people = ((model.id_basis[model.reliable] * model.id_sd) ** 2).sum(axis=(1, 2))
    spread = float(np.sqrt(people.mean()))
    low, high = _VARIATION_MM
    text = f"identities: {len(model.id_sd)} modes, {spread:.1f} mm from the mean (rms)"
    yield Finding(low < spread < high, text)
    motion = ((model.exp_basis[model.reliable] * model.exp_sd) ** 2).sum(axis=(1, 2))
    moved = float(np.sqrt(motion.mean()))
    count = len(model.exp_sd)
    text = f"expressions: {count} modes, {moved:.1f} mm (rms)" if count else "expressions: none"
    yield Finding(count > 0, text)


def _landmarks(model: FaceModel) -> Iterator[Finding]:
    from fg3d_builder.facemodel.transfer.check import MAX_LANDMARK_MM, seen_landmarks

    count = len(model.embeddings["ibug68"].point_index) if "ibug68" in model.embeddings else 0
    lines = len(model.contour_lines)
    yield Finding(count == 68, f"ibug68: {count} points, {lines} contour lines")
    if "mediapipe478" not in model.embeddings:
        yield Finding(False, "mediapipe478: none")
        return
    seen = seen_landmarks(model)
    if seen is None or not seen.by_region_mm:
        yield Finding(False, "no face is found on renderings of the model")
        return
    regions = ", ".join(f"{name} {mm:.1f}" for name, mm in seen.by_region_mm.items())
    good = max(seen.by_region_mm.values()) <= MAX_LANDMARK_MM
    yield Finding(good, f"mediapipe478, from where it sees them, mm: {regions}")


def _chart(model: FaceModel) -> Finding:
    from fg3d_builder.facemodel.transfer import charts

    if not charts.is_one_chart(model.uv, model.triangles):
        return Finding(False, "chart: has flips or overlaps")
    moved = charts.typical_displacements_mm(model.id_basis, model.id_sd)
    moved = moved + charts.typical_displacements_mm(model.exp_basis, model.exp_sd)
    lost = charts.map_loss_mm(model.uv, model.triangles, moved)
    size = charts.MAP_SIZE
    text = f"chart: {size} x {size} texels lose {lost:.3f} mm (95 % of the vertices)"
    return Finding(lost <= charts.MAX_LOSS_MM, text)
