"""Ears of known size, turn and place are found again; ears that nobody saw stay."""

from __future__ import annotations

import numpy as np
import pytest
from head_scene import INTRINSICS, SKIN, WALL, WALL_MM, HeadScene, Look, head_scene
from scipy.spatial.transform import Rotation

from fg3d_builder.facemodel.surround import Surround
from fg3d_builder.fullview.ears import CORE, fitted_ears
from fg3d_builder.fullview.head_hull import expected_surround
from fg3d_builder.fullview.hull_graph import FIRM, HullGraph, hull_graph
from fg3d_builder.fullview.measured_head import MeasuredHead
from fg3d_builder.records import Array
from fg3d_builder.rendering.rasterizer import rasterize

PIXEL_MM = 1.34
"""Width of a pixel at the head: what an outline can tell."""

CHANGES = {
    "larger and lower": (1.2, 0.0, (0.0, -5.0, 0.0)),
    "standing off": (1.05, 15.0, (2.0, 0.0, 0.0)),
    "smaller and higher": (0.88, 0.0, (0.0, 4.0, -3.0)),
}
"""Size, turn away from the head in degrees, and shift (outwards, up, forwards) in mm."""


def parts_of(look: Look) -> tuple[HeadScene, HullGraph, Surround, Array]:
    """A scene, its graph and surround, and the surround's places around its face."""
    scene = head_scene(look)
    graph = hull_graph(scene.model, "cholmod")
    around = expected_surround(scene.model, scene.registration, "cholmod")
    assert graph is not None
    assert around is not None
    return scene, graph, graph.surround, around


def both(surround: Surround) -> list[Array]:
    """Vertices of the left ear and of the right one."""
    left = surround.mean[:, 0] > 0
    return [np.flatnonzero((surround.ear > CORE) & side) for side in (left, ~left)]


def changed(
    scene: HeadScene, graph: HullGraph, around: Array, change: tuple[float, float, Array]
) -> Array:
    """The surround (c, 3) with both of its ears changed."""
    size, turn_deg, shift = change
    surround, pose = graph.surround, scene.registration.pose
    obj = pose.obj_from_cam(around)
    moved = obj.copy()
    for sign in (1.0, -1.0):
        ear = (surround.ear > CORE) & (np.sign(surround.mean[:, 0]) == sign)
        front = obj[ear][:, 2].max()
        hinge = np.array([obj[ear][:, 0].mean(), obj[ear][:, 1].mean(), front])
        turn = Rotation.from_euler("y", -sign * turn_deg, degrees=True)
        moved[ear] = hinge + size * turn.apply(obj[ear] - hinge) + np.array(shift) * [sign, 1, 1]
    weight = np.full(len(obj), 0.02)
    weight[surround.ear > CORE] = weight[surround.skirt] = FIRM
    return pose.cam_from_obj(obj + graph.smooth_around(moved - obj, weight))


def seen_with(scene: HeadScene, graph: HullGraph, around: Array) -> MeasuredHead:
    """Measure the head with a given surround, all of it skin, before a wall."""
    shape = scene.capture.depth_mm.shape
    vertices = np.concatenate([scene.registration.vertices_cam_mm, around])
    drawn = rasterize(vertices, graph.triangles, INTRINSICS, *shape)
    head = drawn.triangle >= 0
    rgb = np.where(head[..., None], SKIN, WALL).astype(np.uint8)
    depth = np.where(head, drawn.depth_mm, WALL_MM).astype(np.float32)
    return scene.measured(rgb=rgb, depth_mm=depth)


@pytest.mark.parametrize("name", CHANGES)
@pytest.mark.parametrize("look", [Look(), Look(701), Look(705, -15.0)])
def test_changed_ears_are_found_again(look: Look, name: str) -> None:
    scene, graph, surround, around = parts_of(look)
    truth = changed(scene, graph, around, CHANGES[name])
    measured = seen_with(scene, graph, truth)
    face = scene.registration.vertices_cam_mm
    ears = fitted_ears(graph, face, around, measured, both(surround))
    assert ears.fitted
    for ear in ears.fitted:
        before = np.linalg.norm(around[ear] - truth[ear], axis=1).mean()
        after = np.linalg.norm(ears.vertices_cam_mm[ear] - truth[ear], axis=1).mean()
        print(look.person, name, f"{before:.2f} -> {after:.2f} mm")
        assert after < 0.6 * before
        assert after < 2.8
    np.testing.assert_allclose(
        ears.vertices_cam_mm[surround.skirt], around[surround.skirt], atol=0.01
    )


def test_the_right_ears_stay() -> None:
    scene, graph, surround, around = parts_of(Look(701))
    measured = seen_with(scene, graph, around)
    face = scene.registration.vertices_cam_mm
    ears = fitted_ears(graph, face, around, measured, both(surround))
    off = np.linalg.norm(ears.vertices_cam_mm - around, axis=1)
    print(f"{off[surround.ear > CORE].mean():.2f} mm")
    assert off[surround.ear > CORE].mean() < PIXEL_MM


def test_ears_under_hair_or_not_measured_stay() -> None:
    scene, graph, surround, around = parts_of(Look(701))
    measured = seen_with(scene, graph, around)
    face = scene.registration.vertices_cam_mm
    hidden = fitted_ears(graph, face, around, measured, [])
    assert not hidden.fitted
    np.testing.assert_array_equal(hidden.vertices_cam_mm, around)
    blind = measured._replace(depth_mm=np.full_like(measured.depth_mm, np.nan))
    unseen = fitted_ears(graph, face, around, blind, both(surround))
    assert not unseen.fitted
    np.testing.assert_array_equal(unseen.vertices_cam_mm, around)
