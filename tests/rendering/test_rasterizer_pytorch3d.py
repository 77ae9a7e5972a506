"""Our conventions against PyTorch3D's; the parity itself where it is installed."""

from __future__ import annotations

import importlib.util
import sys
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest
import torch
from hard_meshes import HEIGHT, INTRINSICS, WIDTH, scene
from hypothesis import given
from hypothesis import strategies as st

from fg3d_builder.errors import MissingDependencyError
from fg3d_builder.rendering.rasterizer import rasterize
from fg3d_builder.rendering.rasterizer_pytorch3d import (
    ndc_from_px,
    px_from_ndc,
    rasterize_by_pytorch3d,
)

INSTALLED = importlib.util.find_spec("pytorch3d") is not None
SIZES = [(256, 256), (480, 640), (640, 480), (36, 48), (7, 5)]


def pixel_centre_ndc(index: int, size: int, other_size: int) -> float:
    """PyTorch3D's documented place of the pixel `index`, counted from the right or the bottom."""
    span = 2.0 * max(1.0, size / other_size)
    return -span / 2 + span * (index + 0.5) / size


@pytest.mark.parametrize(("height", "width"), SIZES)
def test_pixel_centres_lie_where_pytorch3d_puts_them(height: int, width: int) -> None:
    for row, column in ((0, 0), (height - 1, 0), (0, width - 1), (3, 4)):
        px = torch.tensor([column, row], dtype=torch.float64)
        wanted = [
            pixel_centre_ndc(width - 1 - column, width, height),
            pixel_centre_ndc(height - 1 - row, height, width),
        ]
        np.testing.assert_allclose(ndc_from_px(px, height, width).numpy(), wanted, atol=1e-14)


def test_corners_of_a_square_image_lie_at_one() -> None:
    px = torch.tensor([[-0.5, -0.5], [255.5, 255.5], [127.5, 127.5]], dtype=torch.float64)
    assert ndc_from_px(px, 256, 256).tolist() == [[1, 1], [-1, -1], [0, 0]]


@given(st.floats(-1e4, 1e4), st.floats(-1e4, 1e4), st.sampled_from(SIZES))
def test_there_and_back(x: float, y: float, size: tuple[int, int]) -> None:
    px = torch.tensor([x, y], dtype=torch.float64)
    again = px_from_ndc(ndc_from_px(px, *size), *size)
    np.testing.assert_allclose(again.numpy(), px.numpy(), atol=1e-9)


def standing_in(meshes, image_size, faces_per_pixel, perspective_correct, **_settings):  # type: ignore[no-untyped-def]
    """`rasterize_meshes` by PyTorch3D's documentation, slow, for what we hand to it."""
    assert faces_per_pixel == 1
    assert perspective_correct
    height, width = image_size
    shape = (len(meshes.verts), height, width, 1)
    face, depth = torch.full(shape, -1), torch.full(shape, -1.0)
    barycentric = torch.full((*shape, 3), -1.0)
    first = 0
    x = [pixel_centre_ndc(width - 1 - i, width, height) for i in range(width)]
    y = [pixel_centre_ndc(height - 1 - i, height, width) for i in range(height)]
    pixels = torch.stack(torch.meshgrid(torch.tensor(x), torch.tensor(y), indexing="xy"), dim=-1)
    for n, (vertices, faces) in enumerate(zip(meshes.verts, meshes.faces, strict=True)):
        for f, corners in enumerate(vertices[faces].double()):
            system = torch.cat([corners[:, :2].T, torch.ones(1, 3)])
            right = torch.cat([pixels, torch.ones(height, width, 1)], dim=-1).double()
            flat = right @ torch.linalg.pinv(system).T
            over_z = flat / corners[:, 2]
            z = 1 / over_z.sum(dim=-1)
            hit = (flat > 0).all(dim=-1) & ((face[n, ..., 0] < 0) | (z < depth[n, ..., 0]))
            face[n, ..., 0][hit] = first + f
            depth[n, ..., 0][hit] = z[hit].float()
            barycentric[n, ..., 0, :][hit] = (over_z * z[..., None])[hit].float()
        first += len(faces)
    return face, depth, barycentric, None


def test_fragments_come_back_in_our_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    """With a stand-in that follows PyTorch3D's documentation, whole batches agree with ours."""
    module = ModuleType("pytorch3d.renderer.mesh.rasterize_meshes")
    module.rasterize_meshes = standing_in  # type: ignore[attr-defined]
    structures = ModuleType("pytorch3d.structures")
    structures.Meshes = lambda verts, faces: SimpleNamespace(verts=verts, faces=faces)  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, module.__name__, module)
    monkeypatch.setitem(sys.modules, structures.__name__, structures)
    compare_with_ours(cull=True)
    compare_with_ours(cull=False)


@pytest.mark.skipif(not INSTALLED, reason="PyTorch3D is not installed")
@pytest.mark.parametrize("cull", [True, False])
def test_pytorch3d_agrees_but_for_edges(cull: bool) -> None:
    compare_with_ours(cull)


def compare_with_ours(cull: bool) -> None:
    """Three meshes, one of them behind the camera: equal but for at most 1 % of the pixels."""
    scenes = [scene("soup", seed) for seed in (2, 7)]
    count = min(len(one.triangles) for one in scenes)
    points = [one.vertices_cam_mm[: 3 * count] for one in scenes]
    vertices = np.stack([points[0], points[0] - [0, 0, 500], points[1]])
    triangles = scenes[0].triangles[:count]
    found = rasterize_by_pytorch3d(
        *(torch.from_numpy(part) for part in (vertices, triangles, INTRINSICS)), HEIGHT, WIDTH, cull
    )
    for i, one in enumerate(vertices):
        ours = rasterize(one, triangles, INTRINSICS, HEIGHT, WIDTH, cull)
        same = found.triangle[i].numpy() == ours.triangle
        assert same.mean() > 0.99
        np.testing.assert_allclose(
            found.barycentric[i].numpy()[same], ours.barycentric[same], atol=1e-3
        )
        np.testing.assert_allclose(found.depth_mm[i].numpy()[same], ours.depth_mm[same], rtol=1e-4)


def test_nothing_in_front_gives_background(monkeypatch: pytest.MonkeyPatch) -> None:
    module = ModuleType("pytorch3d")
    for name in ("renderer.mesh.rasterize_meshes", "structures"):
        part = ModuleType(f"pytorch3d.{name}")
        part.rasterize_meshes = part.Meshes = None  # type: ignore[attr-defined]
        monkeypatch.setitem(sys.modules, part.__name__, part)
    monkeypatch.setitem(sys.modules, "pytorch3d", module)
    behind = torch.tensor([[[0.0, 0, -100], [0, 50, -100], [50, 0, -100]]] * 2)
    camera = torch.from_numpy(INTRINSICS)
    found = rasterize_by_pytorch3d(behind, torch.tensor([[0, 1, 2]]), camera, 6, 5)
    assert found.triangle.shape == (2, 6, 5)
    assert (found.triangle == -1).all()
    assert torch.isnan(found.depth_mm).all()
    assert not found.barycentric.any()


@pytest.mark.skipif(INSTALLED, reason="PyTorch3D is installed")
def test_its_absence_is_explained() -> None:
    points, triangles = torch.zeros(1, 3, 3), torch.tensor([[0, 1, 2]])
    with pytest.raises(MissingDependencyError, match=r"INSTALL\.md"):
        rasterize_by_pytorch3d(points, triangles, torch.from_numpy(INTRINSICS), 6, 5)
