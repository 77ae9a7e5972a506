from __future__ import annotations

import importlib.util
from typing import NamedTuple

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional
from toy_models import toy_model
from toy_shards import camera, paint, photo, pose

from fg3d_builder.fgnet.data import simulation
from fg3d_builder.fgnet.data.fits import FitBatch
from fg3d_builder.fgnet.data.simulation import (
    FACE_BONUS,
    UNDRAWN_SCORE,
    MultiviewSimulator,
    SimulationConfig,
    mirror_twins,
    normalized_coordinates,
)
from fg3d_builder.fgnet.view_geometry import vertex_normals_batch
from fg3d_builder.geometry.meshes import vertex_normals

SIZE = 96
CONFIG = SimulationConfig(view_set="3", size=SIZE)
MODEL = toy_model()
SIMULATOR = MultiviewSimulator(MODEL, CONFIG)


def painted_fit(*poses: tuple[float, float], size: int = 2 * SIZE) -> FitBatch:
    """Photos of the painted mean face, twice as fine as the views, and perfect fits to them."""
    intrinsics = camera(size)
    pictures, rotations, translations = [], [], []
    for pitch, yaw in poses:
        rotation, translation = pose(pitch, yaw)
        pictures.append(photo(MODEL, MODEL.mean, rotation, translation, intrinsics, size))
        rotations.append(rotation)
        translations.append(translation)
    count = len(poses)
    return FitBatch(
        torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2).contiguous(),
        torch.from_numpy(np.stack([intrinsics] * count)).float(),
        torch.from_numpy(np.stack([MODEL.mean] * count)).float(),
        torch.zeros(count, 3),  # views do not depend on coefficients
        torch.ones(count),
        torch.from_numpy(np.stack(rotations)).float(),
        torch.from_numpy(np.stack(translations)).float(),
    )


class Shown(NamedTuple):
    """Simulated views (B, V, 3, S, S) in [0, 1], and what belongs to them."""

    views: Tensor
    grid: Tensor
    visible: Tensor
    score: Tensor
    mirrored: Tensor


def simulated(fit: FitBatch) -> Shown:
    found = SIMULATOR(fit)
    given = found.given
    assert given.views is not None
    assert given.uv_from_view is not None
    assert given.view_visible is not None
    views = (given.views + 1) / 2
    return Shown(views, given.uv_from_view, given.view_visible, found.score, found.mirrored)


def face_mesh(fit: FitBatch) -> simulation.Mesh:
    normals = vertex_normals_batch(fit.shape_obj_mm, SIMULATOR.triangles)
    return SIMULATOR.meshes(fit, normals)[0]


def true_views() -> np.ndarray:
    """The painted face as the virtual cameras would see it: (V, S, S, 3), NaN off the face."""
    found = []
    for rotation in SIMULATOR.view_rotation.double().numpy():
        translation = [0, 0, CONFIG.camera_distance_mm] - rotation @ SIMULATOR.middle_mm.numpy()
        cam = MODEL.mean @ rotation.T + translation
        seen = simulation.rasterize_batch(
            torch.from_numpy(cam)[None], SIMULATOR.triangles, SIMULATOR.view_intrinsics, SIZE, SIZE
        )
        mean = torch.from_numpy(MODEL.mean).float()[None]
        places = simulation.interpolate_batch(
            seen.triangle, seen.barycentric, SIMULATOR.triangles, mean
        )[0].numpy()
        found.append(np.where((seen.triangle[0] >= 0)[..., None], paint(places), np.nan))
    return np.stack(found)


def test_views_show_the_painted_face_and_the_mirrored_half_darkened() -> None:
    truth = true_views()
    for yaw in (0.0, 35.0, -35.0):
        out = simulated(painted_fit((5.0, yaw)))
        views = out.views[0].permute(0, 2, 3, 1).numpy()
        mirrored = out.mirrored[0].numpy()
        # Pixels deep within the face and within one of the two regions: no edges in the way.
        on_face = ~np.isnan(truth[..., 0])
        inner = ~dilated(~on_face) & ~dilated(mirrored) & (out.score[0].numpy() > FACE_BONUS + 0.3)
        filled = ~dilated(~on_face) & ~dilated(~mirrored)
        filled &= out.score[0].numpy() > FACE_BONUS + 0.3
        error = np.abs(views - truth).max(axis=-1)
        assert error[inner].mean() < 0.01
        assert np.quantile(error[inner], 0.99) < 0.06
        if yaw:
            assert filled.sum() > 0.05 * on_face.sum()
            half = np.abs(views - CONFIG.flip_weight * truth).max(axis=-1)
            assert half[filled].mean() < 0.01
        else:
            assert mirrored[0][on_face[0]].mean() < 0.15


def test_the_photo_is_its_own_view_from_where_it_was_taken() -> None:
    fit = painted_fit((0.0, 0.0), size=SIZE)
    # The virtual camera's own place and lens; so face and background must come back.
    fit = fit._replace(
        intrinsics=SIMULATOR.view_intrinsics,
        translation_mm=(
            torch.tensor([0.0, 0.0, CONFIG.camera_distance_mm])
            - SIMULATOR.view_rotation[0] @ SIMULATOR.middle_mm
        )[None],
    )
    rotation, translation, intrinsics = (
        value[0].double().numpy() for value in (fit.rotation, fit.translation_mm, fit.intrinsics)
    )
    picture = photo(MODEL, MODEL.mean, rotation, translation, intrinsics, SIZE)
    noise = np.random.default_rng(3).integers(0, 60, (SIZE, SIZE, 3))
    picture = (picture // 2 + noise).astype(np.uint8)
    fit = fit._replace(image=torch.from_numpy(picture).permute(2, 0, 1)[None])
    out = simulated(fit)
    trusted = ~dilated(out.mirrored[0, 0].numpy())
    trusted[[0, -1]] = trusted[:, [0, -1]] = (
        False  # the sheet ends at the outermost pixels' centres
    )
    error = np.abs(out.views[0, 0].permute(1, 2, 0).numpy() - picture / 255.0).max(axis=-1)
    assert trusted.mean() > 0.8
    assert np.quantile(error[trusted], 0.98) < 0.01
    assert np.median(error[trusted]) < 1e-3


def test_scores_follow_eq_4() -> None:
    fit = painted_fit((0.0, 20.0))
    face = face_mesh(fit)
    cam = face.photo[0, :, :3].double().numpy()
    normals = vertex_normals(cam, MODEL.triangles)
    cosine = -(normals * cam / np.linalg.norm(cam, axis=1, keepdims=True)).sum(axis=1)
    score = face.photo[0, :, 3].numpy()
    shown = score > FACE_BONUS
    np.testing.assert_allclose(score[shown], FACE_BONUS + cosine[shown], atol=1e-4)
    # An ellipsoid with a nose: what faces the camera well is seen, but for the nose's shadow.
    assert shown[cosine > 0.3].mean() > 0.97
    assert np.all(score[cosine < -0.05] < FACE_BONUS)


def test_hidden_skin_gets_the_least_score() -> None:
    fit = painted_fit((0.0, 60.0))
    score = face_mesh(fit).photo[0, :, 3].numpy()
    away = (MODEL.mean[:, 0] > 50) & (np.abs(MODEL.mean[:, 1]) < 20)  # turned behind the nose
    assert np.all(score[away] <= FACE_BONUS)


def test_texels_point_to_their_colour_in_every_view() -> None:
    out = simulated(painted_fit((0.0, 10.0)))
    vertices = torch.from_numpy(MODEL.mean).float()[None]
    places = SIMULATOR.uv_map.uv_map_from_vertices(vertices)[0].permute(1, 2, 0).numpy()
    wanted = paint(places)
    for view in range(3):
        read = functional.grid_sample(out.views[:, view], out.grid[:, view], align_corners=False)[
            0
        ].permute(1, 2, 0)
        # Away from outlines, where a pixel is part of two things.
        own = within((out.score[:, view] > FACE_BONUS).numpy() & ~out.mirrored[:, view].numpy())
        sure = (out.visible[0, view, 0].numpy() > 0) & (read_mask(own, out.grid[:, view]) == 1)
        error = np.abs(read.numpy() - wanted).max(axis=-1)[sure]
        assert sure.mean() > 0.2
        assert np.median(error) < 0.02
        assert np.quantile(error, 0.95) < 0.1


def test_visible_texels_are_those_that_the_view_faces() -> None:
    out = simulated(painted_fit((0.0, 0.0)))
    # At yaw 50 the subject's right side (x < 0) comes forward, its left side goes out of sight.
    vertices = torch.from_numpy(MODEL.mean).float()[None]
    x = SIMULATOR.uv_map.uv_map_from_vertices(vertices)[0, 0].numpy()
    seen = out.visible[0, 2, 0].numpy() > 0
    assert seen[x < -30].mean() > 0.5
    assert seen[x > 60].mean() < 0.05


def test_the_photos_maps_agree_with_the_code() -> None:
    maps = SIMULATOR.photo_input(painted_fit((0.0, 15.0)))
    assert maps.pncc is not None
    assert maps.uv_from_image is not None
    assert maps.image_visible is not None
    pncc = (maps.pncc + 1) / 2
    code = torch.from_numpy(normalized_coordinates(MODEL.mean)).float()[None]
    wanted = SIMULATOR.uv_map.uv_map_from_vertices(code)[0]
    read = functional.grid_sample(pncc, maps.uv_from_image, align_corners=False)[0]
    inside = read_mask(within(pncc.sum(dim=1).numpy() > 0), maps.uv_from_image) == 1
    seen = (maps.image_visible[0, 0] > 0) & torch.from_numpy(inside)
    error = (read - wanted).abs().amax(dim=0)[seen]
    assert error.median() < 0.005
    assert torch.quantile(error, 0.95) < 0.03


def test_the_shape_map_is_how_the_fit_differs_from_the_mean() -> None:
    """A shape that is linear in the mean's coordinates is linear on every texel within."""
    fit = painted_fit((0.0, 15.0))
    stretch = torch.tensor([0.1, -0.05, 0.2])
    mean = torch.from_numpy(MODEL.mean).float()[None]
    fit = fit._replace(shape_obj_mm=mean + mean * stretch + torch.tensor([0.0, 3.0, 0.0]))
    given = SIMULATOR.network_input(fit, frozenset({"shape_map"}))
    assert [n for n, v in given._asdict().items() if v is not None] == ["shape_map"]
    places = SIMULATOR.uv_map.uv_map_from_vertices(mean)
    wanted = places * stretch[:, None, None] + torch.tensor([0.0, 3.0, 0.0])[:, None, None]
    assert given.shape_map is not None
    torch.testing.assert_close(given.shape_map, wanted, atol=1e-4, rtol=0)
    still = SIMULATOR.network_input(painted_fit((0.0, 15.0)), frozenset({"shape_map"}))
    assert still.shape_map is not None
    assert still.shape_map.abs().max() < 1e-4


def mirrored(fit: FitBatch) -> FitBatch:
    """The photos in a mirror, with the fits that a mirrored face has."""
    across = torch.tensor([-1.0, 1.0, 1.0])
    intrinsics = fit.intrinsics.clone()
    intrinsics[:, 0, 2] = fit.image.shape[-1] - 1 - intrinsics[:, 0, 2]
    return fit._replace(
        image=fit.image.flip(-1),
        intrinsics=intrinsics,
        shape_obj_mm=at_twins(fit.shape_obj_mm) * across,
        rotation=across[:, None] * fit.rotation * across,
        translation_mm=fit.translation_mm * across,
    )


def at_twins(values: Tensor) -> Tensor:
    """Values (B, n, c) of the vertices on the other side of the face."""
    return (values[:, SIMULATOR.twin_corner] * SIMULATOR.twin_weight[..., None]).sum(dim=2)


@pytest.mark.parametrize("yaw", [25.0, -25.0])
def test_views_by_pose_of_a_mirrored_photo_are_the_views_mirrored(yaw: float) -> None:
    simulator = MultiviewSimulator(MODEL, SimulationConfig("7", True, SIZE))
    fit = painted_fit((5.0, yaw))
    there, back = simulator(fit).given, simulator(mirrored(fit)).given
    assert there.views is not None
    assert back.views is not None
    assert there.uv_from_view is not None
    assert back.uv_from_view is not None
    error = (back.views.flip(-1) - there.views).abs().amax(dim=2)
    assert error.mean() < 0.02  # of 2: edges move by parts of a pixel
    fixed = [SIMULATOR(one).given.views for one in (fit, mirrored(fit))]
    assert fixed[0] is not None
    assert fixed[1] is not None
    assert (fixed[1].flip(-1) - fixed[0])[:, 2].abs().mean() > 0.1
    # Places of a vertex and of its twin: the same row, the mirrored column.
    places, twins = (
        simulator.uv_map.vertices_from_uv_map(grid[0].permute(0, 3, 1, 2))
        for grid in (there.uv_from_view, back.uv_from_view)
    )
    twins = at_twins(twins) * torch.tensor([-1.0, 1.0])
    assert (twins - places).abs().mean() < 2e-3  # a tenth of a pixel


def test_views_by_pose_turn_to_what_the_photo_shows() -> None:
    """At yaw 50 less has to be filled in from the mirror image than on the other side."""
    by_pose = MultiviewSimulator(MODEL, SimulationConfig("3", True, SIZE))
    for yaw in (30.0, -30.0):
        out = by_pose(painted_fit((0.0, yaw)))
        on_face = out.score[0, 2] > FACE_BONUS - 1.0
        assert out.mirrored[0, 2][on_face].float().mean() < 0.1
    away = SIMULATOR(painted_fit((0.0, -30.0)))
    on_face = away.score[0, 2] > FACE_BONUS - 1.0
    assert away.mirrored[0, 2][on_face].float().mean() > 0.3
    # Faces of a batch are turned each by its own pose.
    both = by_pose(painted_fit((0.0, 30.0), (0.0, -30.0)))
    alone = by_pose(painted_fit((0.0, -30.0)))
    assert both.given.views is not None
    assert alone.given.views is not None
    assert torch.equal(both.given.views[1], alone.given.views[0])


def test_a_batch_gives_what_single_photos_give() -> None:
    fit = painted_fit((0.0, 30.0), (10.0, -20.0))
    together = simulated(fit)
    for i in range(2):
        alone = simulated(FitBatch(*(field[i : i + 1] for field in fit)))
        for one, all_of_them in zip(alone, together, strict=True):
            assert torch.equal(one[0], all_of_them[i])


def test_torch_alone_gives_the_same_views(monkeypatch: pytest.MonkeyPatch) -> None:
    fit = painted_fit((0.0, 30.0))
    compiled = simulated(fit)
    find_spec = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name == "numba" else find_spec(name)
    )
    for one, other in zip(compiled, simulated(fit), strict=True):
        assert torch.equal(one, other)


def test_the_mirrored_sheet_fills_what_nothing_else_covers() -> None:
    """Mirrored pixels off the face are those that neither the face nor the sheet covers."""
    fit = painted_fit((0.0, 30.0))
    fit = fit._replace(translation_mm=fit.translation_mm + torch.tensor([40.0, 0.0, 0.0]))
    out = simulated(fit)
    normals = vertex_normals_batch(fit.shape_obj_mm, SIMULATOR.triangles)
    face, _flipped, sheet, turned = SIMULATOR.meshes(fit, normals)
    covered = [drawn_anywhere(mesh) for mesh in (face, sheet, turned)]
    on_face, on_sheet, on_turned = covered
    filled = ~on_face & ~on_sheet & on_turned
    assert filled.any(dim=0).any()
    assert torch.equal(out.mirrored[0] & ~on_face, filled)
    assert torch.equal(out.score[0] == UNDRAWN_SCORE, ~on_face & ~on_sheet & ~on_turned)


def drawn_anywhere(mesh: simulation.Mesh) -> Tensor:
    """Pixels (V, S, S) that a mesh alone covers in the views of one photo."""
    found = []
    for rotation in SIMULATOR.view_rotation:
        cam = (mesh.obj_mm - SIMULATOR.middle_mm) @ rotation.T
        cam[..., 2] += CONFIG.camera_distance_mm
        seen = simulation.rasterize_batch(
            cam, mesh.triangles, SIMULATOR.view_intrinsics, SIZE, SIZE
        )
        found.append(seen.triangle[0] >= 0)
    return torch.stack(found)


def test_the_source_view_set_is_the_photo() -> None:
    fit = painted_fit((0.0, 15.0))
    simulator = MultiviewSimulator(MODEL, SimulationConfig(view_set="source", size=SIZE))
    given = simulator.network_input(fit, frozenset({"views", "uv_from_view", "view_visible"}))
    photo = simulator.photo_input(fit)
    for view, image in (
        (given.views, photo.image),
        (given.uv_from_view, photo.uv_from_image),
        (given.view_visible, photo.image_visible),
    ):
        assert view is not None
        assert image is not None
        assert torch.equal(view[:, 0], image)
    assert given.image is None


def test_twins_mirror_the_face() -> None:
    corner, weight = mirror_twins(MODEL.mean, MODEL.triangles)
    places = (MODEL.mean[corner] * weight[..., None]).sum(axis=1)
    np.testing.assert_allclose(places, MODEL.mean * [-1, 1, 1], atol=1e-6)


def test_undrawn_pixels_are_black_and_scored_so() -> None:
    out = simulated(painted_fit((0.0, 0.0)))
    empty = out.score == UNDRAWN_SCORE
    assert empty.any()
    assert torch.all(out.views.movedim(2, -1)[empty] == 0)


def read_mask(mask: np.ndarray, grid: torch.Tensor) -> np.ndarray:
    """What a mask (1, H, W) has at grid (1, S, S, 2), bilinear: (S, S)."""
    given = torch.from_numpy(mask[:, None].astype(np.float32))
    return functional.grid_sample(given, grid, align_corners=False)[0, 0].numpy()


def within(mask: np.ndarray) -> np.ndarray:
    """Mask (..., H, W) shrunk by two pixels."""
    return ~dilated(~mask)


def dilated(mask: np.ndarray) -> np.ndarray:
    """Mask (..., H, W) grown by two pixels."""
    given = torch.from_numpy(mask.reshape(-1, 1, *mask.shape[-2:]).astype(np.float32))
    return (functional.max_pool2d(given, 5, stride=1, padding=2).numpy() > 0).reshape(mask.shape)
