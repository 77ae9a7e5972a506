from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
import trimesh
from hypothesis import given, settings
from hypothesis import strategies as st
from random_meshes import bumpy_sphere, random_pose
from scipy.spatial import procrustes
from scipy.spatial.distance import cdist

from fg3d_builder.evaluation import (
    Correspondence,
    Places,
    ScanSurface,
    ScanVertices,
    dace,
    interocular_mm,
    nme,
)

EYES = (3, 40)
SEEDS = st.integers(0, 10_000)


class _Case:
    """A truth, a reconstruction of it in another frame, and a random set C."""

    def __init__(self, seed: int, noise_mm: float = 2.0) -> None:
        self.rng = np.random.default_rng(seed)
        mesh = bumpy_sphere(seed, 2)
        self.truth, self.faces = np.asarray(mesh.vertices), np.asarray(mesh.faces)
        noise = self.rng.normal(size=self.truth.shape) * noise_mm
        self.reconstruction = random_pose(self.rng).cam_from_obj(self.truth + noise)
        self.members = self.rng.random(len(self.truth)) < 0.6
        self.pairs = Correspondence.same_topology(self.members)
        self.d = interocular_mm(self.truth, Places.at_vertices(np.array(EYES), len(self.truth)))


def _aligned_by_scipy(source: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Least squares with rotation, size and place, in scipy's standardised coordinates."""
    _, moved, _ = procrustes(target, source)
    centre = target.mean(axis=0)
    return np.asarray(moved * np.linalg.norm(target - centre) + centre)


def _aligned_by_trimesh(source: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Rotation and place alone: trimesh's scale is another one than that of least squares."""
    _, moved, _ = trimesh.registration.procrustes(source, target, reflection=False, scale=False)
    return np.asarray(moved)


@settings(max_examples=20, deadline=None)
@given(seed=SEEDS, fix_scale=st.booleans())
def test_nme_is_what_scipy_and_trimesh_compute(seed: int, fix_scale: bool) -> None:
    case = _Case(seed)
    source, target = case.reconstruction[case.members], case.truth[case.members]
    moved = (_aligned_by_trimesh if fix_scale else _aligned_by_scipy)(source, target)
    d = np.linalg.norm(case.truth[EYES[0]] - case.truth[EYES[1]])
    expected = np.linalg.norm(moved - target, axis=1) / d
    found = nme(case.reconstruction, case.truth, case.pairs, case.d, fix_scale=fix_scale)
    np.testing.assert_allclose(found.per_place, expected, atol=1e-6)
    assert found.value == pytest.approx(expected.mean(), abs=1e-6)
    assert found.converged


@settings(max_examples=5, deadline=None)
@given(seed=SEEDS)
def test_dace_is_what_scipy_and_trimesh_compute(seed: int) -> None:
    case = _Case(seed)
    scan = bumpy_sphere(seed, 3)  # another sampling of the same surface
    source, target = case.reconstruction[case.members], case.truth[case.members]
    moved = _aligned_by_scipy(source, target)
    to_vertex = cdist(moved, scan.vertices).min(axis=1) / case.d
    arguments = (case.reconstruction, case.truth, case.pairs)
    found = dace(*arguments, ScanVertices(scan.vertices), case.d)
    np.testing.assert_allclose(found.per_place, to_vertex, atol=1e-6)
    assert found.value == pytest.approx(to_vertex.mean(), abs=1e-6)
    _, to_surface, _ = trimesh.proximity.closest_point(scan, moved)
    found = dace(*arguments, ScanSurface(scan.vertices, scan.faces), case.d)
    np.testing.assert_allclose(found.per_place, to_surface / case.d, atol=1e-6)
    assert found.value == pytest.approx(to_surface.mean() / case.d, abs=1e-6)


@settings(max_examples=15, deadline=None)
@given(seed=SEEDS, align_by=st.sampled_from(["squares", "distances"]))
def test_pose_and_size_of_either_shape_do_not_matter(seed: int, align_by: str) -> None:
    case = _Case(seed)
    scan = ScanSurface(case.truth, case.faces)
    before = nme(case.reconstruction, case.truth, case.pairs, case.d, align_by)
    near = dace(case.reconstruction, case.truth, case.pairs, scan, case.d, align_by)
    # Reweighting stops where the sum hardly falls, at places that differ a little.
    tolerance = 1e-9 if align_by == "squares" else 1e-5
    moved = random_pose(case.rng).cam_from_obj(case.reconstruction)
    after = nme(moved, case.truth, case.pairs, case.d, align_by)
    np.testing.assert_allclose(after.per_place, before.per_place, atol=tolerance)
    pose = random_pose(case.rng)
    truth = pose.cam_from_obj(case.truth)
    d = interocular_mm(truth, Places.at_vertices(np.array(EYES), len(truth)))
    after = nme(case.reconstruction, truth, case.pairs, d, align_by)
    np.testing.assert_allclose(after.per_place, before.per_place, atol=tolerance)
    scan = ScanSurface(truth, case.faces)
    after = dace(moved, truth, case.pairs, scan, d, align_by)
    np.testing.assert_allclose(after.per_place, near.per_place, atol=tolerance)


def test_a_fixed_scale_lets_size_count() -> None:
    case = _Case(4, noise_mm=0.0)
    pose = random_pose(case.rng, 1.0)
    larger = pose.cam_from_obj(1.1 * case.truth)
    free = nme(larger, case.truth, case.pairs, case.d)
    fixed = nme(larger, case.truth, case.pairs, case.d, fix_scale=True)
    centred = case.truth[case.members] - case.truth[case.members].mean(axis=0)
    assert free.value == pytest.approx(0.0, abs=1e-12)
    expected = 0.1 * np.linalg.norm(centred, axis=1).mean() / case.d
    assert fixed.value == pytest.approx(expected, rel=1e-9)
    assert free.truth_from_reconstruction.scale == pytest.approx(1 / 1.1, rel=1e-9)


@settings(max_examples=15, deadline=None)
@given(seed=SEEDS)
def test_numbering_does_not_matter(seed: int) -> None:
    case = _Case(seed)
    count = len(case.truth)
    index = np.flatnonzero(case.members)
    weights = case.rng.uniform(0.1, 1, len(index))
    source = Places.at_vertices(index, count)
    before = nme(
        case.reconstruction, case.truth, Correspondence.of(source, source, weights), case.d
    )
    # The reconstruction's vertices, the truth's vertices and the pairs, each in a new order.
    new_source, new_target = case.rng.permutation(count), case.rng.permutation(count)
    pairs = case.rng.permutation(len(index))
    shuffled = Correspondence.of(
        Places.at_vertices(np.argsort(new_source)[index[pairs]], count),
        Places.at_vertices(np.argsort(new_target)[index[pairs]], count),
        weights[pairs],
    )
    arguments = (case.reconstruction[new_source], case.truth[new_target], shuffled)
    after = nme(*arguments, case.d)
    assert after.value == pytest.approx(before.value, rel=1e-9)
    np.testing.assert_allclose(after.per_place, before.per_place[pairs], atol=1e-9)
    faces = np.argsort(new_target)[case.faces][case.rng.permutation(len(case.faces))]
    for one, other in (
        (ScanSurface(case.truth, case.faces), ScanSurface(case.truth[new_target], faces)),
        (ScanVertices(case.truth), ScanVertices(case.truth[new_target])),
    ):
        here = dace(*arguments, one, case.d)
        there = dace(*arguments, other, case.d)
        np.testing.assert_allclose(here.per_place, there.per_place, atol=1e-12)


def test_which_vertices_correspond_matters() -> None:
    case = _Case(2, noise_mm=0.0)
    right = nme(case.reconstruction, case.truth, case.pairs, case.d)
    wrong = nme(case.reconstruction[::-1], case.truth, case.pairs, case.d)
    assert right.value < 1e-9
    assert wrong.value > 0.1


def test_places_between_vertices_of_another_topology() -> None:
    """The truth is a finer mesh in a random order; pairs name its triangles."""
    case = _Case(6)
    fine = trimesh.Trimesh(case.truth, case.faces, process=False).subdivide()
    rng = np.random.default_rng(6)
    triangle = rng.integers(0, len(fine.faces), 300)
    barycentric = rng.dirichlet([1, 1, 1], 300)
    target = Places.on_triangles(fine.faces, triangle, barycentric, len(fine.vertices))
    points = trimesh.triangles.barycentric_to_points(fine.triangles[triangle], barycentric)
    # Where those points lie on the coarse mesh, by trimesh.
    coarse = trimesh.Trimesh(case.truth, case.faces, process=False)
    _, _, face = trimesh.proximity.closest_point(coarse, points)
    there = trimesh.triangles.points_to_barycentric(coarse.triangles[face], points)
    there = np.clip(there, 0, None)
    there /= there.sum(axis=1, keepdims=True)
    source = Places.on_triangles(case.faces, face, there, len(case.truth))
    pairs = Correspondence.of(source, target)
    pose = random_pose(rng)
    exact = nme(pose.cam_from_obj(case.truth), np.asarray(fine.vertices), pairs, case.d)
    assert exact.value == pytest.approx(0.0, abs=1e-6)
    found = nme(case.reconstruction, np.asarray(fine.vertices), pairs, case.d)
    moved = _aligned_by_scipy(source.points(case.reconstruction), points)
    expected = np.linalg.norm(moved - points, axis=1) / case.d
    np.testing.assert_allclose(found.per_place, expected, atol=1e-6)


def test_whole_weights_are_repetitions() -> None:
    case = _Case(9)
    index = np.flatnonzero(case.members)
    times = case.rng.integers(0, 4, len(index))
    count = len(case.truth)
    once = Places.at_vertices(index, count)
    often = Places.at_vertices(np.repeat(index, times), count)
    for align_by in ("squares", "distances"):
        arguments = (case.reconstruction, case.truth)
        weighted = nme(*arguments, Correspondence.of(once, once, times), case.d, align_by)
        repeated = nme(*arguments, Correspondence.of(often, often), case.d, align_by)
        assert weighted.value == pytest.approx(repeated.value, rel=1e-6)


def test_known_answer() -> None:
    """A regular octahedron, each corner moved outwards by its own length along its axis.

    The moves are 1, 1, 2, 2, 3, 3 on the two corners of an axis: symmetric, so that nothing
    turns, and with the scale fixed nothing else moves: the mean is 2, over d = 20.
    """
    axes = np.repeat(np.eye(3), 2, axis=0) * np.tile([1.0, -1.0], 3)[:, None]
    truth = 10.0 * axes
    reconstruction = truth + axes * np.repeat([1.0, 2.0, 3.0], 2)[:, None]
    pairs = Correspondence.same_topology(np.ones(6, bool))
    d = interocular_mm(truth, Places.at_vertices(np.array([0, 1]), 6))
    assert d == 20.0
    found = nme(reconstruction, truth, pairs, d, fix_scale=True)
    assert found.value == pytest.approx(0.1, abs=1e-12)
    np.testing.assert_allclose(found.per_place * d, [1, 1, 2, 2, 3, 3], atol=1e-9)
    # Free: lengths 11, 11, 12, 12, 13, 13 to 10; best f = 10 * 72 / 868.
    scale = 720.0 / 868.0
    free = nme(reconstruction, truth, pairs, d)
    assert free.truth_from_reconstruction.scale == pytest.approx(scale, rel=1e-12)
    expected = np.mean(np.abs(scale * np.array([11, 12, 13]) - 10)) / 20
    assert free.value == pytest.approx(expected, rel=1e-9)
    # The median length is 12: it is matched exactly when distances are summed.
    median = nme(reconstruction, truth, pairs, d, "distances")
    assert median.truth_from_reconstruction.scale == pytest.approx(10 / 12, rel=1e-5)


def test_dace_forgives_sliding_and_nme_does_not() -> None:
    grid = np.stack(np.meshgrid(np.arange(21.0), np.arange(21.0)), -1).reshape(-1, 2) * 5
    flat = np.column_stack([grid, np.zeros(len(grid))])
    corner = np.arange(441).reshape(21, 21)
    a, b, c, d = corner[:-1, :-1], corner[:-1, 1:], corner[1:, 1:], corner[1:, :-1]
    faces = np.concatenate([np.stack([a, b, c], -1), np.stack([a, c, d], -1)]).reshape(-1, 3)
    inner = np.all((grid > 20) & (grid < 80), axis=1)
    middle = inner & np.all((grid > 30) & (grid < 70), axis=1)
    slid = flat.copy()
    slid[middle, 0] += 2.0
    pairs = Correspondence.same_topology(inner)
    surface, vertices = ScanSurface(flat, faces), ScanVertices(flat)
    sliding = nme(slid, flat, pairs, 90.0).value
    assert sliding > 0.3 * 2.0 / 90.0
    assert dace(slid, flat, pairs, surface, 90.0).value == pytest.approx(0.0, abs=1e-9)
    to_vertex = dace(slid, flat, pairs, vertices, 90.0).value
    assert 0.1 * sliding < to_vertex <= sliding + 1e-12


def test_distances_are_fewer_when_they_are_what_is_minimised() -> None:
    case = _Case(11)
    spoilt = case.reconstruction.copy()
    spoilt[:30] += case.rng.normal(size=(30, 3)) * 100
    squares = nme(spoilt, case.truth, case.pairs, case.d)
    distances = nme(spoilt, case.truth, case.pairs, case.d, "distances")
    assert distances.converged
    assert distances.value < 0.98 * squares.value
    with pytest.raises(ValueError, match="align_by"):
        nme(spoilt, case.truth, case.pairs, case.d, "median")


def test_degenerate_input_is_refused() -> None:
    case = _Case(12)
    good = (case.reconstruction, case.truth, case.pairs, case.d)
    broken = case.reconstruction.copy()
    broken[np.flatnonzero(case.members)[:2]] = np.nan
    with pytest.raises(ValueError, match="reconstruction: 2 of the points to compare"):
        nme(broken, *good[1:])
    outside = case.reconstruction.copy()
    outside[~case.members] = np.nan
    assert nme(outside, *good[1:]).value == nme(*good).value
    with pytest.raises(ValueError, match="reconstruction: vertices of shape"):
        nme(case.reconstruction[:-1], *good[1:])
    with pytest.raises(ValueError, match="ground truth: vertices of shape"):
        nme(good[0], case.truth[:-1], *good[2:])
    for d in (0.0, -1.0, np.nan, np.inf):
        with pytest.raises(ValueError, match="positive length"):
            nme(*good[:3], d)
    few = np.zeros(len(case.truth), bool)
    few[:2] = True
    with pytest.raises(ValueError, match="needs three"):
        nme(*good[:2], Correspondence.same_topology(few), case.d)
    line = np.outer(np.arange(len(case.truth)), [1.0, 2.0, 3.0])
    for shape in (line, np.zeros_like(line)):
        with pytest.raises(ValueError, match="one line"):
            nme(shape, *good[1:])
        with pytest.raises(ValueError, match="one line"):
            nme(good[0], shape, *good[2:])


def test_numpy_and_scipy_are_all_that_is_imported() -> None:
    """A machine for training has no detector, no Open3D and no compiler of kernels."""
    heavy = ["torch", "numba", "open3d", "cv2", "matplotlib", "luigi", "trimesh", "h5py"]
    code = "import sys, fg3d_builder.evaluation, fg3d_builder.evaluation.pictures\n"
    code += f"print([name for name in {heavy} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
