"""Milliseconds per frame of every rasteriser that is installed, on one core.

`python -m benchmarks.rasterizer` prints a table and writes build/bench/rasterizer.json and a
picture of the same head by each of them; docs/benchmarks.md says what is measured.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
import torch
import trimesh

from benchmarks.timings import machine
from fg3d_builder.config import FaceModelConfig
from fg3d_builder.files.atomic import write_bytes
from fg3d_builder.files.encoding import encode_png
from fg3d_builder.geometry.camera import intrinsics_matrix
from fg3d_builder.geometry.meshes import triangle_normals
from fg3d_builder.geometry.pose import rotation_from_angles
from fg3d_builder.heads.library import get_model
from fg3d_builder.records import Array
from fg3d_builder.rendering.backends import NEEDS, installed_rasterizers, open_rasterizer
from fg3d_builder.rendering.rasterizer import interpolate

SIZES = ((256, 256), (480, 640))
FINE_TRIANGLES = 100_000
YAWS = np.linspace(-50.0, 50.0, 11)
DISTANCE_MM = 600.0
PICTURE_SIZE = 160


class Head(NamedTuple):
    """A mesh with colours: vertices (n, 3) mm, triangles (m, 3), colours (n, 3) linear."""

    vertices_mm: Array
    triangles: Array
    colours: Array


def model_head() -> Head:
    """The default model's mean head, centred."""
    model = get_model(FaceModelConfig())
    centre = (model.mean.min(axis=0) + model.mean.max(axis=0)) / 2
    colours = np.asarray(model.albedo_mean, dtype=np.float64)
    return Head(model.mean - centre, model.triangles, colours)


def refined(head: Head, count: int) -> Head:
    """The same surface in `count` triangles, or one fewer.

    All are quartered while that gives no more than `count`; then the largest are split in three.
    """
    vertices, triangles, colours = head
    while 4 * len(triangles) <= count:
        vertices, triangles, attributes = trimesh.remesh.subdivide(
            vertices, triangles, vertex_attributes={"colours": colours}
        )
        colours = attributes["colours"]
    area = np.linalg.norm(triangle_normals(vertices, triangles), axis=1)
    split = np.argsort(area)[len(area) - (count - len(triangles)) // 2 :]
    a, b, c = triangles[split].T
    new = len(vertices) + np.arange(len(split))
    whole = np.delete(triangles, split, axis=0)
    parts = [np.stack(corners, axis=1) for corners in ((a, b, new), (b, c, new), (c, a, new))]
    return Head(
        np.concatenate([vertices, vertices[triangles[split]].mean(axis=1)]),
        np.concatenate([whole, *parts]),
        np.concatenate([colours, colours[triangles[split]].mean(axis=1)]),
    )


def framed(head: Head, height: int, width: int) -> tuple[list[Array], Array]:
    """The head in the camera frame at each of `YAWS`, and a camera whose image it fills."""
    offset = np.array([0.0, 0.0, DISTANCE_MM])
    turned = [head.vertices_mm @ rotation_from_angles(0.0, yaw, 0.0).T + offset for yaw in YAWS]
    reach = max(np.abs(points[:, 1] / points[:, 2]).max() for points in turned)
    focal = 0.48 * height / reach
    return turned, intrinsics_matrix(focal, focal, (width - 1) / 2, (height - 1) / 2)


def milliseconds(
    frame: Callable[[Array], Any], poses: list[Array], rounds: int
) -> dict[str, float]:
    """Processor time per call, over `rounds` through the poses after one that warms up."""
    spent = []
    for turn in range(rounds + 1):
        for points in poses:
            start = time.process_time()
            frame(points)
            if turn > 0:
                spent.append(1e3 * (time.process_time() - start))
    return {"median": float(np.median(spent)), "least": min(spent), "most": max(spent)}


def time_backend(name: str, head: Head, height: int, width: int, rounds: int) -> dict[str, Any]:
    """One row: rasterising from vertices in the camera frame, then three colours per pixel."""
    render = open_rasterizer(name)
    poses, camera = framed(head, height, width)

    def visibility(points: Array) -> Any:
        return render(points, head.triangles, camera, height, width)

    def picture(points: Array) -> Array:
        return interpolate(visibility(points), head.triangles, head.colours)

    return {
        "rasteriser": name,
        "triangles": len(head.triangles),
        "image": f"{width}x{height}",
        "covered": float(np.mean([(visibility(p).triangle >= 0).mean() for p in poses])),
        "visibility_ms": milliseconds(visibility, poses, rounds),
        "with_colours_ms": milliseconds(picture, poses, rounds),
    }


def compare(head: Head, path: Path) -> dict[str, int]:
    """A picture of the head by each rasteriser; pixels that differ from the slow reference."""
    poses, camera = framed(head, PICTURE_SIZE, PICTURE_SIZE)
    points = poses[7]
    found = {
        name: open_rasterizer(name)(points, head.triangles, camera, PICTURE_SIZE, PICTURE_SIZE)
        for name in installed_rasterizers()
    }
    normals = triangle_normals(points, head.triangles)
    towards = -normals[:, 2] / np.linalg.norm(normals, axis=1).clip(min=1e-12)
    pictures = []
    for fragments in found.values():
        seen = fragments.triangle >= 0
        light = np.where(seen, 0.3 + 0.7 * towards[fragments.triangle].clip(0, 1), 0.0)
        linear = interpolate(fragments, head.triangles, head.colours) * light[..., None]
        pictures.append(np.where(seen[..., None], 255 * linear.clip(0, 1) ** (1 / 2.2), 255))
    row = np.hstack(pictures).round().astype(np.uint8)
    enlarged = cv2.resize(row, None, fx=2, fy=2, interpolation=cv2.INTER_NEAREST)
    write_bytes(path, encode_png(enlarged))
    truth = found["reference"].triangle
    return {name: int((one.triangle != truth).sum()) for name, one in found.items()}


def main() -> None:
    """Time all that are installed but the reference, which takes minutes at these sizes."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3, help="passes through the 11 poses")
    parser.add_argument("--out", type=Path, default=Path("build/bench/rasterizer.json"))
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    coarse = model_head()
    heads = [coarse, refined(coarse, FINE_TRIANGLES)]
    installed = [name for name in installed_rasterizers() if name != "reference"]
    print(f"not installed here: {', '.join(sorted(set(NEEDS) - {*installed, 'reference'})) or '-'}")
    print(f"{'rasteriser':10s} {'triangles':>9s} {'image':>8s} {'covered':>7s} "
          f"{'visibility ms':>13s} {'with colours ms (least-most)':>30s}")  # fmt: skip
    rows = []
    for name in installed:
        for head in heads:
            for height, width in SIZES:
                row = time_backend(name, head, height, width, arguments.rounds)
                rows.append(row)
                total = row["with_colours_ms"]
                print(f"{name:10s} {row['triangles']:9d} {row['image']:>8s} {row['covered']:7.0%} "
                      f"{row['visibility_ms']['median']:13.2f} {total['median']:14.2f} "
                      f"({total['least']:.2f}-{total['most']:.2f})")  # fmt: skip
    differing = compare(coarse, arguments.out.with_suffix(".png"))
    print(f"pixels of {PICTURE_SIZE}x{PICTURE_SIZE} that differ from the reference: {differing}")
    result = {
        "machine": machine(),
        "frames": rows,
        "pixels_unlike_reference": differing,
    }
    arguments.out.write_text(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
