"""The outside of heads against the heads themselves: people of the population, hair upon them."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from head_scene import HeadScene, Look, dressed, head_scene, hull_of

from fg3d_builder.facemodel.surround import Surround
from fg3d_builder.fullview.head_hull import head_hull, with_lost_depth
from fg3d_builder.fullview.hull_graph import hull_graph
from fg3d_builder.geometry.closest_points import ScanSurface
from fg3d_builder.geometry.meshes import normalized, vertex_normals
from fg3d_builder.geometry.smoothing import diffused
from fg3d_builder.records import Array
from fg3d_builder.rendering.rasterizer import rasterize

PEOPLE = [Look(701), Look(703, 20.0), Look(705, -15.0)]
PIXEL_MM = 1.34
"""Width of a pixel at the head: what an outline can tell, and hardly more."""


def surround_of(scene: HeadScene) -> Surround:
    assert scene.model.surround is not None
    return scene.model.surround


def predicted(scene: HeadScene, alpha: Array) -> Array:
    """The model's own surround (c, 3) of an identity around the registered face, camera frame."""
    graph = hull_graph(scene.model, "cholmod")
    assert graph is not None
    surround, registration = surround_of(scene), scene.registration
    around = registration.pose.cam_from_obj(surround.shape(alpha))
    at = surround.attached(registration.vertices_cam_mm, scene.model.triangles)
    return np.asarray(around + graph.followed(at - around[surround.skirt]))


def off_mm(scene: HeadScene, points: Array) -> Array:
    """Distances (k,) to the true head, hair included."""
    return np.asarray(
        ScanSurface(scene.outside_cam_mm, scene.triangles).closest(points).distance_mm
    )


def seen_part(scene: HeadScene, around: Array) -> Array:
    """Vertices of the surround that look at the camera, above the collar, besides the skirt."""
    surround = surround_of(scene)
    normals = vertex_normals(around, surround.triangles)
    facing = -np.einsum("nd,nd->n", normals, normalized(around)) > 0.4
    facing &= scene.registration.pose.obj_from_cam(around)[:, 1] > -110.0
    facing[surround.skirt] = False
    return np.asarray(facing)


@pytest.mark.parametrize("look", PEOPLE)
def test_the_hull_is_nearer_to_ears_scalp_and_neck_than_the_model(look: Look) -> None:
    """Nobody is in a model's span: here it expects the mean person's ears around each face."""
    scene = head_scene(look)
    surround, reliable = surround_of(scene), scene.model.reliable
    unknown = np.zeros_like(scene.registration.alpha_id)
    registration = dataclasses.replace(scene.registration, alpha_id=unknown)
    hull = head_hull(scene.model, registration, scene.measured(), "cholmod")
    assert hull is not None
    before, around = predicted(scene, unknown), hull.surround_cam_mm
    seen = seen_part(scene, before)
    unseen = ~seen & (surround.neck < 0.5)
    unseen[surround.skirt] = False
    errors = {}
    for name, part in (
        ("ears", seen & (surround.ear > 0.5)),
        ("scalp", seen & (surround.scalp > 0.5)),
        ("neck", seen & (surround.neck > 0.5)),
        ("seen", seen),
        ("unseen", unseen),
    ):
        errors[name] = off_mm(scene, before[part]).mean(), off_mm(scene, around[part]).mean()
    print(look.person, {name: f"{a:.2f} -> {b:.2f} mm" for name, (a, b) in errors.items()})
    assert errors["seen"][1] < 0.95 * errors["seen"][0]
    for name in ("ears", "scalp", "neck"):
        assert errors[name][1] < max(errors[name][0], 1.4 * PIXEL_MM)
    # Nobody saw the back of the head: it is at least hardly farther off.
    assert errors["unseen"][1] < 1.15 * errors["unseen"][0]
    np.testing.assert_allclose(
        hull.face_cam_mm[reliable], scene.registration.vertices_cam_mm[reliable], atol=1e-9
    )


@pytest.mark.parametrize("look", [Look(), *PEOPLE])
def test_what_the_model_knows_is_not_spoilt_by_more_than_a_pixel(look: Look) -> None:
    scene, (_, hull) = head_scene(look), hull_of(look)
    surround = surround_of(scene)
    use = surround.neck < 0.5
    use[surround.skirt] = False
    error = off_mm(scene, hull.surround_cam_mm[use])
    offset = hull.offset_mm[scene.model.vertex_count :][use]
    print(look.person, f"{error.mean():.2f} mm, offsets {np.median(offset):.2f} mm")
    assert error.mean() < 1.2 * PIXEL_MM
    # On average neither too far in nor too far out.
    assert abs(np.median(offset)) < 0.7 * PIXEL_MM


@pytest.mark.parametrize("thick", [6.0, 14.0])
def test_hair_of_known_thickness_is_found_where_it_is_seen(thick: float) -> None:
    look = Look(701, 0.0, thick)
    scene, (_, hull) = head_scene(look), hull_of(look)
    surround = surround_of(scene)
    before = predicted(scene, scene.registration.alpha_id)
    truth = off_mm(scene, before)  # from the skin that is predicted to the hair
    use = seen_part(scene, before) & (surround.scalp > 0.9) & (truth > 0.7 * thick)
    assert use.sum() > 15
    error = off_mm(scene, hull.surround_cam_mm[use])
    print(thick, f"{truth[use].mean():.2f} -> {error.mean():.2f} mm")
    assert error.mean() < 0.1 * thick + 0.4
    offset = hull.offset_mm[len(hull.face_cam_mm) :]
    assert np.median(offset[use]) == pytest.approx(np.median(truth[use]), rel=0.25)
    # The back of the head has hair, too, if the crown has: what nobody saw follows what is seen.
    back = (surround.scalp > 0.9) & (surround.mean[:, 2] < -60) & (surround.mean[:, 1] > 20)
    assert 0.3 * thick < np.median(offset[back]) < 1.3 * thick
    assert not hull.covered.any()


def test_an_ear_under_hair_is_closed_over_and_a_bare_one_is_not() -> None:
    look, bare = Look(701, 0.0, 16.0, True), Look(701, 0.0, 16.0)
    (_, hull), (_, other) = hull_of(look), hull_of(bare)
    scene = head_scene(look)
    surround = surround_of(scene)
    n = scene.model.vertex_count
    assert hull.covered[n:][surround.ear > 0.5].all()
    assert not other.covered.any()

    def roughness(around: Array) -> float:
        """How far the vertices of ears are from the means of their surroundings, mm."""
        smooth = diffused(around, surround.triangles, 3)
        return float(np.linalg.norm(around - smooth, axis=1)[surround.ear > 0.5].mean())

    assert roughness(hull.surround_cam_mm) < 0.6 * roughness(other.surround_cam_mm)
    # Over the ear the head's outside is where the hair is.
    beside = (surround.ear > 0.5) & (np.abs(surround.mean[:, 0]) > 85)
    assert np.median(off_mm(scene, hull.surround_cam_mm[beside])) < 5.0


def test_a_symmetric_head_has_a_symmetric_hull() -> None:
    scene, (_, hull) = head_scene(), hull_of()
    surround = surround_of(scene)
    obj = scene.registration.pose.obj_from_cam(hull.surround_cam_mm)
    other = obj[surround.mirror] * [-1.0, 1.0, 1.0]
    use = surround.neck < 0.5
    assert np.linalg.norm(obj - other, axis=1)[use].mean() < 0.5 * PIXEL_MM


def test_the_hull_is_within_the_outline_of_the_head() -> None:
    look = Look(701, 0.0, 10.0)
    scene, (head, hull) = head_scene(look), hull_of(look)
    n = scene.model.vertex_count
    vertices = np.concatenate([hull.face_cam_mm, hull.surround_cam_mm])
    triangles = np.concatenate([scene.model.triangles, hull.triangles + n])
    drawn = rasterize(vertices, triangles, head.intrinsics, *head.head.shape).triangle >= 0
    rows = np.arange(len(drawn)) < head.intrinsics[1, 2] + 100
    assert (drawn & ~head.head)[rows].sum() < 0.002 * drawn[rows].sum()
    assert (head.head & ~drawn)[rows].sum() < 0.08 * drawn[rows].sum()


def test_lost_depth_is_the_hulls_and_lies_near_the_truth() -> None:
    scene = head_scene(Look(701, 0.0, 10.0))
    truth = scene.capture.depth_mm
    true_head, _, _ = scene.parts
    top = int(np.argmax(true_head.any(axis=1)))
    depth = truth.copy()
    depth[top + 5 : top + 22, 120:200] = np.nan
    head = scene.measured(depth_mm=depth)
    hull = head_hull(scene.model, scene.registration, head, "cholmod")
    face = scene.registration.vertices_cam_mm
    found = with_lost_depth(scene.model, face, hull, head)
    assert head.lost.sum() > 500
    assert found.lost.sum() > 0.9 * head.lost.sum()
    assert np.isfinite(found.depth_mm[found.lost]).all()
    left, top_ = np.rint(head.intrinsics[:2, 2] - scene.capture.intrinsics[:2, 2]).astype(int)
    row, column = np.nonzero(found.lost)
    error = found.depth_mm[found.lost] - truth[row - top_, column - left]
    near = np.abs(error) < 100  # outside of the true head there is no truth
    assert near.mean() > 0.98
    assert np.abs(error[near]).mean() < 4.0
    np.testing.assert_array_equal(found.depth_mm[~head.lost], head.depth_mm[~head.lost])
    without = with_lost_depth(scene.model, face, None, head)
    assert 0 < without.lost.sum() <= head.lost.sum()


def test_both_solvers_find_the_same_hull() -> None:
    scene = head_scene(PEOPLE[0])
    head = scene.measured()
    fast, slow = (
        head_hull(scene.model, scene.registration, head, name) for name in ("cholmod", "superlu")
    )
    assert fast is not None
    assert slow is not None
    np.testing.assert_allclose(fast.surround_cam_mm, slow.surround_cam_mm, atol=1e-6)
    np.testing.assert_allclose(fast.face_cam_mm, slow.face_cam_mm, atol=1e-6)


def test_a_model_without_surround_has_no_hull() -> None:
    scene = head_scene()
    bare = dataclasses.replace(scene.model, surround=None)
    assert head_hull(bare, scene.registration, scene.measured(), "cholmod") is None


@pytest.mark.parametrize("thick", [8.0, 16.0])
def test_clothes_around_a_neck_are_found_where_they_are_seen(thick: float) -> None:
    """On shoulders, too, which are steep: they look up, and the camera looks from the front."""
    plain = head_scene(Look(701))
    obj = plain.registration.pose.obj_from_cam(plain.skin_cam_mm)
    normals = vertex_normals(plain.skin_cam_mm, plain.triangles)
    share = np.clip((-95.0 - obj[:, 1]) / 20.0, 0.0, 1.0)
    outside = plain.skin_cam_mm + thick * share[:, None] * normals
    scene = dressed(plain, plain.colors, outside)
    hull = head_hull(scene.model, scene.registration, scene.measured(), "cholmod")
    assert hull is not None
    before = predicted(scene, scene.registration.alpha_id)
    normals = vertex_normals(before, surround_of(scene).triangles)
    towards = -np.einsum("nd,nd->n", normals, normalized(before))
    height = scene.registration.pose.obj_from_cam(before)[:, 1]
    worn = (height < -115.0) & (height > -170.0) & (surround_of(scene).neck > 0.5)
    worn[surround_of(scene).skirt] = False
    for name, part, most in (
        ("facing", worn & (towards > 0.6), 0.08 * thick),
        ("steep", worn & (towards > 0.3) & (towards <= 0.6), 1.5 * PIXEL_MM),
    ):
        error, then = (off_mm(scene, around[part]) for around in (hull.surround_cam_mm, before))
        print(thick, name, part.sum(), f"{then.mean():.2f} -> {error.mean():.2f} mm")
        assert error.mean() < most
