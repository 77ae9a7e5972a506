"""The ICT-FaceKit importer: topology, agreement of its two sources, anatomy."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from fg3d_builder.facemodel.ict import FACE_VERTICES, ict_source_files, import_ict, read_ict
from fg3d_builder.facemodel.model import PARTS, FaceModel
from fg3d_builder.facemodel.patches import border_loops
from fg3d_builder.geometry.camera import intrinsics_matrix
from fg3d_builder.geometry.meshes import (
    signed_areas,
    triangle_normals,
    undirected_edges,
    vertex_adjacency,
    vertex_normals,
)
from fg3d_builder.rendering.rasterizer import rasterize

pytestmark = pytest.mark.data


@pytest.fixture(scope="module")
def model(shared_data: Path) -> FaceModel:
    return import_ict(shared_data / "ict_facekit")


@pytest.fixture(scope="module")
def from_objs(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> FaceModel:
    """The same model read from the checkout's own files, without the archive beside them."""
    folder = tmp_path_factory.mktemp("checkout") / "FaceXModel"
    folder.symlink_to(shared_data / "ict_facekit" / "FaceXModel")
    return import_ict(folder)


def marks(model: FaceModel, shape: np.ndarray | None = None) -> np.ndarray:
    embedding = model.embeddings["ibug68"]
    return embedding.points(model.mean if shape is None else shape, model.triangles)


def test_sheet_is_a_disk(model: FaceModel) -> None:
    from scipy.sparse.csgraph import connected_components

    assert len(border_loops(model.triangles)) == 1
    edges = undirected_edges(model.triangles)
    assert model.vertex_count - len(edges) + len(model.triangles) == 1
    assert connected_components(vertex_adjacency(model.triangles, model.vertex_count))[0] == 1
    area = np.linalg.norm(triangle_normals(model.mean, model.triangles), axis=1) / 2
    assert area.min() > 1e-4


def seen_pixels(model: FaceModel, shape: np.ndarray, vertices: slice) -> int:
    """Pixels of a frontal rendering that show the given vertices' triangles."""
    camera = intrinsics_matrix(6000.0, 6000.0, 400.0, 400.0)
    posed = (shape - shape[vertices].mean(axis=0)) * [1, -1, -1] + [0, 0, 700.0]
    hit = rasterize(posed, model.triangles, camera, 800, 800).triangle
    chosen = np.zeros(model.vertex_count, dtype=bool)
    chosen[vertices] = True
    return int(chosen[model.triangles[hit[hit >= 0]]].any(axis=1).sum())


def test_chart_has_no_flips_and_no_overlaps(model: FaceModel) -> None:
    areas = signed_areas(model.uv[model.triangles])
    assert areas.min() > 0
    # Without flips, a chart overlaps itself only if its border does; the area the border
    # encloses is then not that of the triangles.
    ring = model.uv[border_loops(model.triangles)[0]]
    x, y = ring.T
    enclosed = 0.5 * abs(np.sum(x * np.roll(y, -1) - np.roll(x, -1) * y))
    assert areas.sum() == pytest.approx(enclosed, rel=1e-9)
    assert model.uv.min() >= 0
    assert model.uv.max() <= 1


def test_units_and_frame(model: FaceModel) -> None:
    points = marks(model)
    assert 80 < points[45, 0] - points[36, 0] < 105  # outer eye corners, mm
    assert points[27, 1] > points[33, 1] > points[51, 1] > points[8, 1]
    assert points[30, 2] == points[:, 2].max()  # tip of the nose
    assert points[0, 0] < 0 < points[16, 0]  # the subject's right jaw first
    front = vertex_normals(model.mean, model.triangles)[model.reliable]
    assert np.mean(front[:, 2] > 0) > 0.97


def test_both_sources_agree(model: FaceModel, from_objs: FaceModel) -> None:
    assert from_objs.topology_hash == model.topology_hash
    assert np.abs(from_objs.mean - model.mean).max() < 1e-4
    assert from_objs.id_basis.shape[2] == 3
    # The archive stores displacements as float32, the files positions with six digits.
    assert np.abs(from_objs.id_basis - model.id_basis[:, :, :3]).max() < 2e-3
    assert from_objs.exp_names == ("jawOpen", "mouthSmile_L", "mouthSmile_R")
    for i, name in enumerate(from_objs.exp_names):
        ours = model.exp_basis[:, :, model.exp_names.index(name)]
        assert np.abs(from_objs.exp_basis[:, :, i] - ours).max() < 2e-3
    assert np.allclose(from_objs.uv, model.uv, atol=1e-5)
    # Vertices on a border of a part may fall to either side of it by rounding.
    assert np.mean(from_objs.parts != model.parts) < 1e-3


def test_modes_of_the_face_are_untouched(model: FaceModel, shared_data: Path) -> None:
    source = read_ict(shared_data / "ict_facekit")
    assert np.array_equal(model.mean[:FACE_VERTICES], source.neutral)
    assert np.array_equal(model.id_basis[:FACE_VERTICES, :, 7], source.identity[7])
    assert model.id_basis.shape[2] == 100
    # Dilating pupils moves nothing on the sheet; everything else does.
    left_out = set(source.expression_names) - set(model.exp_names)
    assert left_out == {"PupilDilate_L", "PupilDilate_R"}


def test_patches_follow_the_rims(model: FaceModel) -> None:
    """Closed lids leave no eyeball standing out; the open mouth's patch stays inside."""
    shut = np.zeros(len(model.exp_names))
    shut[model.exp_names.index("eyeBlink_L")] = 1
    right, left = slice(9409, 9509), slice(9509, 9609)
    still = model.mean[right]
    blink = model.shape(None, shut)
    assert np.abs(blink[right] - still).max() < 0.5
    assert seen_pixels(model, blink, left) < 0.12 * seen_pixels(model, model.mean, left)
    eye_marks = marks(model, blink)[42:48]
    assert blink[left, 2].max() < eye_marks[:, 2].max() + 2.0
    gape = np.zeros(len(model.exp_names))
    gape[model.exp_names.index("jawOpen")] = 1
    wide = model.shape(None, gape)
    lips = marks(model, wide)[60:68]
    assert wide[9609:, 2].max() < lips[:, 2].max()
    assert lips[2, 1] - lips[6, 1] > 20


def test_semantics(model: FaceModel) -> None:
    points = model.embeddings["ibug68"]
    vertices = model.triangles[points.triangle][np.arange(68), points.barycentric.argmax(axis=1)]
    name = np.array(PARTS)[model.parts[vertices]]
    assert set(name[36:48]) == {"eyes"}
    assert set(name[28:36]) == {"nose"}
    assert set(name[48:68]) == {"mouth"}
    assert np.all(model.reliable[vertices[27:31]])
    assert not model.reliable[9409:].any()
    assert np.all(model.reliable[model.rigid])
    motion = np.linalg.norm(model.exp_basis, axis=1).max(axis=1)
    assert motion[model.rigid].max() < 6
    assert np.median(motion[model.rigid]) < 0.5 * np.median(motion[model.reliable])
    # The rigid region spans the face's width, or poses would tilt.
    assert np.ptp(model.mean[model.rigid, 0]) > 100
    # Symmetric mesh, symmetric masks.
    assert abs(np.mean(model.mean[model.reliable, 0] > 0) - 0.5) < 0.02


def test_contour_lines_run_outwards_through_the_jaw(model: FaceModel) -> None:
    points = model.embeddings["ibug68"]
    vertices = model.triangles[points.triangle][np.arange(68), points.barycentric.argmax(axis=1)]
    assert len(model.contour_lines) == 17
    neighbours = vertex_adjacency(model.triangles, model.vertex_count)
    for line, jaw in zip(model.contour_lines, vertices[:17], strict=True):
        assert np.linalg.norm(model.mean[line] - model.mean[jaw], axis=1).min() < 3.0
        assert all(neighbours[a, b] for a, b in pairwise(line))
        assert model.mean[line[0], 2] > model.mean[line[-1], 2]
        assert len(set(line.tolist())) == len(line)


def test_missing_files_are_named(tmp_path: Path, shared_data: Path) -> None:
    with pytest.raises(ValueError, match=r"generic_neutral_mesh\.obj"):
        import_ict(tmp_path)
    data = shared_data / "ict_facekit" / "FaceXModel"
    for name in ("generic_neutral_mesh.obj", "vertex_indices.json"):
        (tmp_path / name).symlink_to(data / name)
    with pytest.raises(ValueError, match=r"identityNNN\.obj"):
        import_ict(tmp_path)
    (tmp_path / "identity000.obj").write_text("v 0 0 0\nv 1 0 0\n")
    with pytest.raises(ValueError, match=r"identity000\.obj: 2 vertices"):
        import_ict(tmp_path)
    (tmp_path / "all_modes.npz").write_bytes(b"PK")
    with pytest.raises(ValueError, match=r"all_modes\.npz"):
        import_ict(tmp_path)
    assert ict_source_files(tmp_path)[0].name == "all_modes.npz"
