"""Holes of a sheet: closed to a disk, by vertices that follow their rims."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.sparse.csgraph import connected_components

from fg3d_builder.facemodel.model import FaceModel
from fg3d_builder.facemodel.patches import border_loops
from fg3d_builder.facemodel.surround_transfer import whole_head
from fg3d_builder.facemodel.transfer.bending import open_regions
from fg3d_builder.facemodel.transfer.closing import closed_holes, covered_rim
from fg3d_builder.facemodel.transfer.correspondence import BentDonor
from fg3d_builder.geometry.meshes import (
    compact_triangles,
    directed_edges,
    triangle_areas,
    undirected_edges,
    vertex_adjacency,
)
from fg3d_builder.records import Array


def grid(width: int, height: int, without: Array) -> tuple[Array, Array]:
    """A flat sheet of squares, less those of which `without` (height, width) says so."""
    rows, columns = np.mgrid[0 : height + 1, 0 : width + 1]
    vertices = np.column_stack([columns.ravel(), rows.ravel(), np.zeros(rows.size)]).astype(float)
    corner = (rows[:-1, :-1] * (width + 1) + columns[:-1, :-1])[~without]
    up = width + 1
    squares = np.column_stack([corner, corner + 1, corner + up + 1, corner + up])
    return vertices, np.concatenate([squares[:, [0, 1, 2]], squares[:, [0, 2, 3]]])


def main_piece(triangles: Array) -> tuple[Array, Array]:
    """Vertices of a mesh's largest piece, and its triangles over them."""
    used, corners = compact_triangles(triangles, int(triangles.max()) + 1)
    label = connected_components(vertex_adjacency(corners, len(used)), directed=False)[1]
    largest = corners[label[corners[:, 0]] == np.bincount(label).argmax()]
    again, corners = compact_triangles(largest, len(used))
    return used[again], corners


def check_closed(vertices: Array, triangles: Array, added: Array) -> None:
    every = np.concatenate([triangles, added])
    directed = directed_edges(every)
    assert len(np.unique(directed, axis=0)) == len(directed)
    assert len(border_loops(every)) == 1
    used = len(np.unique(every))
    assert used - len(undirected_edges(every)) + len(every) == 1


@pytest.mark.parametrize("shape", ["square", "corner", "slit"])
def test_a_hole_in_a_plane_is_filled_by_its_own_area(shape: str) -> None:
    width = 50 if shape == "slit" else 8
    without = np.zeros((8, width), dtype=bool)
    if shape == "square":
        without[2:5, 2:5] = True
    elif shape == "corner":  # not convex
        without[1:6, 2] = without[5, 2:6] = True
    else:  # longer than all ways are looked at
        without[3, 3:45] = True
    vertices, triangles = grid(width, 8, without)
    rim = min(border_loops(triangles), key=lambda loop: np.ptp(vertices[loop], axis=0).sum())
    added = covered_rim(vertices, rim, triangles)
    check_closed(vertices, triangles, added)
    assert triangle_areas(vertices, added).sum() == pytest.approx(without.sum())
    assert len(added) == len(rim) - 2


def test_eyes_mouth_and_other_holes_of_a_face_are_closed(default: FaceModel) -> None:
    donor = default
    head = whole_head(donor)
    bent = BentDonor(head, donor, head.vertices_mm)
    holes = open_regions(donor)
    cheek = donor.mean[np.argmin(np.linalg.norm(donor.mean - [45.0, -30.0, 75.0], axis=1))]
    holes |= np.linalg.norm(donor.mean - cheek, axis=1) < 6.0
    used, triangles = main_piece(donor.triangles[~holes[donor.triangles].any(axis=1)])
    vertices = donor.mean[used]
    closing = closed_holes(vertices, triangles, bent)
    new = closing.of_mean(vertices)
    check_closed(np.concatenate([vertices, new]), triangles, closing.triangles)
    assert set(closing.kind.tolist()) == {0, 1}
    # Eyes stand out as the donor's do.
    everywhere = np.concatenate([vertices, new])
    eyes = new[closing.kind == 0]
    assert bent.under(eyes).distance_mm.mean() < 1.0
    assert triangle_areas(everywhere, closing.triangles).min() > 1e-4
    upper, lower = closing.mouth_rims
    assert vertices[upper[1:-1], 1].mean() > vertices[lower[1:-1], 1].mean()


def test_what_closes_holes_goes_with_the_face(default: FaceModel) -> None:
    """Shifts and stretches along x and z of the face are those of the new vertices."""
    donor = default
    head = whole_head(donor)
    bent = BentDonor(head, donor, head.vertices_mm)
    holes = open_regions(donor)
    used, triangles = main_piece(donor.triangles[~holes[donor.triangles].any(axis=1)])
    vertices = donor.mean[used]
    closing = closed_holes(vertices, triangles, bent)
    shift = np.tile([[1.0, 0.0], [2.0, 0.0], [3.0, 0.0]], (len(vertices), 1, 1))
    shift[:, 0, 1] = vertices[:, 0]
    moved = closing.of_basis(shift)
    assert np.allclose(moved[:, :, 0], [1.0, 2.0, 3.0], atol=1e-9)
    assert np.allclose(moved[:, 0, 1], (closing.weights @ vertices)[:, 0])
    # Lids that come together take the bulge of the eyeball with them.
    close = np.zeros((len(vertices), 3, 1))
    close[:, 1, 0] = -vertices[:, 1]
    sinking = closing.of_basis(close)[closing.kind == 0, 2, 0]
    assert np.allclose(sinking, -closing.offset_mm[closing.kind == 0, 2], atol=1e-6)
