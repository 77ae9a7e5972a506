"""From a published model's own mesh to a `FaceModel`, by transfer from another one, the donor.

The donor's whole head is bent onto the published head, led by the points that a detector marks
on it. What then lies on the donor's face becomes the face sheet, in the file's own vertices and
triangles; landmarks, contour lines, parts, masks and, where the file has none, colours are the
donor's at the same places; what lies beyond becomes the surround.
"""

from __future__ import annotations

import logging
from typing import NamedTuple

import numpy as np

from fg3d_builder.facemodel.ibug_points import JAW, OUTER_EYE_CORNERS, outline_points
from fg3d_builder.facemodel.model import Embedding, FaceModel, check_model
from fg3d_builder.facemodel.origin import Origin
from fg3d_builder.facemodel.overrides import Overrides
from fg3d_builder.facemodel.sources.source import ModelSource, check_source
from fg3d_builder.facemodel.surround import Beyond
from fg3d_builder.facemodel.surround_transfer import whole_head, with_surround
from fg3d_builder.facemodel.transfer.bending import Targets, bent_onto
from fg3d_builder.facemodel.transfer.beyond import beyond_sheet
from fg3d_builder.facemodel.transfer.charts import (
    MAP_SIZE,
    MAX_LOSS_MM,
    SheetChart,
    sheet_chart,
    typical_displacements_mm,
)
from fg3d_builder.facemodel.transfer.check import TransferCheck, checked_transfer
from fg3d_builder.facemodel.transfer.closing import Closing, closed_holes
from fg3d_builder.facemodel.transfer.colours import sheet_albedo
from fg3d_builder.facemodel.transfer.correspondence import BentDonor
from fg3d_builder.facemodel.transfer.cutting import face_triangles
from fg3d_builder.facemodel.transfer.expressions import sheet_expressions
from fg3d_builder.facemodel.transfer.head_piece import HeadPiece, head_piece
from fg3d_builder.facemodel.transfer.semantics import (
    Sheet,
    carried_embedding,
    carried_lines,
    carried_masks,
    carried_parts,
    with_vertices,
)
from fg3d_builder.geometry.meshes import compact_triangles
from fg3d_builder.landmarks.edges import IBUG, MEDIAPIPE, MEDIAPIPE_OF_IBUG
from fg3d_builder.records import Array

_LOG = logging.getLogger(__name__)
_FEW_POINTS = 30
_BY_HAND = 20.0
_ON_SHEET_MM = 5.0
_INNER = range(17, 68)
"""Numbers of the iBUG points that are places of the skin; the others follow the outline."""


class Imported(NamedTuple):
    """A model made of a source.

    Attributes
    ----------
    model : FaceModel
    check : TransferCheck
    beyond : Beyond or None
        What the source has of the head beyond the model's sheet.
    own_chart : bool
        The model's chart is the file's.
    map_loss_mm : float
        What shapes lose on a map of 256 x 256 texels, see `transfer.charts.map_loss_mm`.
    """

    model: FaceModel
    check: TransferCheck
    beyond: Beyond | None
    own_chart: bool
    map_loss_mm: float


def import_model(
    source: ModelSource, donor: FaceModel, overrides: Overrides | None = None
) -> Imported:
    """Make a face model of a published one; deterministic.

    Doubts about the result are logged as warnings and kept in its check.

    Parameters
    ----------
    source : ModelSource
        Face or head, in the object frame.
    donor : FaceModel
        Symmetric, with a surround and both landmark schemes: the embedded model.
    overrides : Overrides, optional
        What a person corrects.

    Raises
    ------
    ValueError
        The source contradicts itself, no face is found on it, nothing of it is a face sheet, or
        the overrides do not fit it.
    """
    choices = overrides or Overrides()
    check_source(source)
    source = choices.scaled(source)
    dropped, wanted = choices.drop.mask(source), choices.keep.mask(source)
    piece = head_piece(source, dropped)
    bent = _bent(source, donor, piece, choices)
    interior = source.groups.get("mouth_interior", np.zeros(0, np.int32))
    never = np.isin(np.arange(len(source.mean)), interior) & ~wanted
    kept = face_triangles(source.mean, piece.triangles, piece.outside, bent, never, wanted)
    of_file, triangles = compact_triangles(piece.triangles[kept], len(source.mean))
    closing = closed_holes(source.mean[of_file], triangles, bent, _eyeballs(source))
    model, chart, to_donor_mm = _model(source, of_file, triangles, closing, bent, choices)
    assert model.origin is not None
    vertex = model.origin.sheet_vertex
    beyond = beyond_sheet(piece.triangles, kept, vertex, source.id_basis, source.mean)
    model = with_surround(model, donor, beyond, bent.points_mm)
    check = checked_transfer(model, to_donor_mm)
    for problem in check.problems:
        _LOG.warning("face model '%s': %s", model.name, problem)
    if chart.loss_mm > MAX_LOSS_MM:
        text = "face model '%s': maps of %d x %d texels lose %.2f mm of its shapes"
        _LOG.warning(text, model.name, MAP_SIZE, MAP_SIZE, chart.loss_mm)
    return Imported(model, check, beyond, chart.own, chart.loss_mm)


def _bent(source: ModelSource, donor: FaceModel, piece: HeadPiece, choices: Overrides) -> BentDonor:
    """The donor's whole head on the source's."""
    head = whole_head(donor)
    targets = _targets(source, donor, piece, choices)
    surface = piece.triangles[piece.outside]
    return BentDonor(head, donor, bent_onto(head, donor, source.mean, surface, targets))


def _targets(
    source: ModelSource, donor: FaceModel, piece: HeadPiece, choices: Overrides
) -> Targets:
    """Detected points, and those that a person or, without detected ones, the file names."""
    wanted: dict[str, dict[int, tuple[Array, float]]] = {MEDIAPIPE: {}, IBUG: {}}
    for number in np.flatnonzero(np.isfinite(piece.points_mm[:, 0])).tolist():
        wanted[MEDIAPIPE][number] = (piece.points_mm[number], 1.0)
    if len(wanted[MEDIAPIPE]) < _FEW_POINTS and source.landmarks68 is not None:
        for number in _INNER:
            wanted[IBUG][number] = (source.mean[source.landmarks68[number]], 1.0)
    for scheme, points in choices.landmarks.items():
        for number, vertex in points.items():
            wanted[scheme][number] = (source.mean[vertex], _BY_HAND)
            if scheme == IBUG and number in _INNER:
                wanted[MEDIAPIPE].pop(MEDIAPIPE_OF_IBUG[number], None)
    parts = []
    for scheme, points_mm in wanted.items():
        known = donor.embeddings[scheme].subset(np.array(list(points_mm), dtype=int))
        at = [points_mm[int(number)] for number in known.point_index]
        place = np.array([point for point, _ in at]).reshape(-1, 3)
        parts.append(
            Targets(known.triangle, known.barycentric, place, np.array([sure for _, sure in at]))
        )
    both = Targets(*(np.concatenate(columns) for columns in zip(*parts, strict=True)))
    if len(both.triangle) < _FEW_POINTS:
        raise ValueError(
            f"face model '{source.name}': only {len(both.triangle)} points of a face are found on "
            f"its skin, {_FEW_POINTS} are needed; name more in a file of overrides"
        )
    return both


def _eyeballs(source: ModelSource) -> tuple[Array, Array] | None:
    """The source's own eyes, where it names them."""
    index = source.groups.get("eyes", np.zeros(0, np.int32))
    of_eyes = np.isin(source.triangles, index).all(axis=1)
    return (source.mean, source.triangles[of_eyes]) if of_eyes.any() else None


def _model(
    source: ModelSource,
    of_file: Array,
    triangles: Array,
    closing: Closing,
    bent: BentDonor,
    choices: Overrides,
) -> tuple[FaceModel, SheetChart, Array]:
    """The model without surround, its chart, and distances to the donor."""
    new = len(closing.offset_mm)
    vertices = np.concatenate([source.mean[of_file], closing.of_mean(source.mean[of_file])])
    every = np.concatenate([triangles, closing.triangles]).astype(np.int32)
    sheet = Sheet(vertices, every, len(triangles), closing.mouth_rims)
    sheet_vertex = np.concatenate([of_file, np.full(new, -1)]).astype(np.int32)
    places = bent.under(vertices)
    id_basis = _basis(source.id_basis, of_file, closing)
    expressions = sheet_expressions(source, of_file, vertices, triangles, closing, places, bent)
    moved = typical_displacements_mm(id_basis, source.id_sd) + typical_displacements_mm(
        expressions.basis, expressions.sd
    )
    chart = sheet_chart(source, sheet_vertex, vertices, every, closing.weights, moved)
    albedo_mean, albedo_basis, albedo_sd = sheet_albedo(source, sheet_vertex, every, places, bent)
    rigid, reliable = carried_masks(places, bent, sheet.closes)
    outside = np.setdiff1d(np.arange(len(source.mean)), of_file).astype(np.int32)
    lines = carried_lines(sheet, bent)
    embeddings = {
        scheme: with_vertices(
            carried, sheet, _placed(source, sheet, carried, lines, scheme, choices)
        )
        for scheme in (IBUG, MEDIAPIPE)
        for carried in [carried_embedding(scheme, sheet, bent)]
    }
    model = FaceModel(
        name=source.name,
        licence=source.licence,
        mean=vertices,
        triangles=every,
        id_basis=id_basis,
        id_sd=source.id_sd,
        exp_basis=expressions.basis,
        exp_sd=expressions.sd,
        exp_names=expressions.names,
        exp_lower=expressions.lower,
        exp_upper=expressions.upper,
        albedo_mean=albedo_mean,
        albedo_basis=albedo_basis,
        albedo_sd=albedo_sd,
        uv=chart.uv,
        embeddings=embeddings,
        edge_points={
            scheme: points[np.isin(points, embeddings[scheme].point_index)]
            for scheme, points in bent.donor.edge_points.items()
            if scheme in embeddings
        },
        contour_lines=lines,
        parts=carried_parts(places, bent),
        rigid=rigid,
        reliable=reliable,
        origin=Origin(
            layout=source.layout,
            mean=source.mean,
            polygons=source.polygons,
            uv=source.uv,
            sheet_vertex=sheet_vertex,
            outside=outside,
            outside_id_basis=source.id_basis[outside],
            outside_exp_basis=source.exp_basis[outside] if expressions.own else None,
        ),
    )
    check_model(model)
    return model, chart, places.distance_mm


def _placed(
    source: ModelSource,
    sheet: Sheet,
    carried: Embedding,
    lines: tuple[Array, ...],
    scheme: str,
    choices: Overrides,
) -> dict[int, Array]:
    """Places of points that the scheme, the file or a person defines, the last one's first."""
    placed: dict[int, Array] = {}
    if scheme == IBUG:
        row = {int(number): i for i, number in enumerate(carried.point_index)}
        points = carried.points(sheet.vertices_mm, sheet.triangles)
        if all(corner in row for corner in OUTER_EYE_CORNERS):
            corners = points[[row[corner] for corner in OUTER_EYE_CORNERS]]
            outline = outline_points(sheet.vertices_mm, sheet.triangles, lines, corners)
            placed = {} if outline is None else dict(zip(JAW, outline, strict=True))
    if scheme == IBUG and source.landmarks68 is not None:
        points = source.mean[source.landmarks68]
        away = np.linalg.norm(sheet.nearest(points) - points, axis=1)
        placed |= {i: points[i] for i in np.flatnonzero(away < _ON_SHEET_MM).tolist()}
    for number, vertex in choices.landmarks.get(scheme, {}).items():
        placed[number] = source.mean[vertex]
    return placed


def _basis(basis: Array, of_file: Array, closing: Closing) -> Array:
    """Modes of the sheet: the file's, bit by bit, then those of what closes openings."""
    known = basis[of_file]
    return np.concatenate([known, closing.of_basis(known)])
