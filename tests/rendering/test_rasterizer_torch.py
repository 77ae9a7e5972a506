"""Batches in torch: the compiled kernel's results to the bit, and gradients that hold."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
import torch
from hard_meshes import HEIGHT, INTRINSICS, KINDS, WIDTH, kinds_and_seeds, scene
from hypothesis import given, settings

from fg3d_builder.geometry.camera import cam_from_px
from fg3d_builder.records import Array
from fg3d_builder.rendering.rasterizer import interpolate, rasterize
from fg3d_builder.rendering.rasterizer_torch import (
    BatchFragments,
    interpolate_batch,
    perspective_barycentric,
    rasterize_batch,
    rasterize_vectorised,
)

CAMERA = torch.from_numpy(INTRINSICS)
DEVICES = ["cpu", pytest.param("cuda", marks=pytest.mark.skipif(
    not torch.cuda.is_available(), reason="no CUDA device here"
))]  # fmt: skip


def assert_same(found: BatchFragments, wanted: list) -> None:
    """Equal to the bit, mesh by mesh, to fragments of the compiled kernel."""
    for i, one in enumerate(wanted):
        for part, expected in zip(found, one, strict=True):
            np.testing.assert_array_equal(part[i].cpu().numpy(), expected)


def patch(seed: int) -> tuple[Array, Array]:
    """A bumpy 4 x 4 surface that fills most of a 12 x 10 image; corners off the pixel centres."""
    rng = np.random.default_rng(seed)
    x, y = np.meshgrid(np.linspace(0.31, 10.77, 4), np.linspace(0.23, 8.81, 4))
    px = np.stack([x.ravel(), y.ravel()], 1) + rng.uniform(-0.4, 0.4, (16, 2))
    n = np.arange(16).reshape(4, 4)
    a, b, c, d = n[:-1, :-1].ravel(), n[:-1, 1:].ravel(), n[1:, :-1].ravel(), n[1:, 1:].ravel()
    triangles = np.concatenate([np.stack([a, c, b], 1), np.stack([b, c, d], 1)])
    return cam_from_px(px, rng.uniform(80, 120, 16), PATCH_CAMERA), triangles


PATCH_CAMERA = np.array([[30.0, 0, 5.5], [0, 30.0, 4.5], [0, 0, 1]])


@pytest.mark.parametrize("device", DEVICES)
@settings(max_examples=25, deadline=None)
@given(kinds_and_seeds)
def test_vectorised_form_equals_the_kernel_to_the_bit(
    device: str, kind_and_seed: tuple[str, int]
) -> None:
    hard = scene(*kind_and_seed)
    vertices = torch.from_numpy(hard.vertices_cam_mm).to(device)[None]
    triangles = torch.from_numpy(hard.triangles).to(device)
    for cull in (True, False):
        for at_once in (1 << 20, 3000):  # all in one group; groups of one or a few triangles
            found = rasterize_vectorised(
                vertices, triangles, CAMERA.to(device), HEIGHT, WIDTH, cull, at_once
            )
            assert_same(found, [rasterize(*hard, cull)])


def test_triangles_of_any_size_are_covered_alike() -> None:
    """Around the size from which edge functions no longer fit into 32 bits."""
    rng = np.random.default_rng(0)
    size, count = 300, 200
    reach = rng.choice([100.0, 126.9, 127.0, 127.1, 128.0, 180.0, 250.0], (count, 1, 1))
    corner = (
        rng.uniform(-80, 300, (count, 1, 2)) + rng.choice([-0.5, 0.0, 0.5], (count, 3, 2)) * reach
    )
    depth = rng.uniform(80, 120, 3 * count)
    camera = np.array([[300.0, 0, 150], [0, 300.0, 150], [0, 0, 1]])
    vertices = cam_from_px(corner.reshape(-1, 2), depth, camera)
    triangles = np.arange(3 * count).reshape(-1, 3)
    wanted = rasterize(vertices, triangles, camera, size, size, False)
    assert (wanted.triangle >= 0).mean() > 0.5
    found = rasterize_vectorised(
        torch.from_numpy(vertices)[None], torch.from_numpy(triangles),
        torch.from_numpy(camera), size, size, False,
    )  # fmt: skip
    assert_same(found, [wanted])


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("form", [rasterize_batch, rasterize_vectorised])
@settings(max_examples=15, deadline=None)
@given(kinds_and_seeds)
def test_wanted_pixels_are_drawn_as_ever_and_no_others(
    form, device: str, kind_and_seed: tuple[str, int]
) -> None:
    hard = scene(*kind_and_seed)
    vertices = torch.from_numpy(hard.vertices_cam_mm).to(device).expand(3, -1, -1)
    triangles, camera = torch.from_numpy(hard.triangles).to(device), CAMERA.to(device)
    everything = form(vertices, triangles, camera, HEIGHT, WIDTH)
    generator = torch.Generator().manual_seed(kind_and_seed[1])
    wanted = torch.rand((3, HEIGHT, WIDTH), generator=generator) < 0.3
    wanted[1] = False
    wanted[2, :, 5:] = False
    found = form(vertices, triangles, camera, HEIGHT, WIDTH, wanted=wanted.to(device))
    for part, whole, empty in zip(found, everything, (-1, 0.0, torch.nan), strict=True):
        mask = wanted.to(device).view(*wanted.shape, *[1] * (part.dim() - 3))
        np.testing.assert_array_equal(part.cpu(), whole.where(mask, empty).cpu())


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("form", [rasterize_batch, rasterize_vectorised])
def test_meshes_and_cameras_of_a_batch_are_their_own(form, device: str) -> None:
    scenes = [scene("smaller_than_pixels", s) for s in range(3)]
    rng = np.random.default_rng(0)
    cameras = np.stack([INTRINSICS + rng.normal(size=(3, 3)) * [[2, 0, 2], [0, 2, 2], [0, 0, 0]]
                        for _ in scenes])  # fmt: skip
    vertices = torch.from_numpy(np.stack([s.vertices_cam_mm for s in scenes])).float().to(device)
    own = np.stack([rng.permutation(s.triangles) for s in scenes])
    for triangles in (own, own[0]):
        found = form(
            vertices, torch.from_numpy(triangles).to(device), torch.from_numpy(cameras).to(device),
            HEIGHT, WIDTH,
        )  # fmt: skip
        wanted = [
            rasterize(vertices[i].cpu().numpy(), np.broadcast_to(triangles, own.shape)[i],
                      cameras[i], HEIGHT, WIDTH)
            for i in range(3)
        ]  # fmt: skip
        assert all((one.triangle >= 0).any() for one in wanted)
        assert_same(found, wanted)


@pytest.mark.parametrize("form", [rasterize_batch, rasterize_vectorised])
def test_neighbouring_images_share_triangles_and_attributes(form) -> None:
    scenes = [scene("smaller_than_pixels", s) for s in range(2)]
    rng = np.random.default_rng(1)
    vertices = torch.from_numpy(np.stack([s.vertices_cam_mm for s in scenes for _ in range(3)]))
    vertices += torch.from_numpy(rng.normal(size=vertices.shape))
    triangles = torch.from_numpy(np.stack([rng.permutation(s.triangles) for s in scenes]))
    attributes = torch.from_numpy(rng.normal(size=(2, vertices.shape[1], 4)))
    found = form(vertices, triangles, CAMERA, HEIGHT, WIDTH)
    mixed = interpolate_batch(found.triangle, found.barycentric, triangles, attributes)
    for i in range(6):
        alone = form(vertices[i : i + 1], triangles[i // 3], CAMERA, HEIGHT, WIDTH)
        assert torch.equal(alone.triangle[0], found.triangle[i])
        wanted = interpolate_batch(
            alone.triangle, alone.barycentric, triangles[i // 3], attributes[i // 3]
        )
        assert torch.equal(wanted[0], mixed[i])


@pytest.mark.parametrize("kind", list(KINDS))
def test_recomputed_coordinates_are_the_fragments_own(kind: str) -> None:
    hard = scene(kind, 4)
    vertices, triangles = torch.from_numpy(hard.vertices_cam_mm)[None], torch.from_numpy(
        hard.triangles
    )  # fmt: skip
    found = rasterize_batch(vertices, triangles, CAMERA, HEIGHT, WIDTH, False)
    again = perspective_barycentric(vertices, triangles, CAMERA, found.triangle)
    assert torch.equal(again.float(), found.barycentric)


@pytest.mark.parametrize("needs_gradient", [False, True])
def test_interpolation_equals_the_kernels(needs_gradient: bool) -> None:
    """With gradients torch computes, without them the kernel of batches."""
    hard = scene("smaller_than_pixels", 2)
    attributes = np.random.default_rng(0).normal(size=(len(hard.vertices_cam_mm), 4))
    fragments = rasterize(*hard)
    found = interpolate_batch(
        torch.from_numpy(fragments.triangle)[None],
        torch.from_numpy(fragments.barycentric)[None],
        torch.from_numpy(hard.triangles),
        torch.from_numpy(attributes).requires_grad_(needs_gradient),
    )
    assert found.requires_grad == needs_gradient
    np.testing.assert_allclose(
        found[0].detach().numpy(), interpolate(fragments, hard.triangles, attributes), atol=1e-14
    )


def test_gradients_to_vertices_and_attributes_match_finite_differences() -> None:
    meshes = [patch(seed) for seed in (0, 1)]
    vertices = torch.from_numpy(np.stack([v for v, _ in meshes])).requires_grad_()
    triangles, camera = torch.from_numpy(meshes[0][1]), torch.from_numpy(PATCH_CAMERA)
    seen = rasterize_batch(vertices, triangles, camera, 10, 12).triangle
    assert (seen >= 0).sum() > 100
    attributes = torch.randn(2, 16, 2, generator=torch.Generator().manual_seed(0)).double()

    def rendered(points: torch.Tensor, values: torch.Tensor) -> torch.Tensor:
        where = perspective_barycentric(points, triangles, camera, seen, on_grid=False)
        return interpolate_batch(seen, where, triangles, torch.cat([values, points], dim=-1))

    assert torch.autograd.gradcheck(
        rendered, (vertices, attributes.requires_grad_()), eps=1e-5, atol=1e-6, fast_mode=True
    )


def test_gradients_on_the_grid_are_those_of_nearly_the_same_surface() -> None:
    points, faces = patch(3)
    vertices = torch.from_numpy(points)[None].requires_grad_()
    triangles, camera = torch.from_numpy(faces), torch.from_numpy(PATCH_CAMERA)
    seen = rasterize_batch(vertices, triangles, camera, 10, 12).triangle
    weights = torch.randn(1, 10, 12, 3, generator=torch.Generator().manual_seed(1)).double()
    found = []
    for on_grid in (True, False):
        where = perspective_barycentric(vertices, triangles, camera, seen, on_grid)
        (gradient,) = torch.autograd.grad((where * weights).sum(), vertices)
        found.append(gradient)
    torch.testing.assert_close(*found, rtol=0.02, atol=0.01 * found[1].abs().max().item())


def test_depth_of_a_receding_surface_grows_as_fast() -> None:
    """Moved along the rays, all depths scale: the gradient along that motion is the depth."""
    points, faces = patch(5)
    vertices = torch.from_numpy(points)[None].requires_grad_()
    triangles, camera = torch.from_numpy(faces), torch.from_numpy(PATCH_CAMERA)
    seen = rasterize_batch(vertices, triangles, camera, 10, 12)
    where = perspective_barycentric(vertices, triangles, camera, seen.triangle)
    depth = interpolate_batch(seen.triangle, where, triangles, vertices[..., 2:])[..., 0]
    covered = seen.triangle >= 0
    torch.testing.assert_close(depth[covered].float(), seen.depth_mm[covered], rtol=1e-6, atol=0)
    (gradient,) = torch.autograd.grad(depth.sum(), vertices)
    assert (gradient * vertices).sum().item() == pytest.approx(depth.sum().item(), rel=1e-9)


def test_the_thinnest_triangles_give_finite_gradients() -> None:
    for seed in range(5):
        hard = scene("slivers", seed)
        vertices = torch.from_numpy(hard.vertices_cam_mm)[None].requires_grad_()
        triangles = torch.from_numpy(hard.triangles)
        seen = rasterize_batch(vertices, triangles, CAMERA, HEIGHT, WIDTH, False).triangle
        where = perspective_barycentric(vertices, triangles, CAMERA, seen)
        assert where.min() >= 0
        assert where.max() <= 1
        (gradient,) = torch.autograd.grad(where[..., 0].sum(), vertices)
        assert torch.isfinite(gradient).all()


def test_works_without_numba() -> None:
    """A machine for training alone has torch and numpy; the vectorised form steps in."""
    code = """
import sys
class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.split('.')[0] in ('numba', 'scipy', 'cv2', 'open3d', 'luigi'):
            raise ModuleNotFoundError(name)
sys.meta_path.insert(0, Absent())
import importlib.util
real = importlib.util.find_spec
importlib.util.find_spec = lambda name, *a: None if name == 'numba' else real(name, *a)
import torch
from fg3d_builder.rendering.backends import installed_rasterizers, open_rasterizer
from fg3d_builder.rendering.rasterizer_torch import rasterize_batch
v = torch.tensor([[[-50.0, -50, 100], [-50, 50, 100], [50, -50, 100]]])
f, k = torch.tensor([[0, 1, 2]]), torch.tensor([[60.0, 0, 23.5], [0, 60, 17.5], [0, 0, 1]])
seen = rasterize_batch(v, f, k, 36, 48)
again = open_rasterizer('reference')(v[0].numpy(), f.numpy(), k.numpy(), 36, 48)
assert (seen.triangle[0].numpy() == again.triangle).all() and (again.triangle == 0).sum() > 500
assert 'numba' not in installed_rasterizers()
"""
    subprocess.run([sys.executable, "-c", code], check=True)
