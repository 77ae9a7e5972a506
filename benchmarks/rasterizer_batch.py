"""Batches of images in torch on one device, with and without gradients.

`python -m benchmarks.rasterizer_batch --device cuda` needs torch, numpy and scipy alone. It
checks that the device gives the bits that the CPU gives, prints milliseconds per image and memory,
and writes build/bench/rasterizer_batch.json.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from fg3d_builder.geometry.pose import rotation_from_angles
from fg3d_builder.rendering.rasterizer_torch import (
    BatchFragments,
    interpolate_batch,
    perspective_barycentric,
    rasterize_batch,
    rasterize_vectorised,
)

SIZE = 256
VIEWS = ((0.0, 0.0), (0.0, 25.0), (0.0, 50.0), (15.0, 0.0), (-25.0, 0.0))  # Sec. 4.1


class Scenes(NamedTuple):
    """A batch: vertices (B, n, 3) float32 in the camera frame, triangles (m, 3), camera (3, 3)."""

    vertices_cam_mm: Tensor
    triangles: Tensor
    intrinsics: Tensor


def bumpy_head(rows: int, columns: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """A head-sized ellipsoid with bumps, (n, 3) mm, and 2 (rows - 1) columns triangles."""
    polar, around = np.meshgrid(
        np.linspace(0.02, np.pi - 0.02, rows),
        np.linspace(0, 2 * np.pi, columns, endpoint=False),
        indexing="ij",
    )
    phase = np.random.default_rng(seed).uniform(0, 6, 3)
    radius = 1 + 0.05 * np.sin(7 * polar + phase[0]) * np.sin(6 * around + phase[1])
    direction = np.stack(
        [np.sin(polar) * np.sin(around), np.cos(polar), np.sin(polar) * np.cos(around)], axis=-1
    )
    vertices = (radius[..., None] * direction * [75.0, 110.0, 90.0]).reshape(-1, 3)
    n = np.arange(rows * columns).reshape(rows, columns)
    a, b = n[:-1].ravel(), np.roll(n[:-1], -1, axis=1).ravel()
    c, d = n[1:].ravel(), np.roll(n[1:], -1, axis=1).ravel()
    triangles = np.concatenate([np.stack([a, c, b], 1), np.stack([b, c, d], 1)])
    return vertices, triangles


def make_scenes(images: int, device: str) -> Scenes:
    """Each of `images` heads in the five views of the multiview simulation."""
    posed = []
    for seed in range(images):
        vertices, triangles = bumpy_head(101, 100, seed)
        for pitch, yaw in VIEWS:
            posed.append(vertices @ rotation_from_angles(pitch, yaw, 0.0).T + [0, 0, 600.0])
    camera = np.array([[620.0, 0, 127.5], [0, 620.0, 127.5], [0, 0, 1]])
    return Scenes(
        torch.from_numpy(np.stack(posed)).float().to(device),
        torch.from_numpy(triangles).to(device),
        torch.from_numpy(camera).to(device),
    )


def milliseconds_per_image(
    work: Callable[[], Tensor], batch: int, rounds: int, clock: Callable[[], float]
) -> float:
    """Median by `clock` over `rounds` after one that warms up; waits for the device."""
    spent = []
    for _ in range(rounds + 1):
        start = clock()
        work().sum().item()
        spent.append(1e3 * (clock() - start) / batch)
    return float(np.median(spent[1:]))


def with_gradients(scenes: Scenes, seen: BatchFragments) -> Tensor:
    """Depth drawn from recomputed coordinates; returns its gradient to the vertices."""
    vertices = scenes.vertices_cam_mm.detach().requires_grad_()
    where = perspective_barycentric(vertices, scenes.triangles, scenes.intrinsics, seen.triangle)
    depth = interpolate_batch(seen.triangle, where, scenes.triangles, vertices[..., 2:])
    (gradient,) = torch.autograd.grad(depth.sum(), vertices)
    return gradient


def differing_pixels(scenes: Scenes) -> dict[str, int]:
    """Values of the first five views that are not those of the CPU, per part of the fragments."""
    few = scenes._replace(vertices_cam_mm=scenes.vertices_cam_mm[: len(VIEWS)])
    found = rasterize_vectorised(*few, SIZE, SIZE)
    vertices, triangles, intrinsics = (part.cpu() for part in few)
    wanted = rasterize_vectorised(vertices, triangles, intrinsics, SIZE, SIZE)
    pairs = zip(BatchFragments._fields, found, wanted, strict=True)
    return {
        name: int((torch.nan_to_num(a.cpu()) != torch.nan_to_num(b)).sum()) for name, a, b in pairs
    }


def main() -> None:
    """Check, then time."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--images", type=int, help="of five views each; 16 on a GPU, else 2")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--out", type=Path, default=Path("build/bench/rasterizer_batch.json"))
    arguments = parser.parse_args()
    on_gpu = arguments.device.startswith("cuda")
    # A GPU is waited for; on the CPU, other work on the machine must not count.
    clock = time.perf_counter if on_gpu else time.process_time
    torch.set_num_threads(1)
    scenes = make_scenes(arguments.images or (16 if on_gpu else 2), arguments.device)
    batch = len(scenes.vertices_cam_mm)
    seen = rasterize_batch(*scenes, SIZE, SIZE)
    forms: dict[str, Callable[[], Tensor]] = {
        "visibility": lambda: rasterize_batch(*scenes, SIZE, SIZE).depth_mm.nan_to_num(),
        "visibility, vectorised": lambda: rasterize_vectorised(
            *scenes, SIZE, SIZE
        ).depth_mm.nan_to_num(),
        "depth and its gradient": lambda: with_gradients(scenes, seen),
    }
    result = {
        "device": torch.cuda.get_device_name() if on_gpu else "cpu",
        "batch": batch,
        "triangles": len(scenes.triangles),
        "covered": float((seen.triangle >= 0).float().mean()),
        "values_unlike_cpu": differing_pixels(scenes),
        "ms_per_image": {
            name: milliseconds_per_image(work, batch, arguments.rounds, clock)
            for name, work in forms.items()
        },
        "peak_gpu_mb": torch.cuda.max_memory_allocated() / 2**20 if on_gpu else None,
    }
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    arguments.out.write_text(json.dumps(result, indent=1))
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
